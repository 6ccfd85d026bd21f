/** What narrows the list of cases and says what stands in it; all of it is in the address. */
import { useEffect, useRef } from 'preact/hooks';
import { type Desk, SEVERITIES, type Severity } from '../alerts/alert.ts';
import { Choice, SearchField } from './list-page.tsx';
import { messages } from './locale.ts';
import {
  CASE_COLUMNS,
  CASE_FILTERS,
  CASE_GROUP_CHOICES,
  type CaseFilterStatus,
  type CaseFilters,
  type CaseGroupChoice,
  type CaseWho,
  formatPlace,
  go,
  NO_OPENED,
  place,
} from './location.ts';
import { ruleLabel } from './rule-names.ts';
import { TimeFilter } from './time-filter.tsx';

/** Before the name of a person, who may be called like one of the other choices. */
const PERSON = '@';

export interface CaseToolbarProps {
  desk: Desk;
  search: { current: HTMLInputElement | null };
  /** Rules and lanes that can be chosen; one that the address names is offered all the same. */
  knownRules: readonly string[];
  knownPeople: readonly string[];
  knownLanes: readonly string[];
  onTakeNext(): void;
  onFeedback(): void;
  /** Absent where somebody may not change it. */
  onRouting?: (() => void) | undefined;
  children?: preact.ComponentChildren;
}

export function CaseToolbar(props: CaseToolbarProps) {
  const t = messages.value.cases;
  const more = useRef<HTMLDetailsElement>(null);
  // What lies over the list goes away as every menu does: with Escape, and with a click or the focus elsewhere.
  useEffect(() => {
    const closeOutside = ({ target }: Event): void => {
      if (more.current?.open && !more.current.contains(target as Node)) more.current.open = false;
    };
    const closeWithKey = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape' || !more.current?.open || document.querySelector('dialog[open]') !== null) return;
      // Before the page takes it for the panel.
      event.stopPropagation();
      more.current.open = false;
      more.current.querySelector('summary')?.focus();
    };
    document.addEventListener('pointerdown', closeOutside);
    document.addEventListener('focusin', closeOutside);
    document.addEventListener('keydown', closeWithKey, true);
    return () => {
      document.removeEventListener('pointerdown', closeOutside);
      document.removeEventListener('focusin', closeOutside);
      document.removeEventListener('keydown', closeWithKey, true);
    };
  }, []);
  const { cases: filters, filters: shared } = place.value;
  const change = (next: Partial<CaseFilters>): void => go({ cases: { ...filters, ...next } }, 'replace');
  const { age, from, to } = filters.time;
  const isTimed = age !== '' || from !== null || to !== null;
  const narrowed = [filters.ruleId, filters.tag, filters.lane].filter((one) => one !== '').length + Number(isTimed);
  const marked = [filters.keyAccounts, filters.overdue, filters.endingSoon].filter(Boolean).length;
  const withNamed = (known: readonly string[], named: string): string[] =>
    [...new Set([...known, named])].filter((one) => one !== '').sort();
  return (
    <search class="toolbar" aria-label={messages.value.queue.filters}>
      <a class="button" href={formatPlace({ ...place.value, ...NO_OPENED, page: 'desk' })}>
        {t.toAlerts}
      </a>
      {props.children}
      <Choice<CaseFilterStatus>
        label={t.status}
        value={filters.status}
        options={CASE_FILTERS.map((name) => [
          name,
          name === 'active' ? t.allActive : messages.value.caseStatuses[name],
        ])}
        onChoose={(status) => change({ status })}
      />
      <Choice<string>
        label={t.assignee}
        value={filters.assignee === '' ? filters.who : PERSON + filters.assignee}
        options={[
          ['all', t.everybody],
          ['mine', t.mine],
          ['nobody', t.nobodys],
          ...withNamed(props.knownPeople, filters.assignee).map((name) => [PERSON + name, name, 'who'] as const),
        ]}
        onChoose={(chosen) =>
          change(
            chosen.startsWith(PERSON)
              ? { who: 'all', assignee: chosen.slice(PERSON.length) }
              : { who: chosen as CaseWho, assignee: '' },
          )
        }
      />
      <Choice<Severity | ''>
        label={messages.value.queue.severity}
        value={filters.severity}
        options={[
          ['', t.anySeverity],
          ...[...SEVERITIES].reverse().map((name) => [name, messages.value.severity[name]] as const),
        ]}
        onChoose={(severity) => change({ severity })}
      />
      <Choice<CaseGroupChoice>
        label={messages.value.queue.groupLabel}
        value={filters.group}
        options={CASE_GROUP_CHOICES.map((by) => [by, t.groups[by]])}
        onChoose={(group) => go({ cases: { ...filters, group }, openGroup: '' }, 'replace')}
      />
      <details class="more-filters" ref={more}>
        <summary class="button">{t.moreFilters(narrowed + marked)}</summary>
        <div class="popover">
          <Choice
            label={t.columns.rules}
            value={filters.ruleId}
            options={[
              ['', messages.value.queue.allRules],
              ...withNamed(props.knownRules, filters.ruleId).map((id) => [id, ruleLabel(id)] as const),
            ]}
            onChoose={(ruleId) => change({ ruleId })}
          />
          <Choice
            label={t.columns.lane}
            value={filters.lane}
            options={[
              ['', t.anyLane],
              ...withNamed(props.knownLanes, filters.lane).map((name) => [name, name] as const),
            ]}
            onChoose={(lane) => change({ lane })}
          />
          <TimeFilter
            label={t.columns.opened}
            names={t.ages}
            range={filters.time}
            onChange={(time) => change({ time })}
          />
          <input
            aria-label={t.tag}
            placeholder={t.tag}
            maxLength={40}
            value={filters.tag}
            onChange={(event) => change({ tag: event.currentTarget.value.trim() })}
          />
          <Choice
            label={messages.value.queue.sortLabel}
            value={filters.order}
            options={(['due', 'score', 'newest'] as const).map((order) => [order, t.orders[order]])}
            onChoose={(order) => change({ order })}
          />
          {(['keyAccounts', 'overdue', 'endingSoon'] as const).map((name) => (
            <label key={name} class="check">
              <input
                type="checkbox"
                checked={filters[name]}
                onChange={(event) => change({ [name]: event.currentTarget.checked })}
              />
              {t.only[name]}
            </label>
          ))}
          <fieldset class="column-choice">
            <legend>{t.columnsShown}</legend>
            {CASE_COLUMNS.filter((column) => column !== 'case').map((column) => (
              <label key={column} class="check">
                <input
                  type="checkbox"
                  checked={filters.columns.includes(column)}
                  onChange={(event) => {
                    const shown = event.currentTarget.checked;
                    const wanted = (one: string): boolean =>
                      one === column ? shown : filters.columns.includes(one as never);
                    change({ columns: CASE_COLUMNS.filter(wanted) });
                  }}
                />
                {t.columns[column]}
              </label>
            ))}
          </fieldset>
        </div>
      </details>
      <SearchField
        field={props.search}
        label={t.searchLabel}
        placeholder={t.searchPlaceholder}
        value={shared.subscriber}
        onSearch={(subscriber) => go({ filters: { ...shared, subscriber } }, 'replace')}
      />
      <div class="button-group">
        {props.onRouting !== undefined && (
          <button type="button" class="button" onClick={props.onRouting}>
            {messages.value.routing.open}
          </button>
        )}
        <button type="button" class="button" onClick={props.onFeedback}>
          {messages.value.feedback.open}
        </button>
        <button type="button" class="button primary" onClick={props.onTakeNext}>
          {t.takeNext}
        </button>
      </div>
    </search>
  );
}
