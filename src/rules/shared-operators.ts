/**
 * What is kept of an account or a subscriber as a whole, once for all rules: what an account owes and how it paid, prepaid
 * balance, care tickets, the profile, who wrote to a subscriber, its score and its revenue. Each is made when a rule first
 * mentions one of its values, and takes the records that it needs through steps of its own.
 */
import { type Balance, createBalance } from '../state/balance.ts';
import { type BillHistory, createBillHistory } from '../state/bill-history.ts';
import { createLedger, type Ledger } from '../state/ledger.ts';
import type { Scope } from '../state/operator.ts';
import { createProfile, PROFILE_NAMES, type Profile, profileBinding } from '../state/profile.ts';
import { createPromises, type Promises } from '../state/promises.ts';
import { createRevenue, type Revenue } from '../state/revenue.ts';
import { createScore, type Score } from '../state/score.ts';
import { createSenderNote, type SenderNote } from '../state/sender-note.ts';
import { createTickets, type Tickets } from '../state/tickets.ts';
import type { Binding } from './compile.ts';
import type { RegistryEntry } from './registry.ts';
import { always, type Condition, keyIndex, type SetDraft, type Step } from './set-draft.ts';

/** What the model keeps of revenue has one form, whatever its figures. */
const REVENUE_SIGNATURE = 'revenue|subscriber';
export const REVENUE_TYPES = ['topup', 'payment', 'invoice', 'account'] as const;

interface Made<T> {
  operator: T;
  entry: RegistryEntry;
}

export interface SharedOperators {
  ledger(): Made<Ledger>;
  billHistory(): Made<BillHistory>;
  promises(): Made<Promises>;
  disputes(): Made<Tickets>;
  tickets(): Made<Tickets>;
  balance(): Made<Balance>;
  profile(): Profile;
  /** `profile.status` of the served subscriber, `other.status` of the other party, and the like. */
  profileName(name: string): Binding | undefined;
  profileNames(): string[];
  /** The subscriber notes who sent it what a rule over senders takes, because it is the one that answers. */
  noteSenders(where: Condition): void;
  /** Its steps are what makes the model look. */
  revenue(graceMs: number): Made<Revenue> & { steps: Step[] };
  revenueEntry(): RegistryEntry | undefined;
  score: Made<Score>;
  /** Those that have been asked for. */
  made: {
    ledger: Ledger | undefined;
    promises: Promises | undefined;
    disputes: Tickets | undefined;
    balance: Balance | undefined;
    profile: Profile | undefined;
    senderNote: SenderNote | undefined;
  };
  /** Settles which use of the network the profile takes, when every rule has been read. */
  settleProfile(): void;
}

export function createSharedOperators(set: SetDraft): SharedOperators {
  const { options, operatorOf, registry, stepOf } = set;
  const account = keyIndex('account');
  const subscriber = keyIndex('subscriber');
  const charged = (scope: Scope): boolean => scope.record.chargeMicros > 0;
  const billing = (): Step => stepOf(account, ['invoice', 'payment'], '', always);
  const made: SharedOperators['made'] = {
    ledger: undefined,
    promises: undefined,
    disputes: undefined,
    balance: undefined,
    profile: undefined,
    senderNote: undefined,
  };

  const ledger = (): Made<Ledger> => {
    const signature = 'ledger|account|2';
    const own = operatorOf(signature, [], (id) => createLedger({ id, signature }));
    made.ledger = own.operator;
    billing().operators.add(own.operator);
    stepOf(account, ['voice', 'sms', 'data'], '(charge>0)', charged).operators.add(own.operator);
    return own;
  };

  /** Use is only looked at where a rule asks where subscribers are, or for their first use of a day. */
  const profileWants = { place: false, day: false };
  const profile = (): Profile => {
    if (made.profile !== undefined) return made.profile;
    const signature = 'profile|subscriber';
    const { names, localTime } = options;
    const { dayNumber } = localTime;
    const own = operatorOf(signature, ['account'], (id) =>
      createProfile({ id, signature, names, dayNumber, wants: profileWants }),
    );
    stepOf(subscriber, ['account'], '', always).operators.add(own.operator);
    made.profile = own.operator;
    return own.operator;
  };

  /** Kept whether or not a rule reads it: people see it, and a rule that asks for it later finds it. */
  const scoreEntry = registry.entryOf('score|subscriber', ['alert']);

  return {
    made,
    score: { operator: createScore(scoreEntry.id), entry: scoreEntry },
    ledger,
    profile,
    billHistory() {
      const signature = 'bills|account';
      const own = operatorOf(signature, [], (id) => createBillHistory({ id, signature }));
      const { operator } = ledger();
      operator.history = own.operator;
      operator.feeds = [own.operator];
      billing().operators.add(own.operator);
      return own;
    },
    promises() {
      const signature = 'promises|account';
      const own = operatorOf(signature, [], (id) => createPromises({ id, signature }));
      made.promises = own.operator;
      stepOf(account, ['payment'], '', always).operators.add(own.operator);
      const promised = (scope: Scope): boolean => scope.record.event === 'paymentPromised';
      stepOf(account, ['account'], "(event=='paymentPromised')", promised).operators.add(own.operator);
      return own;
    },
    disputes() {
      const signature = 'disputes|account';
      const opens = (record: Scope['record']): boolean => record.reason === 'dispute';
      const own = operatorOf(signature, [], (id) => createTickets({ id, signature, opens }));
      made.disputes = own.operator;
      stepOf(account, ['care'], '', always).operators.add(own.operator);
      return own;
    },
    tickets() {
      const signature = 'tickets|subscriber';
      const own = operatorOf(signature, [], (id) => createTickets({ id, signature }));
      stepOf(subscriber, ['care'], '', always).operators.add(own.operator);
      return own;
    },
    balance() {
      const signature = 'balance|subscriber';
      const own = operatorOf(signature, [], (id) => createBalance({ id, signature }));
      made.balance = own.operator;
      stepOf(subscriber, ['topup', 'transfer'], '', always).operators.add(own.operator);
      const moves = ({ record }: Scope): boolean =>
        record.chargeMicros > 0 || record.balanceAfterMicros === record.balanceAfterMicros;
      stepOf(subscriber, ['voice', 'sms', 'data'], '(charge>0)||has(balanceAfter)', moves).operators.add(own.operator);
      return own;
    },
    profileName(name) {
      if (name === 'firstUseOfDay') {
        profileWants.day = true;
        return { type: 'boolean', evaluate: profile().firstUseOfDay };
      }
      const [party, field] = name.split('.') as [string, string | undefined];
      if ((party !== 'profile' && party !== 'other') || field === undefined || !Object.hasOwn(PROFILE_NAMES, field))
        return undefined;
      const own = profile();
      if (['roaming', 'servingPlmn', 'servingAt'].includes(field)) {
        profileWants.place = true;
        set.uses.add('roaming');
      }
      return profileBinding(own, party, field, (number) => options.names.find(number));
    },
    profileNames: () => [
      'firstUseOfDay',
      ...Object.keys(PROFILE_NAMES).flatMap((field) => [`profile.${field}`, `other.${field}`]),
    ],
    noteSenders(where) {
      const signature = 'sender|subscriber';
      const { names } = options;
      made.senderNote = operatorOf(signature, [], (id) => createSenderNote({ id, signature, names })).operator;
      stepOf(subscriber, ['sms'], where.text, where.holds).operators.add(made.senderNote);
    },
    revenue(graceMs) {
      const signature = REVENUE_SIGNATURE;
      const own = operatorOf(signature, [], (id) => createRevenue({ id, signature, graceMs }));
      const steps = [
        stepOf(subscriber, [...REVENUE_TYPES], '', always),
        stepOf(subscriber, ['voice', 'sms', 'data'], '(charge>0)', charged),
      ];
      for (const step of steps) step.operators.add(own.operator);
      return { ...own, steps };
    },
    revenueEntry: () => [...registry.entries()].find(([signature]) => signature === REVENUE_SIGNATURE)?.[1],
    settleProfile() {
      const own = made.profile;
      if (own === undefined || !(profileWants.place || profileWants.day)) return;
      stepOf(subscriber, ['voice', 'sms', 'data'], '(use for the profile)', own.takesUse).operators.add(own);
    },
  };
}
