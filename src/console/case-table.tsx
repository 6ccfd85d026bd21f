/** The cases of a desk as a list: what its columns are, and what stands in a row. */
import { useCallback, useMemo, useRef } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import type { CaseSummary } from './case-api.ts';
import type { ShownGroup } from './case-groups.ts';
import { SeverityIcon } from './icons.tsx';
import { GroupRow, type ListLayout, ListRow, ListTable, type RowPlace } from './list-table.tsx';
import { format, locale, messages, now } from './locale.ts';
import { type CaseColumn, type CaseGroupChoice, formatPlace, place } from './location.ts';
import { ruleLabel } from './rule-names.ts';

const ROW_PX = 34;
/** A snooze that ends within this time is said so. */
export const ENDING_SOON_MS = 3_600_000;
/** What is left where there is little room, and how much that takes; on a phone the shape alone says the severity. */
const NARROW: readonly { fromPx: number; columns: readonly CaseColumn[]; look: string }[] = [
  { fromPx: 700, columns: ['severity', 'due', 'case', 'subject', 'status'], look: 'narrow' },
  { fromPx: 480, columns: ['severity', 'due', 'case', 'status'], look: 'narrow' },
  { fromPx: 0, columns: ['severity', 'due', 'case'], look: 'narrow phone' },
];
const ALL_FROM_PX = 840;
/** More columns than these need more width than most screens have. */
const COLUMNS_WITH_ROOM = 9;

/** Names of the columns are those of their classes. */
function layoutsOf(columns: readonly CaseColumn[]): ListLayout[] {
  const named = (some: readonly CaseColumn[]): string[] => ['choose', ...some.map((column) => `case-${column}`)];
  return [
    {
      fromPx: ALL_FROM_PX,
      rowPx: ROW_PX,
      columns: named(columns),
      ...(columns.length > COLUMNS_WITH_ROOM && { look: 'many' }),
    },
    ...NARROW.map(({ fromPx, columns: some, look }) => {
      const left = some.filter((column) => columns.includes(column));
      return { fromPx, rowPx: ROW_PX, columns: named(left), look };
    }),
  ];
}
const columnOf = (name: string): CaseColumn => name.slice('case-'.length) as CaseColumn;

export type CaseRow = CaseSummary | ShownGroup;
export const isCaseGroup = (row: CaseRow): row is ShownGroup => 'cases' in row;
/** Names a row of the list; no id of a case begins like a group. */
export const groupRowId = (value: string): string => `group ${value}`;
export const caseRowId = (row: CaseRow): string => (isCaseGroup(row) ? groupRowId(row.value) : row.caseId);

export interface CaseTableProps {
  desk: Desk;
  /** Cases, or groups with the cases of the one that is open. */
  rows: readonly CaseRow[];
  /** The cases among them. */
  cases: readonly CaseSummary[];
  total: number;
  /** Rows up to which cases have been read. */
  readTo: number;
  group: CaseGroupChoice;
  openGroup: string;
  columns: readonly CaseColumn[];
  activeIndex: number;
  chosen: ReadonlySet<string>;
  focusRequests: number;
  topRequests: number;
  onOpen(caseId: string): void;
  onChoose(caseId: string): void;
  onChooseAll(all: boolean): void;
  onToggle(group: string): void;
  onMove(step: number): void;
  onUnderFocus(index: number): void;
  onEnd(): void;
}

export function CaseTable(props: CaseTableProps) {
  const { desk, rows, cases, chosen, columns } = props;
  const t = messages.value.cases;
  // The same functions for ever, and the address without the case: a row that is as it was is not drawn again.
  const latest = useRef(props);
  latest.current = props;
  const open = useCallback((caseId: string) => latest.current.onOpen(caseId), []);
  const choose = useCallback((caseId: string) => latest.current.onChoose(caseId), []);
  const toggle = useCallback((value: string) => latest.current.onToggle(value), []);
  const address = formatPlace({ ...place.value, caseId: '' });
  const layouts = useMemo(() => layoutsOf(columns), [columns]);
  const head = (column: string) => {
    if (column !== 'choose') return t.columns[columnOf(column)];
    return (
      <input
        type="checkbox"
        aria-label={t.chooseAll}
        checked={cases.length > 0 && chosen.size === cases.length}
        indeterminate={chosen.size > 0 && chosen.size < cases.length}
        onChange={(event) => props.onChooseAll(event.currentTarget.checked)}
      />
    );
  };
  return (
    <ListTable
      label={t.heading(messages.value.nav[desk])}
      look="alerts cases"
      layouts={layouts}
      heads={head}
      count={rows.length}
      total={props.total}
      readTo={props.readTo}
      keyOf={(index) => caseRowId(rows[index]!)}
      activeIndex={props.activeIndex}
      focusRequests={props.focusRequests}
      topRequests={props.topRequests}
      row={(where) => {
        const row = rows[where.index]!;
        if (isCaseGroup(row)) {
          const isOpen = row.value === props.openGroup;
          return <Group place={where} by={props.group} group={row} open={isOpen} onToggle={toggle} />;
        }
        const isChosen = chosen.has(row.caseId);
        return <Row place={where} row={row} chosen={isChosen} address={address} onOpen={open} onChoose={choose} />;
      }}
      onMove={props.onMove}
      onUnderFocus={props.onUnderFocus}
      onEnd={props.onEnd}
    />
  );
}

interface GroupProps {
  place: RowPlace;
  by: CaseGroupChoice;
  group: ShownGroup;
  open: boolean;
  onToggle(value: string): void;
}

function Group({ place: where, by, group, open, onToggle }: GroupProps) {
  const { filter, cases, overdue } = group;
  const t = messages.value.cases;
  const f = format.value;
  const names: Record<CaseGroupChoice, () => string> = {
    '': () => '',
    rule: () => ruleLabel(filter.ruleId!),
    severity: () => messages.value.severity[filter.severity!],
    subscriber: () => filter.servedMsisdn || t.noSubscriber,
    status: () => messages.value.caseStatuses[filter.status!],
    assignee: () => filter.assignee || t.nobody,
    lane: () => filter.lane || t.noLane,
  };
  return (
    <GroupRow place={where} open={open} onToggle={() => onToggle(group.value)}>
      {filter.severity !== undefined && (
        <span class={`severity ${filter.severity}`}>
          <SeverityIcon severity={filter.severity} />
        </span>
      )}
      <bdi class="group-name">{names[by]()}</bdi>
      <span class="count">{t.groupCount(cases, f.number(cases))}</span>
      {overdue > 0 && <span class="count alarming">{t.groupOverdue(f.number(overdue))}</span>}
    </GroupRow>
  );
}

interface RowProps {
  place: RowPlace;
  row: CaseSummary;
  chosen: boolean;
  address: string;
  onOpen(caseId: string): void;
  onChoose(caseId: string): void;
}

function Row({ place: where, row, chosen, address, onOpen, onChoose }: RowProps) {
  const t = messages.value.cases;
  const { caseId, severity } = row;
  const title = row.title?.[locale.value] ?? t.case;
  return (
    <ListRow place={where} look={severity} onOpen={() => onOpen(caseId)}>
      {where.columns.map((column) => (
        <td key={column} class={`c-${column}${column === 'case-due' && row.sla.isOverdue ? ' alarming' : ''}`}>
          {column === 'choose' ? (
            <input type="checkbox" aria-label={t.choose(title)} checked={chosen} onChange={() => onChoose(caseId)} />
          ) : column === 'case-case' ? (
            <a
              href={`${address}${address.includes('?') ? '&' : '?'}case=${caseId}`}
              title={title}
              tabIndex={where.tabIndex}
              aria-current={where.active ? 'true' : undefined}
            >
              {title}
            </a>
          ) : (
            <Cell column={columnOf(column)} row={row} />
          )}
        </td>
      ))}
    </ListRow>
  );
}

function Cell({ column, row }: { column: CaseColumn; row: CaseSummary }) {
  const t = messages.value.cases;
  const f = format.value;
  switch (column) {
    case 'severity':
      return (
        <span class={`severity ${row.severity}`}>
          <SeverityIcon severity={row.severity} />
          {messages.value.severity[row.severity]}
        </span>
      );
    case 'due': {
      const { dueAt } = row.sla;
      if (dueAt === null) return null;
      const leftMs = dueAt - now.value;
      return (
        <time dateTime={new Date(dueAt).toISOString()} title={f.dateTime(dueAt)}>
          {leftMs < 0 ? t.overdueBy(f.span(-leftMs)) : t.dueIn(f.span(leftMs))}
        </time>
      );
    }
    case 'subject':
      return (
        <>
          <code>{row.key.value}</code>
          {row.isKeyAccount && <span class="key-account">{t.keyAccount}</span>}
        </>
      );
    case 'score':
      return <>{f.number(row.score)}</>;
    case 'value': {
      const { expectedSaveValue, exposure } = (row.value ?? {}) as { expectedSaveValue?: number; exposure?: number };
      const worth = expectedSaveValue ?? exposure;
      return <>{worth !== undefined && f.value(worth, 'currency')}</>;
    }
    case 'alerts':
      return <>{f.number(row.alerts)}</>;
    case 'rules':
      return <span title={row.ruleIds.join(', ')}>{f.list(row.ruleIds.map(ruleLabel))}</span>;
    case 'tags':
      return <bdi>{f.list(row.tags)}</bdi>;
    case 'lane':
      return <bdi>{row.lane ?? ''}</bdi>;
    case 'opened':
      return <time dateTime={new Date(row.openedAt).toISOString()}>{f.time(row.openedAt)}</time>;
    case 'assignee':
      return <bdi>{row.assignee ?? ''}</bdi>;
    case 'status': {
      const endsIn = row.snoozedUntil === null ? Number.POSITIVE_INFINITY : row.snoozedUntil - now.value;
      return (
        <span class={`case-status ${row.status}`}>
          {endsIn < ENDING_SOON_MS ? t.wakesIn(f.span(endsIn)) : messages.value.caseStatuses[row.status]}
        </span>
      );
    }
    default:
      return null;
  }
}
