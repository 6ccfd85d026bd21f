/** A change that waits: what, why, what its tests and its back-test say, and the decision of somebody else. */
import { useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { askName, myName } from './case-work.ts';
import { format } from './locale.ts';
import { decideProposal, type ProposalView, type RuleChangesView } from './rule-api.ts';
import { Figures } from './rule-back-test.tsx';
import { Difference } from './rule-diff.tsx';
import { NameNote, TestList } from './rule-parts.tsx';
import { authorName, ruleText } from './rule-text.ts';
import { session } from './session.ts';

const REASON_MAX = 1_000;

export function Proposal(props: {
  ruleId: string;
  proposal: ProposalView;
  mayDecide: boolean;
  onDecided(changes: RuleChangesView, said: string): void;
  onFailed(): void;
}) {
  const { ruleId, proposal, mayDecide, onDecided, onFailed } = props;
  const t = ruleText.value;
  const f = format.value;
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState('');
  const me = myName();
  const isOwn = me !== '' && me.trim().toLowerCase() === proposal.by.id.trim().toLowerCase();
  const isOpen = session.value?.signIn === 'open';
  const decide = async (decision: 'approve' | 'reject' | 'withdraw'): Promise<void> => {
    setBusy(true);
    setFailure('');
    try {
      const told = { decision, ...(reason.trim() !== '' && { reason: reason.trim() }), ...(isOpen && { by: me }) };
      const changes = await decideProposal(ruleId, proposal.id, told);
      const said = {
        approve: changes.layer?.isInForce === false ? t.approvedFilling : t.approved,
        reject: t.rejected,
        withdraw: t.withdrawn,
      };
      onDecided(changes, said[decision]);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const known: Record<string, string> = { ownProposal: t.ownProposal, notOpen: t.notOpen, stale: t.isStale };
      setFailure(Object.hasOwn(known, error.code) ? known[error.code]! : t.failed(error.message));
      onFailed();
    } finally {
      setBusy(false);
    }
  };
  const failed = proposal.tests.filter(({ ok }) => !ok);
  return (
    <section aria-labelledby="proposal-heading" class="proposal">
      <h3 id="proposal-heading">{t.proposal}</h3>
      <p>
        <bdi>{t.proposedBy(authorName({ by: proposal.by, origin: '' }), f.dateTime(proposal.at))}</bdi>{' '}
        {proposal.by.kind === 'open' && <span class="muted">({t.byName}) </span>}·{' '}
        {t.fromTo(f.number(proposal.baseVersion), f.number(proposal.version))}
      </p>
      <blockquote>
        <bdi>{proposal.reason}</bdi>
      </blockquote>
      {proposal.isStale && (
        <p class="alarming" role="alert">
          {t.isStale}
        </p>
      )}
      <Difference hunks={proposal.diff} label={t.changes} />
      <p>
        {t.failedTests(failed.length, f.number(failed.length))}
        {proposal.backfillDays !== null && ` ${t.withBackfill(f.decimal(proposal.backfillDays, 1))}`}
        {proposal.backTest === null && ` ${t.noBackTest}`}
      </p>
      <TestList tests={failed} />
      {proposal.backTest !== null && <Figures figures={proposal.backTest} />}
      {mayDecide && (
        <form
          class="replay"
          onSubmit={(event) => {
            event.preventDefault();
            void decide('approve');
          }}
        >
          <NameNote />
          {isOwn ? (
            <p class="note">
              {t.ownProposal}
              {isOpen && (
                <>
                  {' '}
                  {t.otherPerson}{' '}
                  <button type="button" class="button" onClick={askName}>
                    {t.beOther}
                  </button>
                </>
              )}
            </p>
          ) : (
            <label>
              {t.remark}
              <input
                type="text"
                maxLength={REASON_MAX}
                value={reason}
                autocomplete="off"
                onInput={(event) => setReason(event.currentTarget.value)}
              />
            </label>
          )}
          <div class="button-group">
            {isOwn ? (
              <button type="button" class="button" disabled={busy} onClick={() => void decide('withdraw')}>
                {t.withdraw}
              </button>
            ) : (
              <>
                <button
                  type="button"
                  class="button"
                  disabled={busy || me === '' || reason.trim() === ''}
                  onClick={() => void decide('reject')}
                >
                  {t.reject}
                </button>
                <button type="submit" class="button primary" disabled={busy || me === '' || proposal.isStale}>
                  {t.approve}
                </button>
              </>
            )}
          </div>
        </form>
      )}
      {failure !== '' && <p role="alert">{failure}</p>}
    </section>
  );
}
