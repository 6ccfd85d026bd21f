/**
 * Who may do what: one row for each operation of the HTTP interface, the WebSocket included. A route that has no row here
 * does not compile, and a server that finds one all the same does not start.
 *
 * Three questions decide. The *role* (or, for a machine, the scope of its key) says whether the operation is allowed at all.
 * The *desk* says on what: a person or key has a set of desks, and an object of another desk does not exist for them. And
 * the *numbers* say how much of a subscriber number is shown; they are masked on the way out, whatever the route.
 */
import { DESKS, type Desk } from '../alerts/alert.ts';
import { type NumberView, ROLES, type Role, type Scope } from './grants.ts';

/**
 * What a route has to do with desks. `none`: nothing. `filter`: the answer holds what is on the caller's desks, and asking for
 * another one is a 403. `object`: what the address names belongs to a desk, and that of another desk is a 404. `fields`: the
 * object belongs to all, and the parts that are a desk's own are left out for the others.
 */
export type DeskRule = 'none' | 'filter' | 'object' | 'fields';

/** `public`: who has not signed in may. `signedIn`: everybody who has. `people`: every person who has, but no key. */
export type Access =
  | { may: 'public' | 'signedIn' | 'people'; desk: 'none'; audit?: boolean }
  /** A key needs the scope; without a scope no key may. `audit` false: not written down though it changes something. */
  | { may: readonly Role[]; scope?: Scope; desk: DeskRule; audit?: boolean };

const desks = ['analyst', 'lead', 'retention'] as const;

export const ROUTE_ACCESS = {
  // The records are their own trace, and there are too many of them for one entry each.
  postUsage: { may: [], scope: 'usage:write', desk: 'none', audit: false },
  listAlerts: { may: desks, scope: 'alerts:read', desk: 'filter' },
  followAlerts: { may: desks, scope: 'alerts:read', desk: 'filter' },
  revealAlert: { may: desks, desk: 'object' },
  listAlertRecords: { may: desks, scope: 'alerts:read', desk: 'object' },
  // A file leaves the house: not for who sells, and for no key.
  exportAlertRecords: { may: ['analyst', 'lead'], desk: 'object' },
  listCases: { may: desks, scope: 'cases:read', desk: 'filter' },
  groupCases: { may: desks, scope: 'cases:read', desk: 'filter' },
  getCase: { may: desks, scope: 'cases:read', desk: 'object' },
  postCaseEvent: { may: desks, scope: 'cases:write', desk: 'object' },
  previewSnooze: { may: desks, scope: 'cases:read', desk: 'object' },
  takeNextCase: { may: desks, scope: 'cases:write', desk: 'filter' },
  bulkCases: { may: desks, scope: 'cases:write', desk: 'filter' },
  undoBulk: { may: desks, scope: 'cases:write', desk: 'filter' },
  getFeedback: { may: desks, scope: 'cases:read', desk: 'filter' },
  // A file of whole numbers: for who sees them anyway.
  getLabels: { may: ['lead'], scope: 'cases:read', desk: 'filter' },
  getDeskSettings: { may: desks, scope: 'cases:read', desk: 'filter' },
  // Whose view it is, the handler knows.
  putView: { may: desks, desk: 'filter' },
  deleteView: { may: desks, desk: 'filter' },
  putDefaultView: { may: ['lead'], desk: 'filter' },
  putRouting: { may: ['lead'], desk: 'filter' },
  listLists: { may: desks, scope: 'rules:read', desk: 'none' },
  getListRows: { may: ['analyst', 'lead'], scope: 'rules:read', desk: 'none' },
  // What many rules ask is for leads; an analyst adds an entry out of a case.
  importListRows: { may: ['lead'], scope: 'rules:write', desk: 'none' },
  addListEntry: { may: ['lead'], scope: 'rules:write', desk: 'none' },
  endListEntry: { may: ['lead'], scope: 'rules:write', desk: 'none' },
  getSubscriber: { may: desks, scope: 'subscribers:read', desk: 'fields' },
  revealSubscriber: { may: desks, desk: 'fields' },
  listSubscriberRecords: { may: desks, scope: 'subscribers:read', desk: 'fields' },
  exportSubscriberRecords: { may: ['analyst', 'lead'], desk: 'fields' },
  listRules: { may: ROLES, scope: 'rules:read', desk: 'filter' },
  getRule: { may: ROLES, scope: 'rules:read', desk: 'object' },
  // Changes nothing, so it needs no trace.
  checkRule: { may: ['lead', 'sre'], scope: 'rules:read', desk: 'none', audit: false },
  // In one step, without a second person: for machines only.
  putRule: { may: [], scope: 'rules:write', desk: 'object' },
  listRuleProposals: { may: ROLES, scope: 'rules:read', desk: 'filter' },
  getRuleChanges: { may: ROLES, scope: 'rules:read', desk: 'object' },
  getRuleChange: { may: ROLES, scope: 'rules:read', desk: 'object' },
  // Drafts and back-tests change nothing.
  draftRule: { may: ['lead'], scope: 'rules:write', desk: 'object', audit: false },
  startBackTest: { may: ['lead'], scope: 'rules:write', desk: 'object' },
  getBackTest: { may: ['lead'], scope: 'rules:write', desk: 'object' },
  cancelBackTest: { may: ['lead'], scope: 'rules:write', desk: 'object' },
  proposeRule: { may: ['lead'], scope: 'rules:write', desk: 'object' },
  // Without a scope: the second person is a person.
  decideRuleProposal: { may: ['lead'], desk: 'object' },
  listDeadLetters: { may: ['sre', 'lead'], scope: 'deadletters:read', desk: 'none' },
  getDeadLetter: { may: ['sre', 'lead'], scope: 'deadletters:read', desk: 'none' },
  // Who sees masked numbers may send a record as it is; a correction would put the mask into it.
  replayDeadLetter: { may: ['sre', 'lead'], scope: 'deadletters:write', desk: 'none' },
  getOperations: { may: ROLES, scope: 'operations:read', desk: 'none' },
  // Counts over all subscribers, nobody's own.
  getChurn: { may: ROLES, scope: 'operations:read', desk: 'none' },
  getOpenApi: { may: 'public', desk: 'none' },
  getAsyncApi: { may: 'public', desk: 'none' },
  getSession: { may: 'public', desk: 'none' },
  beginOidc: { may: 'public', desk: 'none' },
  finishOidc: { may: 'public', desk: 'none' },
  // Signing in writes its own entries, for success and failure.
  signIn: { may: 'public', desk: 'none', audit: false },
  signOut: { may: 'people', desk: 'none' },
  // The store writes its own entry, in one transaction with the change.
  changePassword: { may: 'people', desk: 'none', audit: false },
  // A ticket is worth nothing but what its holder may do anyway.
  takeTicket: { may: 'signedIn', desk: 'none', audit: false },
  // The store writes its own entry for each change, in one transaction with it. No key makes others.
  listUsers: { may: ['admin'], desk: 'none' },
  addUser: { may: ['admin'], desk: 'none', audit: false },
  changeUser: { may: ['admin'], desk: 'none', audit: false },
  resetPassword: { may: ['admin'], desk: 'none', audit: false },
  listKeys: { may: ['admin'], desk: 'none' },
  addKey: { may: ['admin'], desk: 'none', audit: false },
  revokeKey: { may: ['admin'], desk: 'none', audit: false },
  verifyAudit: { may: ['admin'], scope: 'audit:read', desk: 'none' },
  listAudit: { may: ['admin'], scope: 'audit:read', desk: 'none' },
} satisfies Record<string, Access>;

export type OperationId = keyof typeof ROUTE_ACCESS;

/** Who makes a request, as far as it matters for what is allowed. */
export interface Principal {
  /** `open`: nobody has to sign in here. `anonymous`: somebody would have to, and has not. */
  kind: 'open' | 'anonymous' | 'user' | 'key';
  /** Name of the person, id of the key; empty where there is none. */
  id: string;
  roles: readonly Role[];
  scopes: readonly Scope[];
  desks: readonly Desk[];
  numbers: NumberView;
  /** When the session or key ends, epoch ms; infinite where nothing does. */
  expiresAt: number;
  /** Hash of the session or key, to look it up again; empty where there is none. */
  credential: string;
  /** The one-time password has to be changed before anything else. */
  mustChangePassword: boolean;
}

const nobody = {
  id: '',
  roles: [],
  scopes: [],
  expiresAt: Number.POSITIVE_INFINITY,
  credential: '',
  mustChangePassword: false,
};
/** Everybody on this machine, while no sign-in is set up. */
export const OPEN: Principal = { ...nobody, kind: 'open', desks: DESKS, numbers: 'full' };
export const ANONYMOUS: Principal = { ...nobody, kind: 'anonymous', desks: [], numbers: 'own' };

/** Leads see whole numbers; retention, which sells, never sees whom a subscriber calls. */
export function numberViewOf(roles: readonly Role[]): NumberView {
  if (roles.includes('lead')) return 'full';
  return roles.includes('analyst') ? 'masked' : 'own';
}

export type Decision = 'allowed' | 'signInFirst' | 'passwordFirst' | 'forbidden';

/** Whether a principal may use an operation at all; which objects is decided by `maySeeDesk`. */
export function decide(operation: OperationId, principal: Principal): Decision {
  const { may, scope }: { may: Access['may']; scope?: Scope } = ROUTE_ACCESS[operation];
  if (principal.kind === 'open' || may === 'public') return 'allowed';
  if (principal.kind === 'anonymous') return 'signInFirst';
  if (principal.mustChangePassword && operation !== 'changePassword' && operation !== 'signOut') return 'passwordFirst';
  if (may === 'signedIn') return 'allowed';
  if (principal.kind === 'key')
    return scope !== undefined && principal.scopes.includes(scope) ? 'allowed' : 'forbidden';
  if (may === 'people') return 'allowed';
  return principal.roles.some((role) => may.includes(role)) ? 'allowed' : 'forbidden';
}

/** Everything that a principal may do at all: what a page shows them. */
export function operationsOf(principal: Principal): OperationId[] {
  return (Object.keys(ROUTE_ACCESS) as OperationId[]).filter((operation) => decide(operation, principal) === 'allowed');
}

export function maySeeDesk(principal: Principal, desk: string): boolean {
  return (principal.desks as readonly string[]).includes(desk);
}

/** Why these roles and desks do not go together; undefined where they do. */
export function grantProblem(roles: readonly Role[], granted: readonly Desk[]): string | undefined {
  if (roles.length === 0) return 'At least one role is needed.';
  if (granted.length === 0) return 'At least one desk is needed.';
  const others = granted.filter((desk) => desk !== 'retention');
  if (roles.includes('retention') && others.length > 0) {
    return `The role retention works on the desk retention alone, not on ${others.join(' and ')}.`;
  }
  return undefined;
}
