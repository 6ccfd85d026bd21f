/** The rules of the own desks: a list that can be narrowed, and beside it the rule that is open with its form and history. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { ApiError } from './api.ts';
import { Choice, ClearFilters, goToSearch, ListFooter, SearchField, StepButtons, usePanelFocus } from './list-page.tsx';
import { stepFrom } from './list-table.tsx';
import { format, locale, messages } from './locale.ts';
import { formatPlace, go, place } from './location.ts';
import { getProposals, getRules, type ProposalHead, type RuleSummary } from './rule-api.ts';
import { rememberRules } from './rule-names.ts';
import { RulePanel } from './rule-panel.tsx';
import { ruleText, statusName } from './rule-text.ts';
import { may, ownDesks, session } from './session.ts';
import { useShortcuts } from './shortcuts.tsx';
import './rules.css';

/** What another person proposes or decides is seen within this time. */
const POLL_MS = 5_000;

interface Listed {
  rules: RuleSummary[];
  proposals: ProposalHead[];
  loading: boolean;
  failure: string;
}

function useRules(): { listed: Listed; refresh(): void } {
  const [listed, setListed] = useState<Listed>({ rules: [], proposals: [], loading: true, failure: '' });
  const [refreshes, setRefreshes] = useState(0);
  useEffect(() => {
    const stopped = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const poll = async (): Promise<void> => {
      try {
        const [rules, proposals] = await Promise.all([getRules(stopped.signal), getProposals(stopped.signal)]);
        rememberRules(rules);
        setListed({ rules, proposals, loading: false, failure: '' });
      } catch (error) {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setListed((before) => ({ ...before, loading: false, failure: error.message }));
      }
      timer = setTimeout(() => void poll(), POLL_MS);
    };
    void poll();
    return () => {
      stopped.abort();
      clearTimeout(timer);
    };
  }, [refreshes]);
  return { listed, refresh: () => setRefreshes((count) => count + 1) };
}

export function RulesPage() {
  const t = ruleText.value;
  const { ruleDesk, ruleText: searched, rulesWaiting, ruleId } = place.value;
  const { listed, refresh } = useRules();
  const { rules, proposals, loading, failure } = listed;
  const waiting = new Map(proposals.map((proposal) => [proposal.ruleId, proposal]));
  const search = useRef<HTMLInputElement>(null);
  const panelOpen = ruleId !== '';
  const panel = usePanelFocus(panelOpen);
  const desks = session.value?.signIn === 'open' ? DESKS : (session.value?.person?.desks ?? ownDesks());

  const wanted = searched.toLowerCase();
  const shown = rules
    .filter(
      ({ id, desk, title, catalogue }) =>
        (ruleDesk === '' || desk === ruleDesk) &&
        (!rulesWaiting || waiting.has(id)) &&
        [id, catalogue, title.en, title['zh-CN']].some((text) => text.toLowerCase().includes(wanted)),
    )
    .sort((a, b) => DESKS.indexOf(a.desk) - DESKS.indexOf(b.desk) || (a.catalogue < b.catalogue ? -1 : 1));
  const move = (step: number): void => {
    const from = shown.findIndex(({ id }) => id === ruleId);
    const next = shown[stepFrom(from, step, shown.length)];
    if (next !== undefined) go({ ruleId: next.id }, panelOpen ? 'replace' : 'push');
  };
  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Escape' && panelOpen) go({ ruleId: '' });
    else if (key === '/') goToSearch(search, event);
  });

  return (
    <div class={panelOpen ? 'desk with-panel rules-page' : 'desk rules-page'}>
      <section class="queue" aria-labelledby="rules-heading">
        <h1 id="rules-heading" class="visually-hidden">
          {t.heading}
        </h1>
        <search class="toolbar" aria-label={messages.value.queue.filters}>
          <Choice<Desk | ''>
            label={t.desk}
            value={ruleDesk}
            options={[['', t.allDesks], ...desks.map((desk) => [desk, messages.value.nav[desk]] as const)]}
            onChoose={(desk) => go({ ruleDesk: desk }, 'replace')}
          />
          <SearchField
            field={search}
            label={t.searchLabel}
            placeholder={t.searchPlaceholder}
            value={searched}
            whileTyping
            onSearch={(text) => go({ ruleText: text }, 'replace')}
          />
          <label class="inline-check">
            <input
              type="checkbox"
              checked={rulesWaiting}
              onChange={(event) => go({ rulesWaiting: event.currentTarget.checked }, 'replace')}
            />
            {t.onlyWaiting} ({format.value.number(proposals.length)})
          </label>
        </search>
        <div class="queue-body">
          <div class="table-scroller">
            <table class="alerts rules" aria-label={t.heading}>
              <thead>
                <tr>
                  <th scope="col">{t.rule}</th>
                  <th scope="col" class="c-rule-status">
                    {t.status}
                  </th>
                  <th scope="col" class="c-rule-version">
                    {t.version}
                  </th>
                </tr>
              </thead>
              <tbody>
                {shown.map((rule) => (
                  <tr
                    key={rule.id}
                    class={rule.id === ruleId ? 'active' : ''}
                    onClick={(event) => {
                      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                      event.preventDefault();
                      go({ ruleId: rule.id }, panelOpen ? 'replace' : 'push');
                    }}
                  >
                    <td class="c-rule">
                      <a href={formatPlace({ ...place.value, ruleId: rule.id })}>{rule.title[locale.value]}</a>
                      <span class="reason">
                        <code>{rule.id}</code> · {rule.catalogue}
                        {waiting.has(rule.id) && <strong class="waiting"> · {t.waiting}</strong>}
                      </span>
                    </td>
                    <td class="c-rule-status">{statusName(rule.status)}</td>
                    <td class="c-rule-version">{format.value.number(rule.version)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {shown.length === 0 && failure === '' && (
            <div class="empty">
              <p>{loading ? t.loading : t.none}</p>
              {!loading && (
                <ClearFilters onClear={() => go({ ruleDesk: '', ruleText: '', rulesWaiting: false }, 'replace')} />
              )}
            </div>
          )}
        </div>
        <ListFooter
          shown={t.shown(shown.length, format.value.number(shown.length))}
          failed={failure === '' ? '' : t.failed(failure)}
        >
          <StepButtons
            previous={messages.value.deadLetters.previous}
            next={messages.value.deadLetters.next}
            onMove={move}
          />
        </ListFooter>
      </section>
      {panelOpen && (
        <RulePanel
          key={ruleId}
          ruleId={ruleId}
          summary={rules.find(({ id }) => id === ruleId)}
          waitingId={waiting.get(ruleId)?.id ?? ''}
          mayChange={may('proposeRule')}
          mayDecide={may('decideRuleProposal')}
          panelRef={panel}
          onClose={() => go({ ruleId: '' })}
          onChanged={refresh}
        />
      )}
    </div>
  );
}
