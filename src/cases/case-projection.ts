/**
 * The cases of a gateway, put together: tables, reader of both streams, questions, work, and the look-out for snoozes whose
 * end has come.
 */
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { AlertData, Desk } from '../alerts/alert.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { connectionState, isNoAnswer } from '../source/connection.ts';
import type { SourceMessage } from '../source/delivery.ts';
import { type CaseDesk, createCaseDesk } from './case-desk.ts';
import { openCaseIndex } from './case-index.ts';
import { type CaseList, createCaseList } from './case-list.ts';
import { CASE_POLICY, type CasePolicy } from './case-policy.ts';
import { type CaseReader, createCaseReader } from './case-reader.ts';
import type { CaseTables } from './case-tables.ts';
import type { DeskSettings, SettingsMessage } from './desk-settings.ts';
import { readFeedback } from './feedback.ts';

/** How often snoozes are looked at. */
const SNOOZE_CHECK_MS = 5_000;
/** A scrape may come every second; counting every case takes milliseconds. */
const FIGURES_KEPT_MS = 10_000;

export interface CaseProjection {
  tables: CaseTables;
  list: CaseList;
  desk: CaseDesk;
  /** Views and routing of a desk, and how they came to be, newest first. */
  settings(desk: Desk): DeskSettings;
  settingsHistory(desk: Desk, limit: number): SettingsMessage[];
  reader: CaseReader;
  /** Called with the cases that look different now; undefined: all of them may. Returns the function that ends it. */
  onChange(listener: (caseIds: ReadonlySet<string> | undefined) => void): () => void;
  close(): Promise<void>;
}

export function createCaseProjection(options: {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  metrics: Metrics;
  log: Log;
  /** File of the tables, or `:memory:`. */
  path: string;
  policy?: CasePolicy | undefined;
  alertOf(message: SourceMessage): { alert: AlertData; json: string } | undefined;
}): CaseProjection {
  const { nc, js, jsm, metrics, log, alertOf } = options;
  const index = openCaseIndex(options.path, options.policy ?? CASE_POLICY);
  const list = createCaseList(index.tables);
  const listeners = new Set<(caseIds: ReadonlySet<string> | undefined) => void>();
  const reader = createCaseReader({
    nc,
    jsm,
    index,
    metrics,
    log,
    alertOf,
    onChange(caseIds) {
      for (const listener of listeners) listener(caseIds);
    },
    onReset() {
      for (const listener of listeners) listener(undefined);
    },
  });
  const desk = createCaseDesk({ js, list, reader, settings: index.settings, metrics });

  let noting = false;
  const noteEnded = async (): Promise<void> => {
    if (noting || !connectionState(nc).connected()) return;
    noting = true;
    try {
      await reader.caughtUp();
      for (const { caseId, snoozeId } of list.ended(Date.now())) await desk.noteExpired(caseId, snoozeId);
    } catch (error) {
      // NATS went away in between; the ends are still there at the next look.
      if (!isNoAnswer(error)) throw error;
    } finally {
      noting = false;
    }
  };
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  let closed = false;
  const snoozeCheck = setInterval(() => {
    noteEnded().catch((error) => {
      if (!closed) failure.reject(error);
    });
  }, SNOOZE_CHECK_MS);
  snoozeCheck.unref();

  let figuresAt = Number.NEGATIVE_INFINITY;
  metrics.onScrape(() => {
    if (closed || performance.now() - figuresAt < FIGURES_KEPT_MS) return;
    figuresAt = performance.now();
    metrics.casesNow.reset();
    for (const { desk: name, status, cases } of list.countByStatus(Date.now()))
      metrics.casesNow.set({ desk: name, status }, cases);
    const { desks, rules, retention } = readFeedback(index.tables, {});
    for (const gauge of [metrics.caseOutcomes, metrics.deskPrecision, metrics.rulePrecision]) gauge.reset();
    for (const { desk: name, outcomes, precision } of desks) {
      for (const [outcome, cases] of Object.entries(outcomes)) metrics.caseOutcomes.set({ desk: name, outcome }, cases);
      if (precision !== null) metrics.deskPrecision.set({ desk: name }, precision);
    }
    metrics.churnUplift.reset();
    metrics.churnOfferEffect.reset();
    if (retention.uplift !== null) {
      const { effect, ...bounds } = retention.uplift;
      for (const [bound, value] of Object.entries(bounds)) metrics.churnUplift.set({ bound }, value);
      if (effect !== null) metrics.churnOfferEffect.set({}, effect);
    }
    for (const { ruleId, desk: name, precision } of rules)
      if (precision !== null) metrics.rulePrecision.set({ rule: ruleId, desk: name }, precision);
  });

  return {
    tables: index.tables,
    list,
    settings: index.settings,
    settingsHistory: index.settingsHistory,
    desk,
    reader: { ...reader, ended: Promise.race([reader.ended, failure.promise]) },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      closed = true;
      clearInterval(snoozeCheck);
      await reader.close();
      index.close();
    },
  };
}
