/**
 * A gateway as `serve` would make it, on a broker of its own: real streams, real sinks, real sockets. Only the engine
 * is left out: subscribers and rules are what the test says.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { WebSocket } from 'ws';
import { openAccessStore } from '../src/access/store.ts';
import { type AlertData, alertEvent, alertSubject } from '../src/alerts/alert.ts';
import { DEFAULTS, numberingPlanFile } from '../src/config.ts';
import { createRecordSearch } from '../src/evidence/search-thread.ts';
import { createOperations } from '../src/http/operations.ts';
import { createGateway, type Gateway, type GatewayOptions } from '../src/http/server.ts';
import { createLog } from '../src/log.ts';
import { createMetrics, type Metrics } from '../src/metrics.ts';
import { openRuleDesk } from '../src/rule-changes/rule-desk.ts';
import { createTestBench } from '../src/rule-changes/test-bench.ts';
import { churnReport } from '../src/rules/churn-report.ts';
import { type Model, parseModel } from '../src/rules/model.ts';
import { createDeadLetterSink } from '../src/sinks/dead-letter.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { ensureStreams } from '../src/source/streams.ts';
import { createCalibration } from '../src/state/calibration.ts';

export interface Bench {
  broker: Broker;
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  /** A fresh folder, removed at the end. */
  dataDir: string;
  /** Starts a gateway on `dataDir`; one at a time, unless they are given folders of their own. */
  start(options?: Partial<GatewayOptions> & { port?: number }): Promise<RunningGateway>;
  /** Publishes an alert to ALERTS; resolves with its sequence. */
  publishAlert(fields?: Partial<AlertData>): Promise<number>;
  /** Ends gateways, connection and broker. */
  stop(): Promise<void>;
}

export interface RunningGateway {
  gateway: Gateway;
  url: string;
  metrics: Metrics;
  close(): Promise<void>;
}

const modelFile = join(DEFAULTS.rules, 'models/retention.yaml');
const churnModel = (parseModel(modelFile, readFileSync(modelFile, 'utf8')) as { model: Model }).model;

let alertsMade = 0;

export function alertWith(fields: Partial<AlertData> = {}): AlertData {
  alertsMade += 1;
  return {
    alertId: alertsMade.toString(16).padStart(32, '0'),
    revision: 1,
    status: 'firing',
    ruleId: 'fraud.irsf-burst',
    ruleVersion: 3,
    catalogue: 'F03',
    desk: 'fraud',
    severity: 'warning',
    title: { en: 'Burst of calls to risky numbers', 'zh-CN': '高风险号码呼叫突增' },
    key: { type: 'subscriber', value: '8613800000001' },
    servedMsisdn: '8613800000001',
    eventTime: 1_700_000_000_000 + alertsMade,
    triggerRecordId: `r${alertsMade}`,
    reason: { en: '42 calls in 1h, limit 30.', 'zh-CN': '1小时内42次呼叫，阈值30。' },
    evidence: [{ feature: 'calls1h', window: '1h', value: 42, threshold: 30, unit: 'count' }],
    score: 80,
    fraudType: 'irsf',
    suggestedActions: ['bar-international'],
    observedSince: 1_690_000_000_000,
    ...fields,
  };
}

export async function startBench(options: { partitions?: number; maxPayloadBytes?: number } = {}): Promise<Bench> {
  const { partitions = 1 } = options;
  const broker = await startBroker(
    options.maxPayloadBytes === undefined ? {} : { maxPayloadBytes: options.maxPayloadBytes },
  );
  const nc = await connect({ servers: broker.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  await ensureStreams(nc, { partitions, retentionDays: { usage: 35, alerts: 400, deadletter: 90 } });
  const js = jetstream(nc);
  const jsm = await jetstreamManager(nc);
  const dataDir = mkdtempSync(join(tmpdir(), 'ringfence-gateway-'));
  const running = new Set<RunningGateway>();
  const log = createLog({ level: 'silent' });
  // One for all gateways, because it waits for NATS, and some of them start without.
  const desk = await openRuleDesk({ nc, js, jsm, metrics: createMetrics(), log });

  return {
    broker,
    nc,
    js,
    jsm,
    dataDir,
    async start({ port = 0, ...overrides } = {}) {
      const metrics = createMetrics();
      const deadLetters = createDeadLetterSink(js, jsm);
      // Nobody in it: everybody on this machine may do everything.
      const access = openAccessStore(':memory:');
      const testSettings = { ...DEFAULTS, numberingPlanFile, nats: [broker.url], partitions };
      const records = createRecordSearch({ nats: [broker.url], partitions }, metrics);
      const gateway = await createGateway({
        nc,
        js,
        jsm,
        partitions,
        deadLetters,
        inspectSubscriber: () => undefined,
        timeZone: 'UTC',
        records,
        rules: {
          list: () => [],
          get: () => undefined,
          check: () => [],
          save: async () => ({ kind: 'conflict', detail: 'No rules in this test.' }),
        },
        lists: {
          all: () => [],
          text: () => undefined,
          add: async () => ({ problem: 'No lists in this test.' }),
          importRows: async () => ({ added: 0, present: 0, problems: [] }),
          remove: async () => false,
        },
        churn: () => churnReport(churnModel, [createCalibration().snapshot()]),
        ruleChanges: {
          desk,
          bench: createTestBench(testSettings, metrics),
          source: () => undefined,
          values: () => [],
          files: () => [],
          layer: () => undefined,
          inForce: { textOf: async () => undefined, problemOf: () => 'No rules in this test.' },
          problemsOf: () => [],
          putInForce: async () => {},
        },
        operations: createOperations({ metrics, ready: () => true, natsConnected: () => true }),
        metrics,
        log,
        access,
        consoleDir: join(dataDir, 'no-console'),
        dataDir,
        ...overrides,
      });
      const url = await gateway.listen('127.0.0.1', port);
      const made: RunningGateway = {
        gateway,
        url,
        metrics,
        async close() {
          if (!running.delete(made)) return;
          await gateway.close();
          await records.close();
          await deadLetters.close();
          access.close();
        },
      };
      running.add(made);
      return made;
    },
    async publishAlert(fields) {
      const alert = alertWith(fields);
      const ack = await js.publish(alertSubject(alert), JSON.stringify(alertEvent(alert, '/ringfence/test')));
      return ack.seq;
    },
    async stop() {
      for (const gateway of [...running]) await gateway.close();
      await desk.close();
      await nc.close();
      await broker.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export type Frame =
  | { kind: 'hello'; seq: number }
  | { kind: 'resync'; seq: number }
  | { kind: 'alert'; seq: number; alert: AlertData };

export interface LiveClient {
  socket: WebSocket;
  /** Everything that came, in order. */
  frames: Frame[];
  /** Sequences of the alert frames. */
  sequences(): number[];
  /** Resolves as soon as the frames satisfy the condition; rejects when the socket closes before. */
  until(condition: (frames: Frame[]) => boolean): Promise<void>;
  /** Resolves with the close code. */
  closed: Promise<number>;
  close(): Promise<void>;
}

/** Connects to `/v1/alerts/live` and waits for the hello frame. */
export async function connectLive(
  url: string,
  query: Record<string, string | number> = {},
  headers: Record<string, string> = {},
): Promise<LiveClient> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/alerts/live?${parameters}`, { headers });
  const frames: Frame[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const check of [...waiting]) check();
  };
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  socket.on('message', (data) => {
    frames.push(JSON.parse(data.toString()) as Frame);
    wake();
  });
  const failure = new Promise<never>((_, reject) => {
    socket.once('error', reject);
    socket.once('close', (code) => reject(new Error(`closed with ${code} after ${JSON.stringify(frames.at(-1))}`)));
  });
  failure.catch(() => {});
  const client: LiveClient = {
    socket,
    frames,
    sequences: () => frames.flatMap((frame) => (frame.kind === 'alert' ? [frame.seq] : [])),
    async until(condition) {
      if (condition(frames)) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const check = () => condition(frames) && resolve();
      waiting.add(check);
      await Promise.race([promise, failure]).finally(() => waiting.delete(check));
    },
    closed,
    async close() {
      socket.close();
      await closed;
    },
  };
  await client.until((all) => all.length > 0);
  return client;
}

/** How the server refuses an upgrade: status and problem. */
export async function refusedLive(
  url: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<{ status: number; type: string; problem: { status: number; detail: string } }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/alerts/live${query}`, { headers });
  return new Promise((resolve, reject) => {
    socket.on('open', () => reject(new Error('the upgrade was accepted')));
    socket.on('error', () => {});
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          problem: JSON.parse(body),
        }),
      );
    });
  });
}
