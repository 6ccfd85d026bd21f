/**
 * Every metric of the process in one table. Names follow Prometheus: one prefix, base units, `_total` for counters; no
 * label ever holds a subscriber, an account or an alert, so the number of series is bounded by rules, routes and stages.
 *
 * What the hot path pays, measured on one core: a labelled `inc` of prom-client costs 150 ns and an `observe` 250 ns,
 * which at 300,000 records/s would be 5 % of the core for one counter and 7 % for one histogram. So:
 * - records are counted by `countRecords`, an addition in a typed array (a few ns) that a scrape turns into series;
 * - `observeStage` is called once a batch and stage, with the time of the whole batch, never once a record;
 * - `observeEventToAlert` is called once an alert, and alerts are thousands of times rarer than records.
 * Gauges that some part of the process knows anyway are read when a scrape asks for them (`onScrape`, `trackQueue`).
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Desk, SEVERITIES } from './alerts/alert.ts';
import { RECORD_TYPES, type RecordType } from './record/usage-record.ts';

/** The four things that can happen to a record. */
export const RECORD_RESULTS = ['applied', 'duplicate', 'late', 'rejected'] as const;
export type RecordResult = (typeof RECORD_RESULTS)[number];

/** Type label of a record: `unknown` where it could not be decoded or its type is not one of ours. */
export type RecordTypeLabel = RecordType | 'unknown';

/** Stages of a record's life, in order; src/README.md draws them. */
const STAGES = ['next', 'decode', 'apply', 'publish', 'checkpoint'] as const;
export type Stage = (typeof STAGES)[number];

/** How a spilled block was read when it came back. */
export const SPILL_READS = ['ahead', 'within', 'unwritten'] as const;

/** 1 ms to 60 s. The push target is 50 ms, a checkpoint may take seconds, and an alert behind a backlog a minute. */
const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Span of `recentEventToAlert`, and the most alerts that it looks at: in a burst it covers less time, never more memory. */
const RECENT_ALERT_MS = 10_000;
const RECENT_ALERTS_MAX = 4_096;

/** `catalogueCount`: different catalogue numbers among the rules. */
export interface RulesInForce {
  version: string;
  count: number;
  catalogueCount: number;
}

export interface Metrics {
  /** Adds to `ringfence_records_total`; cheap enough for every record. */
  countRecords(type: RecordTypeLabel, result: RecordResult, count?: number): void;
  /** Records counted so far by result, all types together. */
  recordsByResult(): Record<RecordResult, number>;
  /** Time that one batch spent in one stage. Call it once a batch. */
  observeStage(stage: Stage, seconds: number): void;
  alertsTotal: Counter<'rule' | 'desk' | 'severity'>;
  shadowAlertsTotal: Counter<'rule' | 'desk' | 'severity'>;
  backfillLagMessages: Gauge<'partition'>;
  /** From the broker time of the record that made an alert fire to the broker's acknowledgement of the alert. */
  observeEventToAlert(seconds: number): void;
  /** The same over the last RECENT_ALERT_MS, as seconds; null where no alert was published in them. */
  recentEventToAlert(): { p50: number; p99: number; max: number } | null;
  streamLagMessages: Gauge<'partition'>;
  watermarkLagSeconds: Gauge<'partition'>;
  /** A checkpoint became durable now, after so many seconds from cut to rename. */
  observeCheckpoint(seconds: number): void;
  /** Checkpoints that the disk did not take. */
  checkpointFailuresTotal: Counter;
  /** The newest one of this process; null before it. */
  lastCheckpoint(): { finishedAt: number; durationSec: number } | null;
  subscribersResident: Gauge;
  stateBytes: Gauge;
  evictionsTotal: Counter;
  residentBlocks: Gauge;
  spilledBlocks: Gauge;
  spilledBytes: Gauge;
  spillDiskBytes: Gauge;
  spillReturnsTotal: Counter<'read'>;
  spillReadSeconds: Histogram<'when'>;
  timersPending: Gauge;
  timerStepsTotal: Counter;
  duplicateHorizonRecords: Gauge;
  ruleErrorsTotal: Counter<'rule'>;
  alertPublishInFlight: Gauge;
  checkpointKeptBytes: Gauge;
  deadLettersTotal: Counter<'reason'>;
  deadLetterReplaysTotal: Counter<'result'>;
  wsClients: Gauge;
  wsResyncsTotal: Counter;
  wsFramesTotal: Counter;
  alertFeedUnreadableTotal: Counter;
  accessDeniedTotal: Counter<'status'>;
  signInsTotal: Counter<'provider' | 'result'>;
  numbersRevealedTotal: Counter;
  caseFeedUnreadableTotal: Counter<'stream'>;
  casesNow: Gauge<'desk' | 'status'>;
  caseOutcomes: Gauge<'desk' | 'outcome'>;
  rulePrecision: Gauge<'rule' | 'desk'>;
  deskPrecision: Gauge<'desk'>;
  churnForecasts: Gauge<'state'>;
  churnFit: Gauge<'figure'>;
  churnDecile: Gauge<'decile' | 'figure'>;
  churnPsi: Gauge<'of'>;
  churnUplift: Gauge<'bound'>;
  churnOfferEffect: Gauge;
  caseConflictsTotal: Counter;
  ruleChangesTotal: Counter<'type'>;
  ruleProposalsOpen: Gauge;
  ruleEventsUnreadableTotal: Counter;
  approvedRulesWaiting: Gauge;
  webhookDeliveriesTotal: Counter<'webhook' | 'result'>;
  httpRequestsTotal: Counter<'route' | 'method' | 'status'>;
  httpRequestSeconds: Histogram<'route'>;
  /** Starts the series of each rule at 0, so that `rate()` sees the first alert; sets `ringfence_rules_info`. */
  declareRules(version: string, rules: { id: string; desk: Desk; catalogue?: string; shadow?: boolean }[]): void;
  /** What was declared last. */
  rulesInForce(): RulesInForce;
  /** Shows a bounded queue, map or ring next to its limit: `ringfence_queue_items` and `ringfence_queue_limit`. */
  trackQueue(name: string, limit: number, items: () => number): void;
  /** Runs before each scrape, to set gauges from what its owner knows. */
  onScrape(read: () => void): void;
  /** Brings every gauge up to date, as a scrape does. */
  refresh(): void;
  /** The page for a scraper: OpenMetrics 1.0 where `accept` asks for it, else the Prometheus text format. */
  expose(accept: string | undefined): Promise<{ contentType: string; body: string }>;
}

/** A new set of metrics with its own registry: two of them in one process do not meet. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const scrapeReaders: (() => void)[] = [];

  const counter = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
    new Counter<L>({ name: `ringfence_${name}`, help, labelNames, registers });
  const gauge = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
    new Gauge<L>({ name: `ringfence_${name}`, help, labelNames, registers });
  const seconds = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
    new Histogram<L>({ name: `ringfence_${name}`, help, labelNames, registers, buckets: SECONDS_BUCKETS });

  const recordsTotal = counter('records_total', 'Usage records by type and by what became of them.', [
    'type',
    'result',
  ]);
  const alertsTotal = counter('alerts_total', 'Alert revisions published.', ['rule', 'desk', 'severity']);
  const backfillLagMessages = gauge(
    'backfill_lag_messages',
    'Messages that are still to be read again for the windows of new rules; 0 where none are announced.',
    ['partition'],
  );
  const shadowAlertsTotal = counter('shadow_alerts_total', 'Alert revisions of draft rules, which no desk sees.', [
    'rule',
    'desk',
    'severity',
  ]);
  const eventToAlertSeconds = seconds(
    'event_to_alert_seconds',
    'From the broker time of the triggering record to the acknowledgement of its alert.',
  );
  const stageSeconds = seconds('stage_seconds', 'Time of one batch in one stage.', ['stage']);
  const streamLagMessages = gauge('stream_lag_messages', 'Messages of the stream that are not applied yet.', [
    'partition',
  ]);
  const watermarkLagSeconds = gauge('watermark_lag_seconds', 'Broker time minus watermark.', ['partition']);
  const checkpointSeconds = seconds('checkpoint_seconds', 'Duration of a checkpoint, from cut to rename.');
  const checkpointLastSuccessTimestampSeconds = gauge(
    'checkpoint_last_success_timestamp_seconds',
    'Unix time of the newest durable checkpoint; 0 before the first.',
  );
  const checkpointKeptBytes = gauge(
    'checkpoint_kept_bytes',
    'State that was copied for the newest checkpoint because it changed while the checkpoint was written.',
  );
  const checkpointFailuresTotal = counter('checkpoint_failures_total', 'Checkpoints that the disk did not take.');
  const subscribersResident = gauge('subscribers_resident', 'Subscribers whose state is in memory.');
  const stateBytes = gauge('state_bytes', 'Bytes of rule state in memory.');
  const evictionsTotal = counter('evictions_total', 'Blocks of keys that were spilled because a limit was reached.');
  const residentBlocks = gauge(
    'resident_blocks',
    'Blocks of state in memory; a subscriber shares one with its account, SIM and handset.',
  );
  const spilledBlocks = gauge('spilled_blocks', 'Blocks of cold keys that are on disk and not in memory.');
  const spilledBytes = gauge('spilled_bytes', 'Bytes of the spilled blocks.');
  const spillDiskBytes = gauge('spill_disk_bytes', 'Bytes of all segments of spilled blocks that are in use.');
  const spillReturnsTotal = counter(
    'spill_returns_total',
    'Spilled blocks that came back: read ahead of their records, within (while a record was applied) or unwritten (still in memory).',
    ['read'],
  );
  const spillReadSeconds = seconds(
    'spill_read_seconds',
    'Time to read spilled blocks: ahead (all of a batch) or within (one, while a record was applied).',
    ['when'],
  );
  const timerStepsTotal = counter(
    'timer_steps_total',
    'Times that timers which fell due at once (time had jumped) were fired in portions, with other work between them.',
  );
  const timersPending = gauge('timers_pending', 'Event-time timers that are set.');
  const duplicateHorizonRecords = gauge('duplicate_horizon_records', 'Record ids remembered to recognise duplicates.');
  const ruleErrorsTotal = counter('rule_errors_total', 'Evaluations of a rule that threw.', ['rule']);
  const rulesInfo = gauge('rules_info', 'Version of the rule set in force; always 1.', ['version']);
  const alertPublishInFlight = gauge('alert_publish_in_flight', 'Alerts published and not yet acknowledged.');
  const deadLettersTotal = counter('dead_letters_total', 'Rejected records sent to the dead-letter stream.', [
    'reason',
  ]);
  const deadLetterReplaysTotal = counter(
    'dead_letter_replays_total',
    'Replays of dead letters asked for over HTTP: sent, duplicate (sent before), refused (would be rejected again).',
    ['result'],
  );
  const wsClients = gauge('ws_clients', 'Connected live clients.');
  const wsResyncsTotal = counter(
    'ws_resyncs_total',
    'Resync frames sent: bad positions and clients that were too slow.',
  );
  const wsFramesTotal = counter('ws_frames_total', 'Alert frames handed to live clients.');
  const alertFeedUnreadableTotal = counter(
    'alert_feed_unreadable_total',
    'Messages of the ALERTS stream that are not alerts and were passed over.',
  );
  const accessDeniedTotal = counter(
    'access_denied_total',
    'Requests denied, by HTTP status: 401 not signed in, 403 not allowed.',
    ['status'],
  );
  const signInsTotal = counter(
    'sign_ins_total',
    'Sign-ins by provider (local, oidc) and result (done, failed, limited).',
    ['provider', 'result'],
  );
  const numbersRevealedTotal = counter(
    'numbers_revealed_total',
    'Whole numbers shown to somebody who sees masked ones.',
  );
  const caseFeedUnreadableTotal = counter(
    'case_feed_unreadable_total',
    'Messages of ALERTS and CASES that are no alert or case event and were passed over.',
    ['stream'],
  );
  const casesNow = gauge('cases', 'Cases by desk and status.', ['desk', 'status']);
  const caseOutcomes = gauge('case_outcomes', 'Closed cases by desk and outcome.', ['desk', 'outcome']);
  const rulePrecision = gauge(
    'rule_precision_ratio',
    'Share of the judged cases with an alert of the rule in which the alert was right; no series before the first.',
    ['rule', 'desk'],
  );
  const deskPrecision = gauge('desk_precision_ratio', 'Share of the judged cases of the desk that were right.', [
    'desk',
  ]);
  const churnForecasts = gauge(
    'churn_forecasts',
    'Churn forecasts kept in the counts: made, observed (their horizon has passed), churned (of those).',
    ['state'],
  );
  const churnFit = gauge(
    'churn_fit',
    'How right the churn formula is: brier, skill, auc, lift (highest tenth), rate (who left), predicted (mean); no series before the first outcome.',
    ['figure'],
  );
  const churnDecile = gauge(
    'churn_decile_ratio',
    'By tenth of the churn score: predicted mean probability, and rate of those who left.',
    ['decile', 'figure'],
  );
  const churnPsi = gauge(
    'churn_psi',
    'Population stability index of the churn score and of each input, newest cohort against the first; 0.1 a shift, 0.25 another population.',
    ['of'],
  );
  const churnUplift = gauge(
    'churn_uplift_ratio',
    'Save rate with an offer less that of the control group: estimate, low and high end of 95 %.',
    ['bound'],
  );
  const churnOfferEffect = gauge(
    'churn_offer_effect_ratio',
    'Share of those about to leave whom an offer keeps, from the control group.',
  );
  const caseConflictsTotal = counter(
    'case_conflicts_total',
    'Changes of a case that were refused because somebody else had changed it first.',
  );
  const ruleChangesTotal = counter(
    'rule_changes_total',
    'Events of rules written here: proposed, approved, rejected, withdrawn, changed in another way.',
    ['type'],
  );
  const ruleProposalsOpen = gauge('rule_proposals_open', 'Changes of rules that wait for a second person.');
  const ruleEventsUnreadableTotal = counter(
    'rule_events_unreadable_total',
    'Messages of RULES that are no change of a rule and were passed over.',
  );
  const approvedRulesWaiting = gauge('approved_rules_waiting', 'Approved changes of rules that are not in force yet.');
  const webhookDeliveriesTotal = counter('webhook_deliveries_total', 'Webhook requests by what became of them.', [
    'webhook',
    'result',
  ]);
  const httpRequestsTotal = counter('http_requests_total', 'HTTP requests by route pattern, method and status.', [
    'route',
    'method',
    'status',
  ]);
  const httpRequestSeconds = seconds('http_request_seconds', 'Time to answer an HTTP request.', ['route']);
  const queueItems = gauge('queue_items', 'Entries of a bounded queue, map or ring.', ['queue']);
  const queueLimit = gauge('queue_limit', 'Most entries that a bounded queue, map or ring may hold.', ['queue']);
  collectDefaultMetrics({ register: registry });

  const typeLabels: RecordTypeLabel[] = [...RECORD_TYPES, 'unknown'];
  const results = RECORD_RESULTS.length;
  const typeOffset: Record<string, number> = Object.create(null);
  for (const [index, type] of typeLabels.entries()) typeOffset[type] = index * results;
  const resultOffset = { applied: 0, duplicate: 1, late: 2, rejected: 3 } satisfies Record<RecordResult, number>;
  const tally = new Float64Array(typeLabels.length * results);
  const tallySeen = new Float64Array(tally.length);
  scrapeReaders.push(() => {
    for (const type of typeLabels) {
      for (const result of RECORD_RESULTS) {
        const index = typeOffset[type] + resultOffset[result];
        recordsTotal.inc({ type, result }, tally[index] - tallySeen[index]);
        tallySeen[index] = tally[index];
      }
    }
  });

  const deadLetterReasons = ['malformed', 'schema', 'unknownType', 'future', 'tooLarge'];
  for (const reason of deadLetterReasons) deadLettersTotal.inc({ reason }, 0);
  for (const result of ['sent', 'duplicate', 'refused']) deadLetterReplaysTotal.inc({ result }, 0);
  for (const read of SPILL_READS) spillReturnsTotal.inc({ read }, 0);
  for (const when of ['ahead', 'within']) spillReadSeconds.zero({ when });
  for (const stage of STAGES) stageSeconds.zero({ stage });

  /**
   * The OpenMetrics page comes from a second registry. prom-client renames a counter in place when it writes
   * OpenMetrics (the type line has no `_total`), which would spoil the next Prometheus page; the second registry
   * therefore holds views that rename a copy.
   */
  const openMetrics = new Registry();
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  for (const metric of registry.getMetricsAsArray()) {
    const source = metric as unknown as { name: string; type: string; get(): Promise<{ name: string }> };
    const view = {
      name: source.name,
      type: source.type,
      get: async () => {
        const value = await source.get();
        return source.type === 'counter' ? { ...value, name: value.name.replace(/_total$/, '') } : value;
      },
    };
    openMetrics.registerMetric(view as never);
  }

  const refresh = (): void => {
    for (const read of scrapeReaders) read();
  };
  let checkpoint: { finishedAt: number; durationSec: number } | null = null;
  let rulesDeclared: RulesInForce = { version: '', count: 0, catalogueCount: 0 };
  /** A ring: publication time and delay of the newest alerts. */
  const recentAt = new Float64Array(RECENT_ALERTS_MAX).fill(Number.NEGATIVE_INFINITY);
  const recentDelay = new Float64Array(RECENT_ALERTS_MAX);
  let recentNext = 0;

  return {
    countRecords(type, result, count = 1) {
      tally[typeOffset[type] + resultOffset[result]] += count;
    },
    recordsByResult() {
      const sum = { applied: 0, duplicate: 0, late: 0, rejected: 0 };
      for (const result of RECORD_RESULTS) {
        for (let index = resultOffset[result]; index < tally.length; index += results) sum[result] += tally[index];
      }
      return sum;
    },
    observeStage(stage, elapsedSeconds) {
      stageSeconds.observe({ stage }, elapsedSeconds);
    },
    alertsTotal,
    shadowAlertsTotal,
    backfillLagMessages,
    observeEventToAlert(elapsedSeconds) {
      eventToAlertSeconds.observe(elapsedSeconds);
      recentAt[recentNext] = performance.now();
      recentDelay[recentNext] = elapsedSeconds;
      recentNext = (recentNext + 1) % RECENT_ALERTS_MAX;
    },
    recentEventToAlert() {
      const oldest = performance.now() - RECENT_ALERT_MS;
      const delays = recentDelay.filter((_, index) => recentAt[index] >= oldest).sort();
      if (delays.length === 0) return null;
      const at = (share: number) => delays[Math.min(delays.length - 1, Math.floor(share * delays.length))];
      return { p50: at(0.5), p99: at(0.99), max: at(1) };
    },
    streamLagMessages,
    watermarkLagSeconds,
    observeCheckpoint(elapsedSeconds) {
      checkpointSeconds.observe(elapsedSeconds);
      checkpoint = { finishedAt: Date.now(), durationSec: elapsedSeconds };
      checkpointLastSuccessTimestampSeconds.set(checkpoint.finishedAt / 1000);
    },
    checkpointFailuresTotal,
    lastCheckpoint: () => checkpoint,
    subscribersResident,
    stateBytes,
    evictionsTotal,
    residentBlocks,
    spilledBlocks,
    spilledBytes,
    spillDiskBytes,
    spillReturnsTotal,
    spillReadSeconds,
    timersPending,
    timerStepsTotal,
    duplicateHorizonRecords,
    ruleErrorsTotal,
    alertPublishInFlight,
    checkpointKeptBytes,
    deadLettersTotal,
    deadLetterReplaysTotal,
    wsClients,
    wsResyncsTotal,
    wsFramesTotal,
    alertFeedUnreadableTotal,
    accessDeniedTotal,
    signInsTotal,
    numbersRevealedTotal,
    caseFeedUnreadableTotal,
    casesNow,
    caseOutcomes,
    rulePrecision,
    deskPrecision,
    churnForecasts,
    churnFit,
    churnDecile,
    churnPsi,
    churnUplift,
    churnOfferEffect,
    caseConflictsTotal,
    ruleChangesTotal,
    ruleProposalsOpen,
    ruleEventsUnreadableTotal,
    approvedRulesWaiting,
    webhookDeliveriesTotal,
    httpRequestsTotal,
    httpRequestSeconds,
    declareRules(version, rules) {
      // A detection that is kept for two kinds of keys is two rules of one catalogue number.
      const numbers = new Set(rules.map(({ id, catalogue }) => catalogue ?? id));
      rulesDeclared = { version, count: rules.length, catalogueCount: numbers.size };
      rulesInfo.reset();
      rulesInfo.set({ version }, 1);
      for (const rule of rules) {
        ruleErrorsTotal.inc({ rule: rule.id }, 0);
        const alerts = rule.shadow === true ? shadowAlertsTotal : alertsTotal;
        for (const severity of SEVERITIES) alerts.inc({ rule: rule.id, desk: rule.desk, severity }, 0);
      }
    },
    rulesInForce: () => rulesDeclared,
    trackQueue(name, limit, items) {
      queueLimit.set({ queue: name }, limit);
      scrapeReaders.push(() => queueItems.set({ queue: name }, items()));
    },
    onScrape(read) {
      scrapeReaders.push(read);
    },
    refresh,
    async expose(accept) {
      refresh();
      const page = accept?.includes('application/openmetrics-text') ? openMetrics : registry;
      return { contentType: page.contentType, body: await page.metrics() };
    },
  };
}
