/**
 * The deterministic core: usage records in, alerts out. `apply` is synchronous and does no I/O; it reads no clock and draws
 * no random numbers. Time comes from the records. The same records in the same order give the same state, byte for byte in
 * meaning, and the same alerts, whether they come from NATS, a file, a test or a replay after a crash, and in whatever
 * batches.
 *
 * What happens to one record, in this order:
 *
 * 1. a recordId that was applied before changes nothing;
 * 2. the watermark moves on, and all timers that it has passed fire;
 * 3. for each key that a rule groups by (subscriber, account, IMSI ...): windows are updated, then the rules that looked at
 *    this record are evaluated. A record counts itself;
 * 4. timers are set for the moments at which a rule wants to look again;
 * 5. alerts that began or rose are looked at as records themselves, where a rule asks for that (alerts/loopback.ts).
 */
import { type AlertData, DESKS, type Desk, type LocalizedText } from './alerts/alert.ts';
import {
  alertIdOf,
  bandOf,
  beginEpisode,
  firedAtOf,
  hasEpisode,
  heldAtOf,
  holdEpisode,
  lowerEpisode,
  raiseEpisode,
  revisionOf,
} from './alerts/episode.ts';
import { accountWorth, evidenceOf, rounded, subscriberWorth } from './alerts/evidence.ts';
import { alertRecord, LOOPBACK_DEPTH_MAX, LOOPBACK_RECORDS_MAX } from './alerts/loopback.ts';
import { DEPARTED, departedReason, firingReason, resolvedReason } from './alerts/reason.ts';
import { isHeldBack, NOT_NAMED } from './alerts/suppression.ts';
import { type AlertNote, BLANK_RECORD, type SeenRecord, type UsageRecord } from './record/usage-record.ts';
import { isRoaming } from './reference/home-network.ts';
import { parseLists, type ReferenceLists } from './reference/lists.ts';
import { holidaysOf, type LocalTime } from './reference/local-time.ts';
import type { NumberingPlan } from './reference/numbering-plan.ts';
import type { CompiledRule } from './rules/compiled-rule.ts';
import type { RuleProblem } from './rules/form.ts';
import type { PreparedRules } from './rules/message.ts';
import { type BackfillSpan, isEpisodeSignature, type Registry, type RegistryEntry } from './rules/registry.ts';
import { isOff, isShadow, KEY_TYPES, type KeyType, type RuleSource } from './rules/rule.ts';
import { compileRuleSet, filesInForce, observingOnly, type RuleSet } from './rules/rule-set.ts';
import { type Arena, type ArenaCut, createArena, type Memory } from './state/arena.ts';
import {
  type Blocks,
  clockOf,
  createBlocks,
  firstSeenOf,
  HOST_TYPE,
  HOUSEMATES,
  housemateOf,
  keyOf,
  keyTypeOf,
  linkOf,
  moveIn,
  moveOut,
  OPERATORS_MAX,
  ownerOf,
  ownerTypeOf,
  queuedAtOf,
  type Segments,
  segmentCountOf,
  select,
  setClock,
  setFirstSeen,
  setLink,
  setQueuedAt,
  setWakeAt,
  usedUnitsOf,
  wakeAtOf,
} from './state/block.ts';
import { type CalibrationState, createCalibration } from './state/calibration.ts';
import type { PageMemory } from './state/checkpoint.ts';
import { createColdest } from './state/coldest.ts';
import { createDuplicates, HORIZON_RECORDS_DEFAULT } from './state/duplicates.ts';
import {
  type BorrowedNames,
  borrowNames,
  createKeyTable,
  createNames,
  fingerprint,
  hashedNumber,
  type KeyTable,
  type Names,
  type NamesCut,
} from './state/key-table.ts';
import { blankScope } from './state/operator.ts';
import type { Panes } from './state/panes.ts';
import type { ProfileField } from './state/profile.ts';
import { createRankings, type RankingDay } from './state/rankings.ts';
import { senderRangeOf } from './state/sender-note.ts';
import type { Spill, SpilledCut, SpilledLabels } from './state/spill-store.ts';
import { createTimers } from './state/timers.ts';
import { debtView, featureView, ledgerView, type SubscriberView, worthView } from './subscriber-view.ts';

/** How far behind the largest event time a record may come and still find every window open. */
export const LATENESS_MS_DEFAULT = 300_000;
/** Keys of so many blocks are taken over from a back-fill in one go: 1 to 2 ms of work. */
const BLOCKS_TAKEN_OVER = 512;
/**
 * Timers fired in one go before a record is applied. After a silence all that fell due meanwhile comes up with the first
 * record: at some 2 us each this is 10 ms, then alerts are handed over and others have their turn.
 */
export const TIMERS_STEP_MAX = 4_096;
/** A rule that throws this often is switched off until the next rule set; the others go on. */
export const RULE_ERRORS_MAX = 100;

/** Id 0 in a subscriber's block: the account that its last record named. Rules use ids from 1 on. */
const ACCOUNT_LINK = 0;

const SUBSCRIBER = KEY_TYPES.indexOf('subscriber');
const ACCOUNT = KEY_TYPES.indexOf('account');
const IMSI = KEY_TYPES.indexOf('imsi');
const IMEI = KEY_TYPES.indexOf('imei');
const CELL = KEY_TYPES.indexOf('cell');
const OTHER_RANGE = KEY_TYPES.indexOf('otherRange');
const OTHER_NUMBER = KEY_TYPES.indexOf('otherNumber');
const SUBSCRIBER_PREFIX = KEY_TYPES.indexOf('subscriber+prefix');
const SENDER_RANGE = KEY_TYPES.indexOf('sender+range');
/** Composite keys: their numbers are given back when the key is forgotten. */
const PAIRS: ReadonlySet<number> = new Set(KEY_TYPES.flatMap((type, index) => (type.includes('+') ? [index] : [])));
/** Numbers with so many first digits in common are one range of an operator. */
const OTHER_RANGE_DIGITS = 8;
/** Kinds of keys behind which stands one subscriber, and so one account. */
const PARTY_TYPES: ReadonlySet<number> = new Set(
  ['subscriber', 'imsi', 'imei', 'subscriber+prefix', 'imsi+servingPlmn'].map((key) =>
    KEY_TYPES.indexOf(key as KeyType),
  ),
);
/** Id 0 in the block of a hashed key: its text, `[bytes, 0] text`. */
const KEY_TEXT = 0;
/** A longer text is cut where it is shown; the key is that of the whole text. */
const KEY_TEXT_BYTES_MAX = 256;
/** Keys of which there are about as many as subscribers, with the attribute that names them. */
const HASHED_TYPES: ReadonlyMap<number, ProfileField> = new Map([
  [KEY_TYPES.indexOf('idDocument'), 'idDocHash'],
  [KEY_TYPES.indexOf('paymentToken'), 'paymentTokenHash'],
  [KEY_TYPES.indexOf('address'), 'addressHash'],
]);
/** Blocks that are spilled in one go, once a limit is reached: 1 to 2 ms of work. */
const SPILLED_AT_ONCE = 512;
/** While timers fire in one go, room is made after so many: each may have brought a key back. */
const POPPED_BETWEEN_SPILLS = 256;
/** Keys of timers that are looked up ahead of a batch. */
const TIMERS_FETCHED_MAX = 4_096;
/** What stands before the open episodes in the label of a spilled block: kind and number of episodes, key, time, housemates. */
const LABEL_UNITS = 3 + HOUSEMATES;
/** Keys fetched ahead at once: their blocks fill about half of a second-level cache of 1 MB. */
const WARM_KEYS_MAX = 768;

export type Applied = 'applied' | 'duplicate' | 'late';

export interface EngineOptions {
  numberingPlan: NumberingPlan;
  localTime: LocalTime;
  latenessMs?: number;
  horizonRecords?: number;
  /** Names of the engine that this one reads old records for. */
  names?: BorrowedNames;
  /** Networks (MCC+MNC) that are home; empty: those of the list `networks`, or else the network that the IMSI names. */
  homePlmns?: readonly string[];
  onRuleError?: (ruleId: string, error: unknown) => void;
  /** Currency units of one special drawing right, for rules; default 1. */
  currencyPerSdr?: number;
  /** Where the coldest keys go when memory holds more blocks, or more bytes in blocks, than this. Without it none ever does. */
  spill?: { store: Spill; blocksMax: number; bytesMax: number };
  /** Where the memory of the state comes from. */
  memory?: Memory;
}

/** Everything a checkpoint holds besides the arena's pages; plain data. */
export interface EngineMeta {
  ruleSetVersion: string;
  /** A rule set that waits for its windows to be filled; belongs to the pipeline. */
  prepared?: PreparedRules | undefined;
  /** Rule files and reference lists. */
  rules: { file: string; text: string }[];
  registry: [string, RegistryEntry][];
  watermark: number;
  maxEventTime: number;
  applied: number;
  duplicates: number;
  late: number;
  /** Absent in checkpoints of before there were any. */
  rankings?: RankingDay[];
  calibration?: CalibrationState;
  /** Where the keys are that were not in memory; absent where all were. */
  spilled?: SpilledCut;
  /** How large the key tables were, those of hosts behind the others, so that they need not grow again; absent in older ones. */
  tableSizes?: number[];
}

export interface EngineCut {
  meta: EngineMeta;
  names: NamesCut;
  duplicates: Uint8Array[];
  arena: ArenaCut;
  /** Must be called when the cut has been written, or will not be. */
  release(): void;
}

export interface Engine {
  /** Applies one record. Alerts are appended to `alerts`, oldest first. */
  apply(record: UsageRecord, alerts: AlertData[]): Applied;
  /**
   * Touches the memory that records ... will need, so that applying them finds it in the cache. Changes nothing and is never
   * needed for a right result; worth it for a few hundred records that are applied right afterwards.
   */
  warm(records: readonly UsageRecord[], from: number, to: number): void;
  /**
   * Spills at most SPILLED_AT_ONCE of the coldest blocks where memory holds more than it should; true where there is more to do. Never
   * changes a result. To be called between batches: after a record only timers that fire by the thousand call it.
   */
  makeRoom(): boolean;
  /** Blocks that are spilled now. */
  spilled(): number;
  /**
   * Where the blocks lie that these records will need, and that timers will which are due then. Not all of them can be known
   * before; what is missing is read when it is met, and the results are the same.
   */
  spilledOf(records: readonly UsageRecord[]): number[];
  /** A spilled block has another reference now. */
  spilledMoved(label: Float64Array, from: number, to: number): void;
  /** For tests of rules: looks at an alert that `record` has made fire, without that record. */
  applyAlert(record: UsageRecord, alert: AlertNote, alerts: AlertData[]): void;
  /** Moves the clock of a silent partition; changes nothing else. */
  tick(eventTime: number, alerts: AlertData[]): void;
  /**
   * Fires at most TIMERS_STEP_MAX of the timers that this record, or a tick ('') of this time, makes due; true where some are
   * left. Never needed for a right result: `apply` and `tick` fire what is left, in the same order.
   */
  fireDue(eventTime: number, recordId: string, alerts: AlertData[]): boolean;
  /** Fires at most `limit` timers that the watermark has passed; returns how many. After a record or a tick none is left. */
  fireTimers(limit: number, alerts: AlertData[]): number;
  /**
   * Swaps the whole rule set and the lists that it asks between two records; on problems nothing changes. Without lists every
   * list is empty. Open alerts of rules that are in the set no longer are resolved here and now; where there may be thousands
   * of them, call `endEpisodes` before.
   */
  useRules(
    sources: RuleSource[],
    version: string,
    alerts?: AlertData[],
    lists?: ReferenceLists,
    backfill?: Backfill,
  ): RuleProblem[];
  /**
   * Begins to fill the windows that this set would add, from records that are read again. `until`: a feature that began later
   * than this event time is filled too. Nothing changes here until the set is swapped in.
   */
  beginBackfill(
    sources: RuleSource[],
    version: string,
    until: number,
    lists?: ReferenceLists,
  ): { backfill: Backfill } | { problems: RuleProblem[] };
  /**
   * After a swap with a back-fill: takes over what it has of the next BLOCKS_TAKEN_OVER blocks of its state. False when there
   * is no more. A key that is touched before its turn is taken over then, so results do not depend on when this is called.
   */
  takeOver(): boolean;
  /**
   * The same where a record of this time may make looks due that only the take-over finds; else false. Never needed for a right
   * result: `apply` and `tick` do the rest of it at once.
   */
  takeOverBefore(eventTime: number): boolean;
  /** Makes an empty engine one that only fills the fresh windows of this set. */
  observe(whole: RuleSet): { state: BackfillState };
  /** Open alerts that a swap to this set would resolve. */
  episodesWithout(sources: readonly RuleSource[]): number;
  /** Resolves at most `limit` of them, as the swap would; returns how many. */
  endEpisodes(sources: readonly RuleSource[], version: string, limit: number, alerts: AlertData[]): number;
  /** What would be wrong with this set; changes nothing. */
  checkRules(sources: RuleSource[], lists?: ReferenceLists): RuleProblem[];
  ruleSet(): RuleSet;
  inspectSubscriber(msisdn: string): SubscriberView | undefined;
  /** How right the churn formula has been; its model is that of the rule set. */
  calibration(): CalibrationState;
  watermark(): number;
  maxEventTime(): number;
  counts(): { applied: number; duplicate: number; late: number };
  stats(): {
    /** All that are known, and those of them that are spilled. */
    subscribers: number;
    spilledSubscribers: number;
    keys: Record<string, number>;
    /** Blocks in memory: one for each key or for each subscriber and what lives with it. */
    residentBlocks: number;
    stateBytes: number;
    usedBytes: number;
    timers: number;
    duplicateHorizon: number;
    names: number;
    warmed: number;
    /** Alerts that were not looked at as records because one record led to too many of them. */
    loopbacksCut: number;
  };
  /** Fixes the whole state as of now; see checkpoint.ts. */
  cut(): EngineCut;
  /** Counterpart of `cut` on a fresh engine: pages have been put into the arena before, and the store has been loaded. */
  restore(
    meta: EngineMeta,
    sources: RuleSource[],
    names: string[],
    duplicates: Uint8Array[],
    spilled?: SpilledLabels,
  ): RuleProblem[];
  /**
   * Where pages are best read to before `restore`: what each says of keys is learned while the next ones are read. Empty again
   * after `clear`.
   */
  pageMemory: PageMemory<EngineMeta>;
  arena: Arena;
}

/** Reads old records again beside the engine that began it, for the windows of features that are new. */
export interface Backfill {
  apply(record: UsageRecord): void;
  tick(eventTime: number): void;
  /** Bytes of its state. */
  bytes(): number;
  /** Records applied. */
  applied(): number;
  span: BackfillSpan;
  /** For the engine that takes over. */
  state: BackfillState;
}

interface BackfillState {
  /** Binds and selects a key; false where it is not known, or taken over already. */
  find(keyType: number, key: number): boolean;
  /** The selected key has been taken over. Its windows can be read until another block is bound. */
  leave(): void;
  blocks: Blocks;
  arena: Arena;
  names: BorrowedNames;
}

export function createEngine(options: EngineOptions): Engine {
  const latenessMs = options.latenessMs ?? LATENESS_MS_DEFAULT;
  const { numberingPlan, localTime, currencyPerSdr } = options;

  const arena = createArena(options.memory);
  const blocks = createBlocks(arena);
  const names: Names = options.names ?? createNames();
  const tables: KeyTable[] = KEY_TYPES.map(() => createKeyTable());
  blocks.onMove((keyType, key, address) => tables[keyType]!.set(key, address));
  /** Subscriber in whose block an account, SIM or handset lives; those with a block of their own stand in `tables`. */
  const hosts: KeyTable[] = KEY_TYPES.slice(0, HOUSEMATES).map(() => createKeyTable());
  /** Subscribers, accounts, SIMs and handsets that live in the block of a subscriber. */
  const housemates = new Int32Array(HOUSEMATES);
  /** Address of a key's block: a reference into the store is a negative number in the table, and its block comes back. */
  const addressOf = (keyType: number, key: number): number => {
    const address = tables[keyType]!.get(key);
    return address < 0 ? bringBack(keyType, key, address) : address;
  };
  const { spill } = options;
  let spilledBlocks = 0;
  let spilledSubscribers = 0;
  let poppedSinceRoom = 0;
  const coldest = createColdest(arena, blocks.touchedAt);
  const timers = createTimers();
  const duplicates = createDuplicates(options.horizonRecords ?? HORIZON_RECORDS_DEFAULT);
  const registry: Registry = new Map();
  const rankings = createRankings({ localTime, latenessMs });
  const calibration = createCalibration();
  /** Event time at which the next day of looks may have ended; see settleRankings. */
  let settleAt = Number.NEGATIVE_INFINITY;

  let watermark = Number.NEGATIVE_INFINITY;
  let maxEventTime = Number.NEGATIVE_INFINITY;
  let appliedCount = 0;
  let duplicateCount = 0;
  let lateCount = 0;
  let ruleErrors = new Map<CompiledRule, number>();
  /** Keys with an open episode, by its operator id: what a removed rule leaves open is found without walking the state. */
  const openKeys: (KeyTable | undefined)[] = [];

  const { cursor } = blocks;
  const segments: Segments = {
    f64: cursor.f64,
    u32: cursor.u32,
    find(subscriber, operator) {
      if (donor !== undefined) settleBeside(SUBSCRIBER, subscriber);
      // The block of the record's own subscriber is bound already.
      if (cursor.address !== 0 && ownerTypeOf(cursor) === HOST_TYPE && ownerOf(cursor) === subscriber) {
        segments.f64 = cursor.f64;
        segments.u32 = cursor.u32;
        return cursor.segmentAt[operator]!;
      }
      const address = addressOf(SUBSCRIBER, subscriber);
      return address === 0 ? 0 : blocks.peek(address, operator, segments);
    },
  };
  const scope = blankScope(cursor, segments);
  /** Keys that nearly every record has, worked out once for all that use them. */
  let subscriberKey = 0;
  let imsiKey = 0;
  /** Where revisions go; set at the begin of every public call that can make some. */
  let output: AlertData[] = [];

  /** Alerts to be looked at as records when the one at hand is done; empty between the public calls. */
  const pending: { record: SeenRecord; depth: number; rule: CompiledRule; points: number }[] = [];
  /** How many alerts lie between the usage record at hand and the one that is looked at: 0 for itself. */
  let depth = 0;
  let loopbacksCut = 0;
  /** Keys of the record at hand that want to be looked at at a time that has passed; empty between records. */
  const overdue: { keyType: number; key: number; wakeAt: number }[] = [];

  // Derived values that no rule asks for are not worked out.
  let ruleSet = emptyRuleSet(localTime);
  let usesDestination = false;
  let usesHome = false;
  let usesRoaming = false;
  let usesOtherNumber = false;
  let usesLocalTime = false;
  let usesShift = false;
  let homePlmns: ReadonlySet<string> = new Set(options.homePlmns ?? []);
  let holidays: ReadonlySet<number> = new Set();
  /** Longest retention of the operators of a key type; Infinity where one remembers for ever. */
  let idleMs: number[] = [];

  /**
   * The back-fill whose windows are being taken over, the blocks of its state to be taken next, and the watermark of the swap.
   * `looks`: a rule looks at them at times of its own. Which keys that makes due is known only when they have been taken over, so
   * all are before time goes on: a look would else come with a later record than in a run in which the take-over was quicker.
   */
  let donor: { state: BackfillState; page: number; waiting: number[]; watermark: number; looks: boolean } | undefined;

  /** `whole`: the set that says how long keys are kept, where only a part of it is run. */
  const adopt = (next: RuleSet, whole = next): void => {
    ruleSet = next;
    ruleErrors = new Map();
    usesDestination = [
      'international',
      'homeCountry',
      'destinationCountry',
      'destinationPrefix',
      'destinationClass',
    ].some((name) => next.uses.has(name));
    usesDestination ||= next.rules.some(
      ({ rule }) => rule.key === 'subscriber+prefix' || rule.key === 'carrier+country',
    );
    usesHome = next.uses.has('homeCountry');
    usesOtherNumber = next.rules.some(({ keyType }) => keyType === OTHER_NUMBER);
    usesRoaming = next.uses.has('roaming');
    usesLocalTime = next.uses.has('night') || next.uses.has('weekend');
    usesShift = next.uses.has('shift') || next.uses.has('holiday');
    holidays = holidaysOf(next.lists?.get('holidays')?.valuesOf('date') ?? []);
    const networks = next.lists?.get('networks');
    const listed = networks
      ?.valuesOf('plmn')
      .filter((plmn) => networks.textAt(networks.find(plmn), 'class') === 'home');
    homePlmns = new Set(options.homePlmns?.length ? options.homePlmns : listed);
    idleMs = KEY_TYPES.map(() => 0);
    for (const [id, { retentionMs }] of whole.operators) {
      const keyType = whole.keyTypes[id]!;
      idleMs[keyType] = Math.max(idleMs[keyType]!, retentionMs);
    }
    for (const { suppressBy, suppressMs } of next.rules)
      if (suppressBy >= 0) idleMs[suppressBy] = Math.max(idleMs[suppressBy]!, suppressMs);
    for (const { keyType, asksKnownFor } of next.rules) if (asksKnownFor) idleMs[keyType] = Number.POSITIVE_INFINITY;
    // Their text comes with an account record only; later use would find the key again, but not its text.
    for (const keyType of HASHED_TYPES.keys()) idleMs[keyType] = Number.POSITIVE_INFINITY;
  };

  const keyNumber = (keyType: number, record: SeenRecord): number => {
    switch (keyType) {
      case SUBSCRIBER:
        return subscriberKey;
      case ACCOUNT:
        return record.accountId === '' ? subscriberKey : names.numberOf(record.accountId);
      case IMSI:
        return imsiKey;
      case SUBSCRIBER_PREFIX:
        return scope.destination === undefined || record.servedMsisdn === ''
          ? 0
          : names.pairOf(record.servedMsisdn, scope.destination.prefix);
      case SENDER_RANGE:
        return record.recordType === 'sms' ? senderRangeOf(names, record) : notedSender(record.eventTime);
    }
    switch (KEY_TYPES[keyType]!) {
      case 'imei':
        return names.numberOf(record.servedImei);
      case 'cell':
        return names.numberOf(record.cellId);
      case 'otherNumber':
        return names.numberOf(record.otherNumber);
      case 'trunk':
        return names.numberOf(record.trunkId);
      case 'carrier':
        return names.numberOf(record.carrierId);
      case 'servingPlmn':
        return names.numberOf(record.servingPlmn);
      case 'otherRange':
        return otherRangeOf(record);
      case 'imsi+servingPlmn':
        return record.servedImsi === '' || record.servingPlmn === ''
          ? 0
          : names.pairOf(record.servedImsi, record.servingPlmn, '@');
      case 'carrier+country':
        return record.carrierId === '' || scope.destination === undefined
          ? 0
          : names.pairOf(record.carrierId, scope.destination.country);
      case 'dealer':
        return profileKey(record, 'dealerId', names.numberOf);
      case 'idDocument':
        return profileKey(record, 'idDocHash', hashedNumber);
      case 'paymentToken':
        return profileKey(record, 'paymentTokenHash', hashedNumber);
      case 'address':
        return profileKey(record, 'addressHash', hashedNumber);
      default:
        throw new Error(`no key of type ${KEY_TYPES[keyType]}`);
    }
  };

  /** Digits give a number above 0, names one below, and a short code has no range. */
  const otherRangeOf = ({ otherNumber }: SeenRecord): number => {
    const range = fingerprint(otherNumber.slice(0, OTHER_RANGE_DIGITS));
    return range > 0 && otherNumber.length >= OTHER_RANGE_DIGITS ? range : 0;
  };

  /**
   * Who sends and who confirms are in different records: a one-time password that a subscriber confirms belongs to the sender of
   * the last SMS that a rule over senders has taken. 0 where none is noted, or its key has gone in between.
   */
  const notedSender = (eventTime: number): number => {
    if (!find(SUBSCRIBER, subscriberKey)) return 0;
    const key = ruleSet.senderNote?.read(cursor, eventTime) ?? 0;
    if (donor !== undefined) settleBeside(SENDER_RANGE, key);
    return key === 0 || tables[SENDER_RANGE]!.get(key) === 0 ? 0 : key;
  };

  /** What the record says itself, else what is remembered of its subscriber. */
  const profileKey = (record: SeenRecord, field: ProfileField, numberOf: (text: string) => number): number => {
    const stated = record.attributes === null ? undefined : record.attributes[field];
    if (typeof stated === 'string' && stated !== '') return numberOf(stated);
    return ruleSet.profile === undefined ? 0 : ruleSet.profile.number(scope, subscriberKey, field);
  };

  /** A text of which there are too many to be interned stands in the block of its key. */
  const keyText = (keyType: number): string => {
    const key = keyOf(cursor);
    const segment = cursor.segmentAt[KEY_TEXT]!;
    if (key > 0 || !HASHED_TYPES.has(keyType)) return names.textOf(key);
    if (segment === 0) return '';
    const { f64, u32 } = cursor;
    return Buffer.from(f64.buffer, f64.byteOffset + (segment + 1) * 8, u32[segment * 2]!).toString();
  };
  const keepKeyText = (text: string): void => {
    const bytes = Buffer.from(text).subarray(0, KEY_TEXT_BYTES_MAX);
    const segment = blocks.ensure(KEY_TEXT, 1 + Math.ceil(bytes.length / 8));
    const { f64, u32 } = cursor;
    u32[segment * 2] = bytes.length;
    bytes.copy(Buffer.from(f64.buffer, f64.byteOffset + (segment + 1) * 8, bytes.length));
  };

  const derive = (record: SeenRecord): void => {
    scope.record = record;
    subscriberKey = names.numberOf(record.servedMsisdn);
    scope.subscriber = subscriberKey;
    imsiKey = names.numberOf(record.servedImsi);
    if (usesDestination) {
      if (record.otherNumber === '' && !usesHome) {
        scope.destination = undefined;
        scope.international = false;
      } else {
        const home = numberingPlan.lookup(record.servedMsisdn);
        scope.homeCountry = home === undefined ? '' : home.country;
        scope.destination = record.otherNumber === '' ? undefined : numberingPlan.lookup(record.otherNumber);
        scope.international =
          scope.destination !== undefined && home !== undefined && scope.destination.country !== home.country;
      }
    }
    if (usesRoaming) scope.roaming = isRoaming(record, homePlmns, numberingPlan);
    if (usesLocalTime) {
      scope.night = localTime.isNight(record.eventTime);
      scope.weekend = localTime.isWeekend(record.eventTime);
    }
    if (usesShift) deriveShift(record.eventTime);
  };

  const deriveShift = (epochMs: number): void => {
    scope.shift = localTime.shiftOf(epochMs, holidays);
    scope.holiday = holidays.has(localTime.dayNumber(epochMs));
  };

  const advance = (eventTime: number): void => {
    if (eventTime <= maxEventTime) return;
    maxEventTime = eventTime;
    watermark = eventTime - latenessMs;
    if (donor !== undefined) while (takeOverBefore(eventTime));
  };

  /**
   * A state of a gigabyte is read at random: each key is a miss in the key table, one in the block's header
   * and some in its segments, 100 ns and more apiece. One after the other they were two thirds of the time of `apply`. In these
   * short loops nothing depends on the read before, so the processor waits for many of them at once.
   */
  const warmKeys = new Float64Array(WARM_KEYS_MAX);
  const warmTypes = new Uint8Array(WARM_KEYS_MAX);
  let warmed = 0;
  const warm = (records: readonly UsageRecord[], from: number, to: number): void => {
    let sum = 0;
    for (let first = from; first < to; ) {
      let count = 0;
      let next = first;
      for (; next < to && count + 2 <= WARM_KEYS_MAX; next++) {
        const record = records[next]!;
        warmTypes[count] = SUBSCRIBER;
        warmKeys[count++] = names.find(record.servedMsisdn);
        if (usesOtherNumber && record.direction === 'mo' && record.recordType === 'voice') {
          warmTypes[count] = OTHER_NUMBER;
          warmKeys[count++] = names.find(record.otherNumber);
        }
        sum += duplicates.warm(record.recordId);
      }
      for (let index = 0; index < count; index++) {
        // One that is spilled is not here to be touched.
        warmKeys[index] = Math.max(0, tables[warmTypes[index]!]!.get(warmKeys[index]!));
      }
      for (let index = 0; index < count; index++) sum += arena.touch(warmKeys[index]!);
      first = next;
    }
    // Kept, so that no compiler finds the loops useless.
    warmed = sum;
  };

  // -- keys that memory has no room for ----------------------------------------------------------------------------------

  const label = new Float64Array(LABEL_UNITS + OPERATORS_MAX);
  const bringBack = (keyType: number, key: number, address: number): number => {
    const image = spill!.store.take(-address);
    const back = blocks.bringBack(image);
    tables[keyType]!.set(key, back);
    spilledBlocks--;
    if (keyType === HOST_TYPE && blocks.isHome(back)) spilledSubscribers--;
    return back;
  };

  /** Spills a block; false where the store takes nothing now. */
  const spillBlock = (address: number): boolean => {
    blocks.bind(address);
    const ownerType = ownerTypeOf(cursor);
    const owner = ownerOf(cursor);
    let episodes = 0;
    for (let index = segmentCountOf(cursor) - 1; index >= 0; index--) {
      const id = blocks.segmentIdAt(index);
      if (ruleSet.rulesByEpisode[id] !== undefined) label[LABEL_UNITS + episodes++] = id;
    }
    label[0] = ownerType + episodes * 256;
    label[1] = owner;
    label[2] = queuedAtOf(cursor);
    for (let keyType = 0; keyType < HOUSEMATES; keyType++)
      label[3 + keyType] = ownerType === HOST_TYPE ? housemateOf(cursor, keyType) : 0;
    const { f64, base } = cursor;
    const reference = spill!.store.put(label, LABEL_UNITS + episodes, f64, base, usedUnitsOf(cursor));
    blocks.unbind();
    if (reference === 0) return false;
    tables[ownerType]!.set(owner, -reference);
    arena.free(address);
    spilledBlocks++;
    if (ownerType === HOST_TYPE && label[3] !== 0) spilledSubscribers++;
    return true;
  };

  const isFull = (): boolean =>
    spill !== undefined && (arena.usedBlocks() > spill.blocksMax || arena.usedBytes() > spill.bytesMax);

  const makeRoom = (): boolean => {
    if (!isFull()) return false;
    let left = SPILLED_AT_ONCE;
    let taken = true;
    // A sixteenth below the limits, so that not every batch comes back here.
    const blocksMax = spill!.blocksMax - Math.min(SPILLED_AT_ONCE, Math.floor(spill!.blocksMax / 16));
    const bytesMax = spill!.bytesMax * (15 / 16);
    const isEnough = (address: number): boolean => {
      taken = spillBlock(address);
      if (taken) left--;
      return !taken || left === 0 || (arena.usedBlocks() <= blocksMax && arena.usedBytes() <= bytesMax);
    };
    return coldest.sweep(isEnough) && isFull();
  };

  const spilledOf = (records: readonly UsageRecord[]): number[] => {
    const found: number[] = [];
    const add = (keyType: number, key: number): boolean => {
      if (key === 0) return false;
      const address = tables[keyType]!.get(key);
      if (address < 0) found.push(-address);
      return address !== 0;
    };
    const addGuest = (keyType: number, key: number): void => {
      if (!add(keyType, key)) add(SUBSCRIBER, hosts[keyType]!.get(key));
    };
    let newest = maxEventTime;
    for (const record of records) {
      if (record.eventTime > newest) newest = record.eventTime;
      add(SUBSCRIBER, names.find(record.servedMsisdn));
      addGuest(ACCOUNT, names.find(record.accountId));
      addGuest(IMSI, names.find(record.servedImsi));
      addGuest(IMEI, names.find(record.servedImei));
      add(OTHER_NUMBER, names.find(record.otherNumber));
      add(OTHER_RANGE, otherRangeOf(record));
      add(CELL, names.find(record.cellId));
    }
    timers.dueBy(newest - latenessMs, (keyType, key) => {
      add(keyType, key);
      return found.length < TIMERS_FETCHED_MAX;
    });
    return found;
  };

  const apply = (record: UsageRecord, alerts: AlertData[]): Applied => {
    if (duplicates.seen(record.recordId)) {
      duplicateCount++;
      return 'duplicate';
    }
    output = alerts;
    blocks.gather();
    advance(record.eventTime);
    if (maxEventTime >= settleAt) settleRankings(alerts);
    // All that is due, however much: an alert of one key is a record for others, so what is left for later would see this record.
    if (timers.nextAt() <= watermark) fireTimers(Number.POSITIVE_INFINITY, alerts);
    const late = takeIn(record);
    if (pending.length > 0) lookAtAlerts();
    // A record that comes late can make a time due that has passed.
    if (timers.nextAt() <= watermark) fireTimers(Number.POSITIVE_INFINITY, alerts);
    if (late) {
      lateCount++;
      return 'late';
    }
    appliedCount++;
    return 'applied';
  };

  /** Binds the block in which this key lives and selects it there; false where it is not known. */
  const find = (keyType: number, key: number): boolean => {
    if (donor !== undefined) settle(keyType, key);
    let address = addressOf(keyType, key);
    if (address !== 0) {
      blocks.bind(address);
      return keyType !== HOST_TYPE || housemateOf(cursor, HOST_TYPE) !== 0;
    }
    if (keyType >= HOUSEMATES || keyType === HOST_TYPE || key === 0) return false;
    // Who is his own account is not written down: the number is the same.
    address = addressOf(SUBSCRIBER, hosts[keyType]!.get(key) || (keyType === ACCOUNT ? key : 0));
    if (address === 0) return false;
    blocks.bind(address);
    if (housemateOf(cursor, keyType) !== key) return false;
    select(cursor, keyType);
    return true;
  };

  /** Binds and selects a key that the record at hand names; one that is new moves in with the record's subscriber. */
  const enter = (keyType: number, key: number, eventTime: number): void => {
    if (donor !== undefined) settle(keyType, key);
    if (keyType < HOUSEMATES && subscriberKey !== 0) {
      // Mostly the block is still bound from the kind of key before.
      if (cursor.address === 0 || ownerTypeOf(cursor) !== HOST_TYPE || ownerOf(cursor) !== subscriberKey) {
        let address = addressOf(SUBSCRIBER, subscriberKey);
        if (address === 0) {
          address = blocks.create(HOST_TYPE, subscriberKey);
          tables[SUBSCRIBER]!.set(subscriberKey, address);
        }
        blocks.bind(address);
      }
      const housemate = housemateOf(cursor, keyType);
      if (housemate === key) {
        select(cursor, keyType);
        return;
      }
      const host = cursor.address;
      if (keyType !== HOST_TYPE && find(keyType, key)) return;
      if (housemate === 0) {
        blocks.bind(host);
        moveIn(cursor, keyType, key, eventTime);
        housemates[keyType]!++;
        if (keyType !== HOST_TYPE && !(keyType === ACCOUNT && key === subscriberKey))
          hosts[keyType]!.set(key, subscriberKey);
        return;
      }
    } else if (find(keyType, key)) return;
    const address = blocks.create(keyType, key, eventTime);
    tables[keyType]!.set(key, address);
    blocks.bind(address);
  };

  /** Windows first, then rules, for each key of the record. True where it is older than every window that takes it. */
  const takeIn = (record: SeenRecord): boolean => {
    derive(record);
    const plan = ruleSet.plans[record.recordType];
    if (plan.isEmpty) return false;
    // Conditions may ask for the subscriber's profile, and nearly every record goes on with this block.
    const home = subscriberKey === 0 ? 0 : addressOf(SUBSCRIBER, subscriberKey);
    if (home !== 0) blocks.bind(home);
    const { keys, lateAfterMs } = plan.patternOf(scope);

    // Late for the subscriber's own clock: no window that takes this record reaches back so far. Only what judges the record
    // itself (a long call that is only reported now) still looks at it.
    let late = false;
    // Where time jumps, an alert of a timer is older than the watermark. What its keys have due later must not come before it.
    const settledTo = depth > 0 ? Math.min(watermark, record.eventTime) : watermark;
    if (record.eventTime < maxEventTime - plan.lateAfterMs) {
      // What is due is settled first here too: a subscriber who was due to be forgotten has no clock any more.
      while (find(SUBSCRIBER, subscriberKey) && queuedAtOf(cursor) <= settledTo) {
        fireBlock(queuedAtOf(cursor));
        derive(record);
      }
      late = find(SUBSCRIBER, subscriberKey) && record.eventTime < clockOf(cursor) - lateAfterMs;
    }

    for (let index = 0; index < keys.length; index++) {
      const { keyType, operators, rules, onArrival } = keys[index]!;
      if (late && !onArrival) continue;
      const key = keyNumber(keyType, record);
      if (key === 0) continue;
      enter(keyType, key, record.eventTime);
      // What was due for this key before this record is settled before this record is seen.
      while (queuedAtOf(cursor) <= settledTo) {
        fireBlock(queuedAtOf(cursor));
        derive(record);
        // An idle key that was due to be forgotten has gone with its number.
        enter(keyType, keyNumber(keyType, record), record.eventTime);
      }
      if (record.eventTime > clockOf(cursor)) setClock(cursor, record.eventTime);
      else if (record.eventTime < firstSeenOf(cursor) && !late) setFirstSeen(cursor, record.eventTime);
      scope.now = clockOf(cursor);
      remember(keyType, record);

      for (let at = 0; at < operators.length; at++) {
        const operator = operators[at]!;
        if (!late || operator.onArrival) operator.update(scope, blocks);
      }
      let wakeAt =
        idleMs[keyType]! < Number.POSITIVE_INFINITY ? scope.now + idleMs[keyType]! + 1 : Number.POSITIVE_INFINITY;
      for (let at = 0; at < rules.length; at++) {
        const rule = rules[at]!;
        if (late && !rule.onArrival) continue;
        evaluate(rule, false);
        if (!rule.isTimed && !hasEpisode(cursor, rule.episode)) continue;
        const next = nextLook(rule, Math.min(scope.now, settledTo), settledTo);
        if (next < wakeAt) wakeAt = next;
      }
      if (wakeAt >= wakeAtOf(cursor)) continue;
      if (wakeAt > settledTo) wakeKey(wakeAt);
      else overdue.push({ keyType, key: keyOf(cursor), wakeAt });
    }
    if (overdue.length > 0) wakeOverdue();
    return late;
  };

  /**
   * What a record that comes late makes due has passed already (the end of the alert that it made fire). It is settled when
   * all keys of the record have been looked at: keys that live in one block are settled together, so it would else depend on
   * who lives with whom whether a rule of the next key still sees that alert.
   */
  const wakeOverdue = (): void => {
    for (const { keyType, key, wakeAt } of overdue)
      if (find(keyType, key) && wakeAt < wakeAtOf(cursor)) wakeKey(wakeAt);
    overdue.length = 0;
  };

  /** An alert joins the list while others of it are looked at, so its length is read anew each time. */
  const lookAtAlerts = (): void => {
    for (let index = 0; index < pending.length; index++) {
      const { record, rule, points } = pending[index]!;
      depth = pending[index]!.depth;
      if (rule.scoresServed) addScore(record.servedMsisdn, record, points);
      if (rule.scoresOther) addScore(record.otherNumber, record, points);
      takeIn(record);
    }
    depth = 0;
    pending.length = 0;
  };

  /** Only of subscribers that the state knows: what a stranger is called would stay in memory for ever. */
  const addScore = (msisdn: string, { alert, eventTime }: SeenRecord, points: number): void => {
    if (points > 0 && find(SUBSCRIBER, names.find(msisdn)))
      ruleSet.score.add(cursor, blocks, alert!.desk as Desk, points, eventTime);
  };

  /** `before` is the band of the revision before, -1 where there is none: a rise adds only what the score has risen by. */
  const fire = (rule: CompiledRule, band: number, before: number): void => {
    const alert = alertOf(rule, band, 'firing');
    output.push(alert);
    // What a draft says changes nothing for anybody, so other rules must not build on it.
    if (isShadow(rule.rule)) return;
    if (depth >= LOOPBACK_DEPTH_MAX || pending.length >= LOOPBACK_RECORDS_MAX) {
      loopbacksCut++;
      return;
    }
    const accountSegment = keyTypeOf(cursor) === SUBSCRIBER ? cursor.segmentAt[ACCOUNT_LINK]! : 0;
    const account = accountSegment === 0 ? '' : names.textOf(cursor.f64[accountSegment]!);
    const points = alert.score - (before < 0 ? 0 : rule.bands[before]!.score);
    pending.push({ record: alertRecord(scope.record, alert, account), depth: depth + 1, rule, points });
  };

  /** Links that let people walk from one key to another; rules never read them. */
  const remember = (keyType: number, record: SeenRecord): void => {
    if (keyType !== SUBSCRIBER) {
      if (subscriberKey !== 0) setLink(cursor, subscriberKey);
      const field = HASHED_TYPES.get(keyType);
      if (field !== undefined && record.attributes !== null && cursor.segmentAt[KEY_TEXT] === 0) {
        const text = record.attributes[field];
        if (typeof text === 'string' && hashedNumber(text) < 0) keepKeyText(text);
      }
      return;
    }
    if (imsiKey !== 0) setLink(cursor, imsiKey);
    if (record.accountId !== '') {
      const segment = blocks.ensure(ACCOUNT_LINK, 1);
      cursor.f64[segment] = names.numberOf(record.accountId);
    }
  };

  /** The same number for the same key for ever: that of a text is given to another one when its key has been forgotten. */
  const lastingKeyOf = ({ keyType }: CompiledRule): number => {
    const key = keyOf(cursor);
    return key > 0 ? key : fingerprint(keyText(keyType));
  };

  /** Where in its interval a key is looked at. */
  const phaseOf = (rule: CompiledRule): number => {
    const hash = Math.abs(Math.imul(lastingKeyOf(rule) | 0, 0x9e3779b1));
    const { phase, everyMs } = rule;
    return phase === undefined ? hash % everyMs : (phase.fromMs + (hash % phase.spanMs)) % everyMs;
  };

  const enqueue = (time: number): void => {
    setQueuedAt(cursor, time);
    timers.push(time, ownerTypeOf(cursor), ownerOf(cursor));
  };

  /** The selected key wants to be looked at then, earlier than before. */
  const wakeKey = (time: number): void => {
    const isFirst = time < queuedAtOf(cursor);
    setWakeAt(cursor, time);
    if (isFirst) enqueue(time);
  };

  /**
   * When the rule wants to look at the bound key again: at a time of its own after `after`, or regularly after
   * `regularAfter`; Infinity where it does not. A deterministic phase spreads regular looks over their interval, so that a
   * million subscribers are not all due at midnight. A record that comes late can make a time due that has passed, but
   * regular looks of the past are not made good: there may be thousands.
   */
  const nextLook = (rule: CompiledRule, after: number, regularAfter: number): number => {
    let next = Number.POSITIVE_INFINITY;
    for (let index = 0; index < rule.evaluateAt.length; index++) {
      const at = Math.ceil(rule.evaluateAt[index]!(scope));
      if (at > after && at < next) next = at;
    }
    if (rule.everyMs > 0) {
      const phase = phaseOf(rule);
      const at = (Math.floor((regularAfter - phase) / rule.everyMs) + 1) * rule.everyMs + phase;
      if (at < next && isWithinReach(rule, at)) next = at;
    }
    if (hasEpisode(cursor, rule.episode)) {
      // An end that has passed already (a rule that was changed, or was away for a while) comes up as soon as it can.
      const at = Math.max(heldAtOf(cursor, rule.episode) + rule.suppressMs, after + 1);
      if (at < next) next = at;
    }
    return next;
  };

  /** Looks at the keys of the bound block because its timer has come, and forgets those that are idle. */
  const fireBlock = (due: number): void => {
    const time = donor === undefined ? due : settleBlock(due);
    scope.record = BLANK_RECORD;
    scope.destination = undefined;
    scope.homeCountry = '';
    scope.international = false;
    scope.roaming = false;
    const ownerType = ownerTypeOf(cursor);
    const owner = ownerOf(cursor);
    let earliest = Number.POSITIVE_INFINITY;
    let kept = 0;
    for (let housemate = 0; housemate < (ownerType === HOST_TYPE ? HOUSEMATES : 1); housemate++) {
      if (ownerType === HOST_TYPE) {
        if (housemateOf(cursor, housemate) === 0) continue;
        select(cursor, housemate);
      }
      if (wakeAtOf(cursor) <= time) {
        setWakeAt(cursor, Number.POSITIVE_INFINITY);
        const next = fireKey(time);
        if (next === undefined) {
          if (ownerType === HOST_TYPE) forget();
          continue;
        }
        setWakeAt(cursor, next);
      }
      kept++;
      earliest = Math.min(earliest, wakeAtOf(cursor));
    }
    if (kept > 0) {
      setQueuedAt(cursor, Number.POSITIVE_INFINITY);
      if (earliest < Number.POSITIVE_INFINITY) enqueue(earliest);
      return;
    }
    tables[ownerType]!.delete(owner);
    arena.free(cursor.address);
    blocks.unbind();
    if (PAIRS.has(ownerType)) names.releasePair(owner);
  };

  /** Takes over what a back-fill has of the keys of the bound block, and returns when the first of them is due now. */
  const settleBlock = (due: number): number => {
    const ownerType = ownerTypeOf(cursor);
    const owner = ownerOf(cursor);
    const keys: [keyType: number, key: number][] = [];
    if (ownerType !== HOST_TYPE) keys.push([ownerType, owner]);
    else
      for (let housemate = 0; housemate < HOUSEMATES; housemate++)
        keys.push([housemate, housemateOf(cursor, housemate)]);
    for (const [keyType, key] of keys) settle(keyType, key);
    blocks.bind(addressOf(ownerType, owner));
    return Math.min(due, queuedAtOf(cursor));
  };

  /** The selected housemate moves out and takes what was remembered of it along. */
  const forget = (): void => {
    const keyType = keyTypeOf(cursor);
    const key = keyOf(cursor);
    for (const id of segmentIds()) if (ruleSet.keyTypes[id] === keyType) blocks.remove(id);
    if (keyType === SUBSCRIBER) blocks.remove(ACCOUNT_LINK);
    else hosts[keyType]!.delete(key);
    moveOut(cursor);
    housemates[keyType]!--;
  };

  /** Looks at the selected key; returns when it wants to be looked at again, undefined where it may be forgotten. */
  const fireKey = (time: number): number | undefined => {
    const keyType = keyTypeOf(cursor);
    scope.subscriber = keyType === SUBSCRIBER ? keyOf(cursor) : linkOf(cursor);
    scope.look++;
    scope.now = Math.max(clockOf(cursor), time);
    if (usesLocalTime) {
      scope.night = localTime.isNight(scope.now);
      scope.weekend = localTime.isWeekend(scope.now);
    }
    if (usesShift) deriveShift(scope.now);
    const timed = ruleSet.timed[keyType]!;
    let wakeAt = Number.POSITIVE_INFINITY;
    for (let index = 0; index < timed.length; index++) {
      const rule = timed[index]!;
      if (!hasSeen(rule)) continue;
      if (isDue(rule, time) && !isEpisodeEnd(rule, time)) {
        if (rule.look !== undefined) rule.look(scope, blocks);
        else evaluate(rule, false);
      }
      const next = nextLook(rule, time, time);
      if (next < wakeAt) wakeAt = next;
    }
    // Open episodes, also of rules without timers of their own.
    for (const operator of segmentIds()) {
      const rule = ruleSet.rulesByEpisode[operator];
      if (rule === undefined || rule.keyType !== keyType || !hasEpisode(cursor, operator)) continue;
      if (isEpisodeEnd(rule, time)) evaluate(rule, true);
      const next = nextLook(rule, time, time);
      if (next < wakeAt) wakeAt = next;
    }
    const idleAt = clockOf(cursor) + idleMs[keyType]! + 1;
    if (idleAt <= time && wakeAt === Number.POSITIVE_INFINITY && !anyEpisode(keyType)) return undefined;
    return idleAt > time && idleAt < wakeAt ? idleAt : wakeAt;
  };

  /** A key that only other rules know is none of the rule's: looking at its empty windows would find nothing but silence. */
  const hasSeen = ({ operatorIds }: CompiledRule): boolean => {
    for (let index = 0; index < operatorIds.length; index++) {
      if (cursor.segmentAt[operatorIds[index]!] !== 0) return true;
    }
    return operatorIds.length === 0;
  };

  const isDue = (rule: CompiledRule, time: number): boolean => {
    for (let index = 0; index < rule.evaluateAt.length; index++) {
      if (Math.ceil(rule.evaluateAt[index]!(scope)) === time) return true;
    }
    return rule.everyMs > 0 && (time - phaseOf(rule)) % rule.everyMs === 0 && isWithinReach(rule, time);
  };

  /** The last regular look is the first one at which the windows are empty. */
  const isWithinReach = (rule: CompiledRule, time: number): boolean =>
    time - rule.everyMs <= clockOf(cursor) + rule.reachMs;

  const isEpisodeEnd = (rule: CompiledRule, time: number): boolean =>
    hasEpisode(cursor, rule.episode) && heldAtOf(cursor, rule.episode) + rule.suppressMs <= time;

  const segmentIds = (): number[] => {
    const count = segmentCountOf(cursor);
    const ids: number[] = [];
    for (let id = 0; id < count; id++) ids.push(blocks.segmentIdAt(id));
    return ids;
  };
  const anyEpisode = (keyType: number): boolean =>
    segmentIds().some((id) => ruleSet.rulesByEpisode[id]?.keyType === keyType);

  /** Is the condition true for the bound key now, and does that begin, hold, raise or end an episode? */
  const evaluate = (rule: CompiledRule, atEpisodeEnd: boolean): void => {
    const { bands, episode } = rule;
    // The model judges nothing; it only wants its timer.
    if (bands.length === 0) return;
    let reached = -1;
    scope.look++;
    try {
      // Where a higher band implies the lower ones, one look at the lowest is enough nearly always.
      const least = rule.isRising && !bands[0]!.holds(scope) ? bands.length : 0;
      for (let band = bands.length - 1; band >= least; band--) {
        if (bands[band]!.holds(scope)) {
          reached = band;
          break;
        }
      }
    } catch (error) {
      failRule(rule, error);
      return;
    }
    if (reached < 0) {
      if (!atEpisodeEnd) return;
      raiseEpisode(cursor, episode, bandOf(cursor, episode));
      output.push(alertOf(rule, Math.min(bandOf(cursor, episode), bands.length - 1), 'resolved'));
      closeEpisode(episode);
      return;
    }
    const isOpen = hasEpisode(cursor, episode);
    const before = isOpen ? bandOf(cursor, episode) : -1;
    if (isOpen) {
      holdEpisode(cursor, episode, scope.now);
      if (rule.falls && reached < before) lowerEpisode(cursor, episode, reached);
    }
    const isNews = reached > before;
    const inhibited = isNews && isInhibited(rule);
    // What does not fire or rise holds no other key of the entity back.
    if (inhibited && !isOpen) return;
    if (rule.suppressBy >= 0 && isSuppressed(rule, inhibited ? before : reached)) return;
    if (!isNews || inhibited) return;
    if (!isOpen) {
      const trigger = triggerId();
      // The time, because a record that comes again beyond the horizon of duplicates begins an episode of its own.
      const key = [rule.key, keyText(rule.keyType)];
      const identity = [rule.rule.id, String(rule.rule.version), ...key, String(scope.now), trigger];
      // A draft that goes live with the same version fires an alert of its own, even on the same record.
      if (isShadow(rule.rule)) identity.push('shadow');
      beginEpisode(cursor, blocks, episode, { at: scope.now, band: reached, identity });
      openKeysOf(episode).set(keyOf(cursor), 1);
    } else raiseEpisode(cursor, episode, reached);
    fire(rule, reached, before);
  };

  /** The key of another kind that the record at hand names, or that stands behind the selected key; 0 where none is known. */
  const relatedKey = (keyType: number): number => {
    const own = keyTypeOf(cursor);
    if (keyType === own) return keyOf(cursor);
    if (KEY_TYPES[keyType]!.includes('+')) return 0;
    if (scope.record !== BLANK_RECORD) return keyNumber(keyType, scope.record as SeenRecord);
    if (keyType === SUBSCRIBER) return scope.subscriber;
    if (own !== SUBSCRIBER) return 0;
    if (keyType === IMSI) return linkOf(cursor);
    if (keyType !== ACCOUNT) return 0;
    const segment = cursor.segmentAt[ACCOUNT_LINK]!;
    return segment === 0 ? keyOf(cursor) : cursor.f64[segment]!;
  };

  const isInhibited = ({ inhibitors }: CompiledRule): boolean => {
    for (let index = 0; index < inhibitors.length; index++) {
      const { keyType, episode } = inhibitors[index]!;
      const key = relatedKey(keyType);
      if (key !== 0 && (openKeys[episode]?.get(key) ?? 0) !== 0) return true;
    }
    return false;
  };

  /** Goes to the entity's block and comes back to the key. */
  const isSuppressed = (rule: CompiledRule, band: number): boolean => {
    const { keyType, suppressBy } = rule;
    const named = relatedKey(suppressBy);
    if (named === 0 && rule.rule.suppress.missing !== 'suppress') return false;
    const key = keyOf(cursor);
    const lasting = lastingKeyOf(rule);
    // Where the entity has no block yet, it moves in with its own subscriber, or with none.
    const subscriber = subscriberKey;
    subscriberKey = named === 0 ? 0 : scope.subscriber;
    enter(suppressBy, named === 0 ? NOT_NAMED : named, scope.now);
    subscriberKey = subscriber;
    const touchedAt = scope.record === BLANK_RECORD ? scope.now : scope.record.eventTime;
    if (touchedAt > clockOf(cursor)) setClock(cursor, touchedAt);
    const alert = { key: lasting, band, at: scope.now, forMs: rule.suppressMs };
    const suppressed = isHeldBack(cursor, blocks, rule.suppression, alert);
    const wakeAt = clockOf(cursor) + idleMs[suppressBy]! + 1;
    if (wakeAt < wakeAtOf(cursor)) wakeKey(wakeAt);
    find(keyType, key);
    return suppressed;
  };

  const openKeysOf = (episode: number): KeyTable => {
    openKeys[episode] ??= createKeyTable();
    return openKeys[episode];
  };

  const closeEpisode = (episode: number): void => {
    blocks.remove(episode);
    openKeysOf(episode).delete(keyOf(cursor));
  };

  /** Rules in force whose open alerts nobody would look after under these, and why. */
  const departing = (sources: readonly RuleSource[]): { rule: CompiledRule; reason: LocalizedText }[] => {
    const kept = new Map(sources.map(({ rule }) => [rule.id, rule]));
    return ruleSet.rules.flatMap((rule) => {
      if ((openKeys[rule.episode]?.size() ?? 0) === 0) return [];
      const next = kept.get(rule.rule.id);
      if (next === undefined) return { rule, reason: DEPARTED.removed };
      if (isOff(next)) return { rule, reason: DEPARTED.off };
      if (next.key !== rule.rule.key) return { rule, reason: DEPARTED.otherKey };
      // The revisions of one alert lie in one stream, and drafts have one of their own.
      if (isShadow(next) !== isShadow(rule.rule))
        return { rule, reason: isShadow(next) ? DEPARTED.nowDraft : DEPARTED.nowLive };
      return [];
    });
  };

  /**
   * In the order of rules and keys, which is the same whatever happened before: the tables' own order is not, after a restart.
   */
  const endEpisodes = (sources: readonly RuleSource[], version: string, limit: number): number => {
    let ended = 0;
    scope.record = BLANK_RECORD;
    for (const { rule, reason } of departing(sources)) {
      const keys = openKeysOf(rule.episode).keys();
      keys.sort((a, b) => a - b);
      for (const key of keys) {
        if (ended === limit) return ended;
        if (!find(rule.keyType, key)) throw new Error(`a key with an open alert of ${rule.rule.id} is not known`);
        scope.subscriber = rule.keyType === SUBSCRIBER ? key : linkOf(cursor);
        scope.look++;
        scope.now = maxEventTime;
        const band = bandOf(cursor, rule.episode);
        raiseEpisode(cursor, rule.episode, band);
        const alert = alertOf(rule, Math.min(band, rule.bands.length - 1), 'resolved');
        output.push({ ...alert, reason: departedReason(reason, alert.reason), triggerRecordId: `rules:${version}` });
        closeEpisode(rule.episode);
        ended++;
      }
    }
    return ended;
  };

  /** One rule that throws must never stop the pipeline: it is counted, and after RULE_ERRORS_MAX it is left out. */
  const failRule = (rule: CompiledRule, error: unknown): void => {
    const errors = (ruleErrors.get(rule) ?? 0) + 1;
    ruleErrors.set(rule, errors);
    options.onRuleError?.(rule.rule.id, error);
    // Its bands stay, because episodes that are open are still to be resolved in the words of their band.
    if (errors >= RULE_ERRORS_MAX) for (const band of rule.bands) band.holds = () => false;
  };

  const triggerId = (): string => (scope.record.recordId === '' ? `timer:${scope.now}` : scope.record.recordId);

  /** What the desk sees together: the account behind the alert, or what the rule says; where that is not known, its key. */
  const groupOf = ({ groupBy, key, keyType }: CompiledRule, keyValue: string): { type: string; value: string } => {
    const kind = groupBy >= 0 ? groupBy : scope.subscriber !== 0 && PARTY_TYPES.has(keyType) ? ACCOUNT : keyType;
    const number = kind === keyType || HASHED_TYPES.has(kind) ? 0 : relatedKey(kind);
    return number === 0 ? { type: key, value: keyValue } : { type: KEY_TYPES[kind]!, value: names.textOf(number) };
  };

  const alertOf = (rule: CompiledRule, bandIndex: number, status: 'firing' | 'resolved'): AlertData => {
    const band = rule.bands[bandIndex]!;
    const { rule: source } = rule;
    const keyValue = keyText(rule.keyType);
    const link = linkOf(cursor);
    const servedMsisdn =
      source.key === 'subscriber'
        ? keyValue
        : scope.record.servedMsisdn !== ''
          ? scope.record.servedMsisdn
          : link !== 0
            ? names.textOf(link)
            : '';
    let observedSince = firstSeenOf(cursor);
    for (const { entry, columnSince } of rule.features)
      observedSince = Math.max(observedSince, entry?.since ?? 0, columnSince ?? 0);
    const evidence = evidenceOf(rule, band, scope);
    return {
      alertId: alertIdOf(cursor, rule.episode),
      revision: revisionOf(cursor, rule.episode),
      status,
      ruleId: source.id,
      ruleVersion: source.version,
      catalogue: source.catalogue,
      desk: source.desk,
      ...(isShadow(source) ? { shadow: true as const } : {}),
      severity: band.severity,
      title: source.title,
      key: { type: rule.key, value: keyValue },
      group: groupOf(rule, keyValue),
      ...(servedMsisdn === '' ? {} : { servedMsisdn }),
      eventTime: scope.now,
      triggerRecordId: triggerId(),
      reason:
        status === 'firing'
          ? firingReason(band, scope)
          : resolvedReason(band, scope, localTime.written(heldAtOf(cursor, rule.episode))),
      evidence,
      score: band.score,
      ...(source.fraudType === undefined ? {} : { fraudType: source.fraudType }),
      ...(source.enabler === undefined ? {} : { enabler: source.enabler }),
      suggestedActions: source.bands[bandIndex]?.suggestedActions ?? source.suggestedActions ?? [],
      ...worthAtAlert(source.key, servedMsisdn),
      observedSince,
    };
  };

  /** What is known of account and subscriber. The bound key stays bound. */
  const worthAtAlert = (key: string, servedMsisdn: string): { value?: NonNullable<AlertData['value']> } => {
    const value = key === 'account' ? accountWorth(ruleSet, scope) : {};
    const { valuation } = ruleSet;
    const subscriber = valuation === undefined || servedMsisdn === '' ? 0 : names.find(servedMsisdn);
    if (valuation !== undefined && subscriber !== 0) {
      const boundType = keyTypeOf(cursor);
      const boundKey = keyOf(cursor);
      scope.look++;
      if (find(SUBSCRIBER, subscriber)) Object.assign(value, subscriberWorth(valuation, scope));
      find(boundType, boundKey);
      scope.look++;
    }
    return Object.keys(value).length === 0 ? {} : { value };
  };

  const fireTimers = (limit: number, alerts: AlertData[]): number => {
    output = alerts;
    let fired = 0;
    while (fired < limit && timers.nextAt() <= watermark) {
      timers.pop();
      const { time, keyType, key } = timers.popped;
      if (++poppedSinceRoom === POPPED_BETWEEN_SPILLS) {
        poppedSinceRoom = 0;
        makeRoom();
      }
      const address = addressOf(keyType, key);
      if (address === 0) continue;
      blocks.bind(address);
      if (queuedAtOf(cursor) !== time) continue;
      fireBlock(time);
      if (pending.length > 0) lookAtAlerts();
      fired++;
    }
    return fired;
  };

  /**
   * All looks of a day must be in before anyone is ranked by it, or ranks would depend on how fast timers are fired. An hour
   * after midnight nearly all are; only where time jumps (a quiet night, a replay) some are left, and are done here.
   */
  const settleRankings = (alerts: AlertData[]): void => {
    settleAt = rankings.nextChangeAfter(maxEventTime);
    if (ruleSet.valuation === undefined) return;
    const day = rankings.dayBehind(maxEventTime);
    while (timers.nextAt() <= watermark && rankings.dayOf(timers.nextAt()) <= day) fireTimers(1, alerts);
  };

  const inspectSubscriber = (msisdn: string): SubscriberView | undefined => {
    const subscriber = names.find(msisdn);
    if (subscriber === 0 || !find(SUBSCRIBER, subscriber)) return undefined;
    scope.record = BLANK_RECORD;
    scope.subscriber = subscriber;
    const view: SubscriberView = {
      servedMsisdn: msisdn,
      firstSeenAt: firstSeenOf(cursor),
      lastSeenAt: clockOf(cursor),
      features: [],
      ledger: null,
      balance: null,
      lifecycleStage: null,
      value: null,
      scores: [],
      openAlerts: [],
    };
    const open: { desk: string; ruleId: string; score: number }[] = [];
    const imsi = linkOf(cursor);
    const accountSegment = cursor.segmentAt[ACCOUNT_LINK]!;
    const account = accountSegment === 0 ? subscriber : cursor.f64[accountSegment]!;
    // A person looks at a later moment than the last record: windows are read at the clock of the whole partition.
    for (const [keyType, key] of [
      [SUBSCRIBER, subscriber],
      [ACCOUNT, account],
      [IMSI, imsi],
    ] as const) {
      if (key === 0 || !find(keyType, key)) continue;
      scope.now = Math.max(clockOf(cursor), watermark);
      scope.look++;
      if (keyType === SUBSCRIBER && ruleSet.balance !== undefined) {
        const balance = ruleSet.balance.value(scope);
        view.balance = Number.isNaN(balance) ? null : rounded(balance);
      }
      const keyValue = names.textOf(key);
      for (const one of ruleSet.features)
        if (one.keyType === keyType) view.features.push(featureView(scope, one, keyValue));
      for (const id of segmentIds()) {
        const rule = ruleSet.rulesByEpisode[id];
        if (rule === undefined || rule.keyType !== keyType || isShadow(rule.rule)) continue;
        const band = rule.bands[Math.min(bandOf(cursor, id), rule.bands.length - 1)];
        open.push({ desk: rule.rule.desk, ruleId: rule.rule.id, score: band?.score ?? 0 });
        view.openAlerts.push({
          alertId: alertIdOf(cursor, id),
          ruleId: rule.rule.id,
          severity: band?.severity ?? 'info',
          desk: rule.rule.desk,
          since: firedAtOf(cursor, id),
        });
      }
      if (keyType === SUBSCRIBER && ruleSet.valuation !== undefined)
        Object.assign(view, worthView(scope, ruleSet.valuation));
      if (keyType === SUBSCRIBER) {
        for (const desk of DESKS) {
          const value = ruleSet.score.read(scope, desk);
          if (value > 0) view.scores.push({ name: desk, value: rounded(value), contributions: [] });
        }
      }
      if (keyType === ACCOUNT) {
        const debt = ruleSet.debt === undefined ? undefined : debtView(scope, ruleSet.debt);
        if (debt !== undefined) view.scores.push(debt.score);
        view.ledger = ledgerView(scope, ruleSet, debt?.expectedLoss ?? null);
      }
    }
    // What is still open says what the score is made of.
    for (const { name, contributions } of view.scores) {
      for (const { desk, ruleId, score } of open) if (desk === name) contributions.push({ name: ruleId, value: score });
    }
    return view;
  };

  const useRules = (
    sources: RuleSource[],
    version: string,
    alerts: AlertData[] = [],
    lists?: ReferenceLists,
    backfill?: Backfill,
  ): RuleProblem[] => {
    const since = maxEventTime === Number.NEGATIVE_INFINITY ? 0 : maxEventTime;
    // What an earlier back-fill still holds is that of operators that this set may know no longer.
    while (takeOver());
    const result = compileRuleSet(sources, version, {
      registry,
      names,
      rankings,
      calibration,
      localTime,
      lists,
      currencyPerSdr,
      since,
      ...(backfill && { backfill: backfill.span }),
    });
    if ('problems' in result) return result.problems;
    output = alerts;
    endEpisodes(sources, version, Number.POSITIVE_INFINITY);
    adopt(result.ruleSet);
    if (backfill !== undefined) {
      const { fresh, timed } = ruleSet;
      const looks = timed.some((rules) => rules.some(({ operatorIds }) => operatorIds.some((id) => fresh.has(id))));
      donor = { state: backfill.state, page: 0, waiting: [], watermark, looks };
    }
    return [];
  };

  const beginBackfill = (
    sources: RuleSource[],
    version: string,
    until: number,
    lists?: ReferenceLists,
  ): { backfill: Backfill } | { problems: RuleProblem[] } => {
    const own = borrowNames(names);
    const span = { since: 0, until };
    const result = compileRuleSet(sources, version, {
      registry: new Map(registry),
      names: own,
      // Ranks of the past, not to be mixed with those of today.
      rankings: createRankings({ localTime, latenessMs }),
      calibration: createCalibration(),
      localTime,
      lists,
      since: 0,
      backfill: span,
    });
    if ('problems' in result) return result;
    const { spill: _, memory: __, ...alone } = options;
    const engine = createEngine({ ...alone, names: own });
    const { state } = engine.observe(result.ruleSet);
    const alerts: AlertData[] = [];
    return {
      backfill: {
        apply: (record) => void engine.apply(record, alerts),
        tick: (eventTime) => engine.tick(eventTime, alerts),
        bytes: () => engine.stats().stateBytes,
        applied: () => engine.counts().applied,
        span,
        state,
      },
    };
  };

  /** Takes over what a back-fill still has of a key, before anybody looks at it. */
  const settle = (keyType: number, key: number): void => {
    if (key === 0) return;
    const { state } = donor!;
    // Composite keys have numbers of their own there.
    const theirKey = key < 0 && KEY_TYPES[keyType]!.includes('+') ? state.names.findPair(names.textOf(key)) : key;
    if (theirKey !== 0 && state.find(keyType, theirKey)) takeOverKey(keyType, key);
  };

  /** The same of a key that is only asked about, while another one is looked at. */
  const settleBeside = (keyType: number, key: number): void => {
    const { now } = scope;
    const isBound = cursor.address !== 0;
    const boundType = isBound ? keyTypeOf(cursor) : 0;
    const bound = isBound ? keyOf(cursor) : 0;
    settle(keyType, key);
    if (isBound) find(boundType, bound);
    scope.now = now;
  };

  /** Our number of a composite key that has this one there; 0 where it has been forgotten. */
  const ourPair = (theirKey: number): number => {
    const { names: theirNames } = donor!.state;
    const text = theirNames.textOf(theirKey);
    return theirNames.findPair(text) === theirKey ? names.pairNamed(text) : 0;
  };

  /** Of the key that is selected there: brings its fresh windows in, and sets the timers that they ask for. */
  const takeOverKey = (keyType: number, key: number): void => {
    const { state, watermark: swappedAt } = donor!;
    const theirs = state.blocks.cursor;
    const ids: number[] = [];
    for (let index = segmentCountOf(theirs) - 1; index >= 0; index--) {
      const id = state.blocks.segmentIdAt(index);
      if (ruleSet.fresh.has(id) && ruleSet.keyTypes[id] === keyType) ids.push(id);
    }
    const clock = clockOf(theirs);
    const firstSeen = firstSeenOf(theirs);
    const link = linkOf(theirs);
    const accountLink = keyType === SUBSCRIBER ? theirs.segmentAt[ACCOUNT_LINK]! : 0;
    const host = ownerTypeOf(theirs) === HOST_TYPE ? ownerOf(theirs) : 0;
    const from = theirs.address;
    // It is there no longer, so looking it up here finds nothing to be settled.
    state.leave();
    const atHand = subscriberKey;
    subscriberKey = host;
    enter(keyType, key, firstSeen);
    subscriberKey = atHand;
    state.blocks.bind(from);
    if (clock > clockOf(cursor)) setClock(cursor, clock);
    if (firstSeen < firstSeenOf(cursor)) setFirstSeen(cursor, firstSeen);
    if (link !== 0) setLink(cursor, link);
    if (accountLink !== 0) {
      const segment = blocks.ensure(ACCOUNT_LINK, 1);
      cursor.f64[segment] = theirs.f64[accountLink]!;
    }
    for (const id of ids) {
      const columns = ruleSet.fresh.get(id)!;
      if (columns === 'all') {
        const at = theirs.segmentAt[id]!;
        const units = theirs.segmentUnits[id]!;
        const segment = blocks.resize(id, units);
        cursor.f64.set(theirs.f64.subarray(at, at + units), segment);
        if (id === ruleSet.senderNote?.id) ruleSet.senderNote.renumber(cursor, ourPair);
      } else {
        (ruleSet.operators.get(id) as Panes).merge(cursor, blocks, theirs, columns);
      }
    }
    // Looks that were due before the swap are not made good.
    const { record } = scope;
    scope.record = BLANK_RECORD;
    scope.look++;
    scope.now = Math.max(clockOf(cursor), swappedAt);
    let wakeAt = clockOf(cursor) + idleMs[keyType]! + 1;
    for (const rule of ruleSet.timed[keyType]!) {
      if (hasSeen(rule)) wakeAt = Math.min(wakeAt, nextLook(rule, swappedAt, swappedAt));
    }
    if (wakeAt < wakeAtOf(cursor)) wakeKey(wakeAt);
    scope.record = record;
  };

  const takeOverBefore = (eventTime: number): boolean =>
    donor?.looks === true && eventTime - latenessMs > donor.watermark && takeOver();

  const takeOver = (): boolean => {
    if (donor === undefined) return false;
    const { state, waiting } = donor;
    if (waiting.length === 0) {
      if (donor.page === state.arena.pageCount()) {
        donor = undefined;
        return false;
      }
      state.arena.walkPage(donor.page++, (address) => waiting.push(address));
    }
    for (let taken = 0; taken < BLOCKS_TAKEN_OVER && waiting.length > 0; taken++) {
      const address = waiting.pop()!;
      const block = state.blocks.bind(address);
      if (ownerTypeOf(block) !== HOST_TYPE) {
        const key = ownerOf(block);
        settle(ownerTypeOf(block), state.names.isPair(key) ? names.pairNamed(state.names.textOf(key)) : key);
        continue;
      }
      for (let keyType = 0; keyType < HOUSEMATES; keyType++) {
        const key = housemateOf(state.blocks.bind(address), keyType);
        if (key !== 0) settle(keyType, key);
      }
    }
    makeRoom();
    return true;
  };

  // Neither key tables nor timers nor the keys with open alerts are stored: every block names its own.
  let isLearning = false;
  const isEpisode = new Uint8Array(OPERATORS_MAX);
  const learnedEpisodes: { episode: number; ownerType: number; owner: number; mates: number[] }[] = [];

  const know = (ownerType: number, owner: number, queuedAt: number, housemate: (keyType: number) => number): void => {
    if (queuedAt < Number.POSITIVE_INFINITY) timers.push(queuedAt, ownerType, owner);
    if (ownerType !== HOST_TYPE) return;
    for (let keyType = 0; keyType < HOUSEMATES; keyType++) {
      const key = housemate(keyType);
      if (key === 0) continue;
      housemates[keyType]!++;
      if (keyType !== HOST_TYPE && !(keyType === ACCOUNT && key === owner)) hosts[keyType]!.set(key, owner);
    }
  };
  const housemateHere = (keyType: number): number => housemateOf(cursor, keyType);
  const learn = (address: number): void => {
    blocks.bind(address);
    const owner = ownerOf(cursor);
    const ownerType = ownerTypeOf(cursor);
    tables[ownerType]!.set(owner, address);
    know(ownerType, owner, queuedAtOf(cursor), housemateHere);
    for (let index = segmentCountOf(cursor) - 1; index >= 0; index--) {
      const episode = blocks.segmentIdAt(index);
      if (isEpisode[episode] === 0) continue;
      const mates = Array.from({ length: HOUSEMATES }, (_, keyType) => housemateHere(keyType));
      learnedEpisodes.push({ episode, ownerType, owner, mates });
    }
  };
  const forgetLearned = (): void => {
    blocks.unbind();
    for (const table of [...tables, ...hosts]) table.clear();
    housemates.fill(0);
    timers.clear();
    isEpisode.fill(0);
    learnedEpisodes.length = 0;
    duplicates.clear();
    isLearning = false;
  };
  const beginLearning = ({ registry: saved, tableSizes = [] }: EngineMeta, savedDuplicates: Uint8Array[]): void => {
    forgetLearned();
    isLearning = true;
    duplicates.restore(savedDuplicates);
    for (const [signature, { id }] of saved) if (isEpisodeSignature(signature)) isEpisode[id] = 1;
    for (const [index, table] of [...tables, ...hosts].entries()) table.reserve(tableSizes[index] ?? 0);
  };
  const pageMemory: PageMemory<EngineMeta> = {
    begin(content, pages) {
      arena.expectPages(pages);
      beginLearning(content.meta, content.duplicates);
    },
    addPage: arena.addPage,
    checked: () => arena.pageRestored(learn),
    clear() {
      arena.clear();
      forgetLearned();
    },
  };

  return {
    arena,
    apply,
    warm,
    applyAlert(record, alert, alerts) {
      output = alerts;
      advance(record.eventTime);
      if (maxEventTime >= settleAt) settleRankings(alerts);
      if (timers.nextAt() <= watermark) fireTimers(Number.POSITIVE_INFINITY, alerts);
      takeIn({ ...record, recordType: 'alert', alert });
      lookAtAlerts();
    },
    tick(eventTime, alerts) {
      output = alerts;
      advance(eventTime);
      if (maxEventTime >= settleAt) settleRankings(alerts);
      fireTimers(Number.POSITIVE_INFINITY, alerts);
    },
    fireDue(eventTime, recordId, alerts) {
      if (timers.nextAt() > eventTime - latenessMs || duplicates.has(recordId)) return false;
      advance(eventTime);
      fireTimers(TIMERS_STEP_MAX, alerts);
      return timers.nextAt() <= watermark;
    },
    fireTimers,
    makeRoom,
    spilled: () => spilledBlocks,
    spilledOf,
    spilledMoved(label, from, to) {
      const table = tables[label[0]! % 256]!;
      if (table.get(label[1]!) === -from) table.set(label[1]!, -to);
    },
    useRules,
    beginBackfill,
    takeOver,
    takeOverBefore,
    observe(whole) {
      adopt(observingOnly(whole), whole);
      const leave = (): void => {
        if (ownerTypeOf(cursor) === HOST_TYPE) moveOut(cursor);
        else tables[ownerTypeOf(cursor)]!.delete(ownerOf(cursor));
      };
      return { state: { find, leave, blocks, arena, names: options.names! } };
    },
    episodesWithout: (sources) =>
      departing(sources).reduce((sum, { rule }) => sum + openKeysOf(rule.episode).size(), 0),
    endEpisodes(sources, version, limit, alerts) {
      output = alerts;
      const ended = endEpisodes(sources, version, limit);
      makeRoom();
      return ended;
    },
    checkRules(sources, lists) {
      const result = compileRuleSet(sources, '', {
        registry: new Map(registry),
        names,
        localTime,
        lists,
        currencyPerSdr,
        rankings,
        calibration,
        since: 0,
      });
      return 'problems' in result ? result.problems : [];
    },
    ruleSet: () => ruleSet,
    inspectSubscriber(msisdn) {
      const view = inspectSubscriber(msisdn);
      makeRoom();
      return view;
    },
    calibration: calibration.snapshot,
    watermark: () => watermark,
    maxEventTime: () => maxEventTime,
    counts: () => ({ applied: appliedCount, duplicate: duplicateCount, late: lateCount }),
    stats: () => ({
      subscribers: housemates[SUBSCRIBER]!,
      spilledSubscribers,
      residentBlocks: arena.usedBlocks(),
      keys: Object.fromEntries(
        KEY_TYPES.map((type, index) => [
          type,
          index === HOST_TYPE ? housemates[HOST_TYPE]! : tables[index]!.size() + (housemates[index] ?? 0),
        ]),
      ),
      stateBytes:
        arena.bytes() +
        duplicates.bytes() +
        timers.bytes() +
        [...tables, ...hosts].reduce((sum, table) => sum + table.bytes(), 0),
      usedBytes: arena.usedBytes(),
      timers: timers.size(),
      duplicateHorizon: duplicates.size(),
      names: names.size(),
      warmed,
      loopbacksCut,
    }),
    cut() {
      while (takeOver());
      const horizon = duplicates.snapshot();
      const pages = arena.cut();
      // A page is preserved when a block in it is bound, so the block that is bound must be bound anew before it is written to.
      blocks.unbind();
      return {
        meta: {
          ruleSetVersion: ruleSet.version,
          rules: filesInForce(ruleSet),
          registry: [...registry],
          watermark,
          maxEventTime,
          applied: appliedCount,
          duplicates: duplicateCount,
          late: lateCount,
          rankings: rankings.snapshot(),
          calibration: calibration.snapshot(),
          ...(spilledBlocks > 0 && { spilled: spill!.store.cut() }),
          tableSizes: [...tables, ...hosts].map((table) => table.size()),
        },
        names: names.snapshot(),
        duplicates: horizon.parts,
        arena: pages,
        release() {
          horizon.release();
          pages.release();
        },
      };
    },
    pageMemory,
    restore(meta, sources, savedNames, savedDuplicates, spilledLabels) {
      if (meta.spilled !== undefined && spilledLabels === undefined)
        throw new Error('the keys that this checkpoint has spilled are not at hand');
      if (!isLearning) beginLearning(meta, savedDuplicates);
      isLearning = false;
      arena.restored(learn);
      names.restore(savedNames);
      registry.clear();
      for (const [signature, entry] of meta.registry) registry.set(signature, entry);
      watermark = meta.watermark ?? Number.NEGATIVE_INFINITY;
      maxEventTime = meta.maxEventTime ?? Number.NEGATIVE_INFINITY;
      appliedCount = meta.applied;
      duplicateCount = meta.duplicates;
      lateCount = meta.late;
      rankings.restore(meta.rankings ?? []);
      if (meta.calibration !== undefined) calibration.restore(meta.calibration);
      settleAt = Number.NEGATIVE_INFINITY;
      // Rules and lists of a checkpoint were in force together, so the lists of it are right; or it had been made without any.
      const { lists } = parseLists(meta.rules);
      const problems = useRules(sources, meta.ruleSetVersion, [], lists.files.length === 0 ? undefined : lists);
      for (const { episode, ownerType, owner, mates } of learnedEpisodes.splice(0)) {
        const rule = ruleSet.rulesByEpisode[episode];
        if (rule !== undefined) openKeysOf(episode).set(ownerType === HOST_TYPE ? mates[rule.keyType]! : owner, 1);
      }
      spilledLabels?.((reference, label) => {
        const ownerType = label[0]! % 256;
        const owner = label[1]!;
        tables[ownerType]!.set(owner, -reference);
        spilledBlocks++;
        if (ownerType === HOST_TYPE && label[3] !== 0) spilledSubscribers++;
        know(ownerType, owner, label[2]!, (keyType) => label[3 + keyType]!);
        for (let episode = Math.floor(label[0]! / 256) - 1; episode >= 0; episode--) {
          const id = label[LABEL_UNITS + episode]!;
          const rule = ruleSet.rulesByEpisode[id];
          if (rule !== undefined) openKeysOf(id).set(ownerType === HOST_TYPE ? label[3 + rule.keyType]! : owner, 1);
        }
      });
      return problems;
    },
  };
}

function emptyRuleSet(localTime: LocalTime): RuleSet {
  const compiled = compileRuleSet([], '', {
    registry: new Map(),
    names: createNames(),
    localTime,
    lists: undefined,
    rankings: createRankings({ localTime, latenessMs: 0 }),
    calibration: createCalibration(),
    since: 0,
  });
  if ('problems' in compiled) throw new Error('the empty rule set must compile');
  return compiled.ruleSet;
}
