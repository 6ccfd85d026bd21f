/**
 * Usage records as a table: those of a subscriber, or those that an alert is about. What is shown is narrowed and ordered here,
 * from what the searches have found; the file is made by the server, with the same filters.
 */
import { useMemo, useRef, useState } from 'preact/hooks';
import { RECORD_TYPES } from '../record/usage-record.ts';
import { ApiError } from './api.ts';
import { Choice, goToSearch, SearchField, StepButtons, usePanelFocus } from './list-page.tsx';
import { type ListLayout, ListRow, ListTable, type RowPlace, stepFrom } from './list-table.tsx';
import { format, messages } from './locale.ts';
import {
  formatPlace,
  go,
  NO_OPENED,
  NO_RECORD_FILTERS,
  place,
  RECORD_DIRECTIONS,
  RECORD_ORDERS,
  type RecordFilters,
} from './location.ts';
import { RecordPanel } from './record-panel.tsx';
import {
  directionText,
  durationText,
  exportRecords,
  type FoundRecords,
  moneyOf,
  moneyText,
  type RecordSubject,
  recordText,
  saidText,
  type UsageRecordView,
  useRecords,
  volumeOf,
  volumeText,
  wordText,
} from './record-source.ts';
import { RecordSummary } from './record-summary.tsx';
import { may } from './session.ts';
import { useShortcuts } from './shortcuts.tsx';
import { AGES } from './time-range.ts';
import './records.css';

const ROW_PX = 34;
const WIDE = ['time', 'type', 'direction', 'other', 'duration', 'volume', 'money', 'place', 'detail'];
const NARROW = ['time', 'type', 'other', 'duration', 'volume', 'money'];
/** Where records of several subscribers stand there, whose each is. */
const withServed = (columns: readonly string[]): string[] =>
  columns.flatMap((column) => (column === 'other' ? ['served', 'other'] : [column]));
const layoutsOf = (several: boolean): ListLayout[] =>
  [
    { fromPx: 900, columns: WIDE },
    { fromPx: 560, columns: NARROW },
    { fromPx: 0, columns: ['time', 'type', 'other', 'money'] },
  ].map(({ fromPx, columns }) => ({
    fromPx,
    rowPx: ROW_PX,
    columns: (several ? withServed(columns) : columns).map((column) => `record-${column}`),
  }));
const ONE: readonly ListLayout[] = layoutsOf(false);
const SEVERAL: readonly ListLayout[] = layoutsOf(true);
const WEIGHTS: Record<RecordFilters['order'], (record: UsageRecordView) => number> = {
  newest: ({ eventTime }) => eventTime,
  oldest: ({ eventTime }) => -eventTime,
  longest: ({ durationSec }) => durationSec ?? -1,
  largest: (record) => volumeOf(record) ?? -1,
  dearest: (record) => moneyOf(record) ?? Number.NEGATIVE_INFINITY,
};

function arranged(records: readonly UsageRecordView[], filters: RecordFilters): UsageRecordView[] {
  const weigh = WEIGHTS[filters.order];
  return records
    .filter(
      ({ recordType, direction, otherNumber }) =>
        (filters.recordType === '' || recordType === filters.recordType) &&
        (filters.direction === '' || direction === filters.direction) &&
        (filters.other === '' || otherNumber?.includes(filters.other) === true),
    )
    .sort((a, b) => weigh(b) - weigh(a) || b.eventTime - a.eventTime || (a.recordId < b.recordId ? 1 : -1));
}

export function RecordsPage() {
  const t = recordText.value;
  const { alertId, msisdn, records: filters, recordId } = place.value;
  const subject: RecordSubject = { alertId, msisdn };
  const found = useRecords(subject, alertId === '' ? filters.age : '');
  const key = JSON.stringify(filters);
  const rows = useMemo(() => arranged(found.records, filters), [found.page, found.records.length, key]);
  const several = useMemo(
    () => new Set(found.records.map((record) => record.subscriberRef ?? record.servedMsisdn)).size > 1,
    [found.page, found.records.length],
  );
  const search = useRef<HTMLInputElement>(null);
  const [focusRequests, setFocusRequests] = useState(0);
  const activeIndex = recordId === '' ? -1 : rows.findIndex((record) => record.recordId === recordId);
  const opened = rows[activeIndex];
  const panelOpen = opened !== undefined;
  const panel = usePanelFocus(panelOpen);
  const open = (id: string): void => go({ recordId: id }, panelOpen ? 'replace' : 'push');
  const close = (): void => {
    go({ recordId: '' });
    setFocusRequests((count) => count + 1);
  };
  const move = (step: number): void => {
    const id = rows[stepFrom(activeIndex, step, rows.length)]?.recordId;
    if (id === undefined) return;
    open(id);
    setFocusRequests((count) => count + 1);
  };
  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Escape' && panelOpen) close();
    else if (key === '/') goToSearch(search, event);
  });
  const heading = alertId === '' ? t.headingSubscriber : t.headingAlert;
  const back = { ...place.value, ...NO_OPENED, page: 'desk' as const, alertId, msisdn: alertId === '' ? msisdn : '' };
  return (
    <div class={panelOpen ? 'desk with-panel' : 'desk'}>
      <section class="queue" aria-labelledby="records-heading">
        <header class="records-head">
          <a class="button" href={formatPlace(back)}>
            {alertId === '' ? t.toSubscriber : t.toAlert}
          </a>
          <h1 id="records-heading">{heading}</h1>
          {alertId === '' && !msisdn.startsWith('s_') && <span class="number">{msisdn}</span>}
        </header>
        <Toolbar subject={subject} filters={filters} search={search} />
        {rows.length > 0 && <RecordSummary records={rows} />}
        <div class="queue-body">
          <ListTable
            label={heading}
            look="alerts records"
            layouts={several ? SEVERAL : ONE}
            heads={(column) =>
              columnOf(column) === 'time' ? t.timeIn(format.value.zone()) : t.columns[columnOf(column)]
            }
            count={rows.length}
            keyOf={(index) => rows[index]!.recordId}
            activeIndex={activeIndex}
            focusRequests={focusRequests}
            row={(where) => <Row place={where} record={rows[where.index]!} onOpen={open} />}
            onMove={move}
          >
            <Rest found={found} shown={rows.length} />
          </ListTable>
        </div>
        <footer class="queue-footer">
          <span role="status">
            {found.loading
              ? t.loading
              : t.shown(format.value.number(rows.length), format.value.number(found.records.length))}
          </span>
          {found.further !== undefined && <span class="hint">{t.truncated}</span>}
          <StepButtons previous={t.previous} next={t.next} onMove={move} />
        </footer>
      </section>
      {opened !== undefined && <RecordPanel record={opened} panelRef={panel} onClose={close} />}
    </div>
  );
}

type Column = keyof ReturnType<typeof columnsOf>;
const columnsOf = () => recordText.value.columns;
const columnOf = (name: string): Column => name.slice('record-'.length) as Column;

/** What stands below the last row: that nothing was found, why, and the way further back. */
function Rest({ found, shown }: { found: FoundRecords; shown: number }) {
  const t = recordText.value;
  const { records, page, loading, failure, further, retry } = found;
  return (
    <div class="records-rest">
      {loading && <p>{t.loading}</p>}
      {failure !== '' && (
        <p role="alert">
          {t.failed(failure)}{' '}
          <button type="button" class="button" onClick={retry}>
            {t.again}
          </button>
        </p>
      )}
      {!loading && failure === '' && records.length === 0 && <p>{t.none}</p>}
      {!loading && records.length > 0 && shown === 0 && (
        <p>
          {t.nothingMatches}{' '}
          <button type="button" class="button" onClick={() => go({ records: NO_RECORD_FILTERS }, 'replace')}>
            {t.clearFilters}
          </button>
        </p>
      )}
      {!loading && further !== undefined && (
        <p>
          {page?.searchedTo != null && t.searchedTo(format.value.dateTime(page.searchedTo))}{' '}
          <button type="button" class="button" onClick={further}>
            {t.further}
          </button>
        </p>
      )}
    </div>
  );
}

function Toolbar(props: {
  subject: RecordSubject;
  filters: RecordFilters;
  search: { current: HTMLInputElement | null };
}) {
  const { subject, filters, search } = props;
  const t = recordText.value;
  const change = (next: Partial<RecordFilters>): void => go({ records: { ...filters, ...next } }, 'replace');
  return (
    <search class="toolbar" aria-label={messages.value.queue.filters}>
      <Choice<RecordFilters['recordType']>
        label={t.type}
        value={filters.recordType}
        options={[['', t.allTypes], ...RECORD_TYPES.map((type) => [type, t.types[type]] as const)]}
        onChoose={(recordType) => change({ recordType })}
      />
      <Choice<RecordFilters['direction']>
        label={t.direction}
        value={filters.direction}
        options={[['', t.allDirections], ...RECORD_DIRECTIONS.map((one) => [one, t.directions[one]] as const)]}
        onChoose={(direction) => change({ direction })}
      />
      {subject.alertId === '' && (
        <Choice<RecordFilters['age']>
          label={t.age}
          value={filters.age}
          options={AGES.map((age) => [age, t.ages[age]])}
          onChoose={(age) => change({ age })}
        />
      )}
      <SearchField
        field={search}
        label={t.otherLabel}
        placeholder={t.otherPlaceholder}
        value={filters.other}
        whileTyping
        onSearch={(other) => change({ other })}
      />
      <Choice<RecordFilters['order']>
        label={t.order}
        value={filters.order}
        options={RECORD_ORDERS.map((order) => [order, t.orders[order]])}
        onChoose={(order) => change({ order })}
      />
      {may(subject.alertId === '' ? 'exportSubscriberRecords' : 'exportAlertRecords') && (
        <ExportButton subject={subject} filters={filters} />
      )}
    </search>
  );
}

function ExportButton({ subject, filters }: { subject: RecordSubject; filters: RecordFilters }) {
  const t = recordText.value;
  const [state, setState] = useState({ working: false, said: '', failed: false });
  const write = async (): Promise<void> => {
    setState({ working: true, said: '', failed: false });
    const { recordType, direction, other, age } = filters;
    try {
      const isPart = await exportRecords(subject, subject.alertId === '' ? age : '', { recordType, direction, other });
      const { exported, exportedPart } = recordText.peek();
      setState({ working: false, said: isPart ? exportedPart : exported, failed: false });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setState({ working: false, said: recordText.peek().exportFailed(error.message), failed: true });
    }
  };
  return (
    <>
      <button type="button" class="button last" disabled={state.working} onClick={() => void write()}>
        {state.working ? t.exporting : t.exportCsv}
      </button>
      {state.said !== '' && (
        <span class={state.failed ? 'alarming' : 'muted'} role={state.failed ? 'alert' : 'status'}>
          {state.said}
        </span>
      )}
    </>
  );
}

function Row(props: { place: RowPlace; record: UsageRecordView; onOpen(recordId: string): void }) {
  const { place: where, record, onOpen } = props;
  const t = recordText.value;
  const { recordId } = record;
  const cellOf = (column: Column) => {
    switch (column) {
      case 'time':
        return (
          <a
            href={formatPlace({ ...place.value, recordId })}
            tabIndex={where.tabIndex}
            aria-current={where.active ? 'true' : undefined}
          >
            <time dateTime={new Date(record.eventTime).toISOString()}>{format.value.second(record.eventTime)}</time>
          </a>
        );
      case 'type':
        return (
          <>
            {t.types[record.recordType]}
            {record.isTrigger === true && (
              <span class="tag" title={t.trigger}>
                {t.triggerShort}
              </span>
            )}
          </>
        );
      case 'direction':
        return directionText(record);
      case 'served':
        return <bdi class="number">{record.servedMsisdn}</bdi>;
      case 'other':
        return <bdi class="number">{record.otherNumber}</bdi>;
      case 'duration':
        return durationText(record);
      case 'volume':
        return volumeText(record);
      case 'money':
        return moneyText(record);
      case 'place':
        return <bdi>{record.cellId ?? record.servingPlmn}</bdi>;
      case 'detail':
        return <bdi>{saidText(record) || (record.causeForTerm && wordText(record.causeForTerm))}</bdi>;
    }
  };
  return (
    <ListRow place={where} look={record.isTrigger === true ? 'trigger' : ''} onOpen={() => onOpen(recordId)}>
      {where.columns.map((column) => (
        <td key={column} class={`c-${column}`}>
          {cellOf(columnOf(column))}
        </td>
      ))}
    </ListRow>
  );
}
