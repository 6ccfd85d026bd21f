/** The calls of the API about rules and their changes that the console makes. */
import type { DraftView, ProposalView, RuleChangesView } from '../http/rule-change-schemas.ts';
import type { RuleDetail, RuleSummary } from '../http/schemas.ts';
import type { BackTestResult } from '../rule-changes/change-event.ts';
import type { RuleEdits } from '../rule-changes/rule-edit.ts';
import { get, sendJson } from './api.ts';

export type { BackTestResult, DraftView, ProposalView, RuleChangesView, RuleDetail, RuleEdits, RuleSummary };
export type ProposalHead = Omit<ProposalView, 'text' | 'diff' | 'tests' | 'backTest' | 'backfillDays'>;
export type HistoryEntry = RuleChangesView['history'][number];
export type Hunks = DraftView['diff'];

/** What stands in the place of the rule: changed values, a whole text, or a text of its history. */
export type DraftOf = { edits: RuleEdits } | { text: string } | { restores: number };

export interface BackTestView {
  id: string;
  state: 'running' | 'done' | 'failed' | 'cancelled';
  days: number;
  read: number;
  total: number;
  failure: string;
  result: BackTestResult | null;
}

export interface ChangeView {
  version: number;
  text: string;
  diff: Hunks;
  fromNow: Hunks;
}

const of = (ruleId: string): string => `v1/rules/${encodeURIComponent(ruleId)}`;

export const getRules = async (signal?: AbortSignal): Promise<RuleSummary[]> =>
  ((await get('v1/rules', signal)) as { rules: RuleSummary[] }).rules;
export const getProposals = async (signal?: AbortSignal): Promise<ProposalHead[]> =>
  ((await get('v1/rule-proposals', signal)) as { proposals: ProposalHead[] }).proposals;
export const getRule = (ruleId: string, signal?: AbortSignal) => get(of(ruleId), signal) as Promise<RuleDetail>;
export const getRuleChanges = (ruleId: string, signal?: AbortSignal) =>
  get(`${of(ruleId)}/changes`, signal) as Promise<RuleChangesView>;
export const getRuleChange = (ruleId: string, sequence: number, signal?: AbortSignal) =>
  get(`${of(ruleId)}/changes/${sequence}`, signal) as Promise<ChangeView>;

export const draftRule = (ruleId: string, draft: DraftOf, tests: boolean) =>
  sendJson(`${of(ruleId)}/draft`, 'POST', { ...draft, tests }) as Promise<DraftView>;
export const startBackTest = (ruleId: string, draft: DraftOf, days: number) =>
  sendJson(`${of(ruleId)}/back-tests`, 'POST', { ...draft, days }) as Promise<BackTestView>;
export const getBackTest = (ruleId: string, id: string, signal?: AbortSignal) =>
  get(`${of(ruleId)}/back-tests/${id}`, signal) as Promise<BackTestView>;
export const cancelBackTest = (ruleId: string, id: string) =>
  sendJson(`${of(ruleId)}/back-tests/${id}`, 'DELETE', {}) as Promise<BackTestView>;
export const proposeRule = (
  ruleId: string,
  proposal: DraftOf & {
    baseTag: string;
    reason: string;
    backTestId?: string;
    backfillDays?: number;
    acceptFailedTests: boolean;
    by?: string;
  },
) => sendJson(`${of(ruleId)}/proposals`, 'POST', proposal) as Promise<RuleChangesView>;
export const decideProposal = (
  ruleId: string,
  proposalId: string,
  decision: { decision: 'approve' | 'reject' | 'withdraw'; reason?: string; by?: string },
) => sendJson(`${of(ruleId)}/proposals/${proposalId}/decision`, 'POST', decision) as Promise<RuleChangesView>;
