/**
 * `serve` as its users start it: a process of its own on a broker of its own, with sockets, signals and an exit code; and what
 * tests of it need beside: a stream to feed it, the alerts that came out, and a client that resumes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeEach, expect } from 'vitest';
import { WebSocket } from 'ws';
import type { AlertData, AlertEvent } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import { population } from '../src/feed/population.ts';
import { controlKindOf } from '../src/record/control-message.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import type { Frame } from './http-gateway.ts';

/** Nothing that is waited for takes so long, on the slowest machine. */
const WAIT_LIMIT_MS = 90_000;
const POLL_MS = 20;
/** A machine that stood still for longer has not been waited for. */
const FROZEN_MS = 5_000;
/** Compiled modules of the many short processes: it halves the start of each, 0.6 s of a core. */
const compileCache = join(projectFolder, 'node_modules/.cache/compile');
const RETRY_MS = 50;
const ATTEMPTS_MAX = 3;
const WRITE_LENGTH = 1024 * 1024;

/** Polls until the condition holds; `what` completes the sentence of the failure. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = WAIT_LIMIT_MS,
) {
  let last = performance.now();
  for (let waitedMs = 0; ; ) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (waitedMs > limitMs) throw new Error(`waited in vain for ${what}`);
    await sleep(POLL_MS);
    const now = performance.now();
    waitedMs += Math.min(now - last, FROZEN_MS);
    last = now;
  }
}

// -- where a test stands ---------------------------------------------------------------------------------------------

export interface Stand {
  /** Broker of the test that runs; one that a test puts in its place is stopped like it. */
  broker: Broker;
  /** Folder of the file. */
  path: string;
  /** Another empty folder in it, for each call. */
  newFolder(): string;
  /** A new folder with these of the rules that ship. */
  rulesOf(...names: string[]): string;
}

/** Copies these of the rules that ship, `fraud/long-call` for one, into a folder: all of them take a start 0.4 s of a core. */
export function copyRules(folder: string, ...names: string[]): string {
  for (const name of names) {
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    copyFileSync(join(projectFolder, `rules/${name}.yaml`), join(folder, `${name}.yaml`));
  }
  return folder;
}

/** A broker of its own for each test of the file, and folders that go with the file; no process outlives its test. */
export function brokerForEach(): Stand {
  const folder = temporaryFolder();
  let folders = 0;
  const stand: Stand = {
    // Before the first test there is none.
    broker: undefined as unknown as Broker,
    path: folder.path,
    newFolder() {
      const path = join(folder.path, `folder-${folders++}`);
      mkdirSync(path);
      return path;
    },
    rulesOf: (...names) => copyRules(stand.newFolder(), ...names),
  };
  beforeEach(async () => {
    stand.broker = await startBroker();
  });
  afterEach(async () => {
    await endProcesses();
    await stand.broker.stop();
  });
  afterAll(() => folder.remove());
  return stand;
}

// -- processes -------------------------------------------------------------------------------------------------------

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  pid: number;
  exited: Promise<Exit>;
  /** The first line on standard output; undefined where the process ended without one. */
  firstLine: Promise<string | undefined>;
  /** All that it wrote to standard error up to now. */
  log(): string;
  /** Resolves when the log holds the text. */
  said(text: string): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<Exit>;
  /** SIGTERM, or another signal; resolves when the process is gone. */
  end(signal?: NodeJS.Signals): Promise<Exit>;
}

export interface Serving extends Running {
  http: string;
  ops: string;
}

const children = new Set<ChildProcess>();
/** What processes said on standard error, those that have ended included, since `forgetLogs`. */
let logs: { pid: number | undefined; log(): string }[] = [];
const LOG_TAIL_LENGTH = 2_000;

export function forgetLogs(): void {
  logs = [];
}

/** The ends of all logs: what a failure needs that came from a process. */
export const logTails = (): string =>
  logs.map(({ pid, log }) => `process ${pid}: ${log().slice(-LOG_TAIL_LENGTH)}`).join('\n');
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** Ends whatever a failed test has left behind. */
export async function endProcesses(): Promise<void> {
  await Promise.all(
    [...children].map((child) => {
      // Ended already, though its output may still be open: there is no further event to wait for.
      if (child.exitCode !== null || child.signalCode !== null) return undefined;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      return gone;
    }),
  );
}

/**
 * Starts the command line with these arguments.
 * @param options.asJob in a process group of its own, to which signals go: what a shell and Ctrl-C do
 * @param options.input what it reads from standard input
 */
export function ringfence(
  args: string[],
  options: { environment?: Record<string, string>; asJob?: boolean; input?: string; root?: string | undefined } = {},
): Running {
  const { environment = {}, asJob = false, input, root = projectFolder } = options;
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache, ...environment },
    detached: asJob,
  });
  children.add(child);
  child.stdin.on('error', () => {
    // It ended without reading all of it.
  });
  child.stdin.end(input);
  let stdout = '';
  let stderr = '';
  let hasFirstLine = false;
  const firstLine = Promise.withResolvers<string | undefined>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    // Looked for once: every look joins all that has come, and a replay of many records writes for long.
    if (hasFirstLine) return;
    const end = stdout.indexOf('\n');
    if (end < 0) return;
    hasFirstLine = true;
    firstLine.resolve(stdout.slice(0, end));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  logs.push({ pid: child.pid, log: () => stderr });
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => {
      children.delete(child);
      firstLine.resolve(undefined);
      resolve({ code, signal, stdout, stderr });
    });
  });
  const end = (signal: NodeJS.Signals): Promise<Exit> => {
    if (asJob) process.kill(-child.pid!, signal);
    else child.kill(signal);
    return exited;
  };
  return {
    pid: child.pid!,
    exited,
    firstLine: firstLine.promise,
    log: () => stderr,
    said: async (text) => void (await until(`"${text}" in the log:\n${stderr}`, () => stderr.includes(text))),
    kill: () => end('SIGKILL'),
    end: (signal = 'SIGTERM') => end(signal),
  };
}

export interface ServeOptions {
  nats: string;
  data: string;
  rules?: string;
  /** Text of a configuration file. */
  config?: string;
  /** Further arguments. */
  args?: string[];
  /** Where the program lies; this one where absent. */
  root?: string | undefined;
}

export function serveArguments({ nats, data, rules, config, args = [] }: ServeOptions): string[] {
  const made = ['serve', '--nats', nats, '--data', data, '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'];
  if (rules !== undefined) made.push('--rules', rules);
  if (config !== undefined) {
    const file = `${data}.yaml`;
    writeFileSync(file, config);
    made.push('--config', file);
  }
  return [...made, ...args];
}

/** Starts `serve`; undefined where it ended before it was ready. */
export async function tryServe(options: ServeOptions): Promise<{ running: Running; ready: Serving | undefined }> {
  const running = ringfence(serveArguments(options), { root: options.root });
  return { running, ready: await whenReady(running) };
}

/** Starts `serve` and resolves with its ready line. */
export async function startServe(options: ServeOptions): Promise<Serving> {
  const { running, ready } = await tryServe(options);
  if (ready !== undefined) return ready;
  const { code, signal, stderr } = await running.exited;
  throw new Error(`serve ended with ${code ?? signal} before it was ready:\n${stderr}`);
}

/** Resolves with the addresses of the ready line, or undefined when the process ends before. */
export async function whenReady(running: Running): Promise<Serving | undefined> {
  const line = await running.firstLine;
  if (line === undefined) return undefined;
  // What it had said before on standard error is read in the same turn, maybe behind the line.
  await nextTurn();
  const { ready, http, ops } = JSON.parse(line) as { ready: boolean; http: string; ops: string };
  expect(ready).toBe(true);
  return { ...running, http, ops };
}

/** A command that ends by itself. */
export async function run(args: string[]): Promise<Exit> {
  return ringfence(args).exited;
}

// -- what a process tells --------------------------------------------------------------------------------------------

/** A request that asks for something. One that stood still for long finds its idle connection closed, and asks again. */
export async function get(url: string): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetch(url);
    } catch (error) {
      if (attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

/** One scrape: `value('ringfence_records_total', { result: 'applied' })` adds up all series with these labels. */
export async function scrape(ops: string): Promise<{ value(name: string, labels?: Record<string, string>): number }> {
  const text = await (await get(`${ops}/metrics`)).text();
  const series = text
    .split('\n')
    .map((line) => /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line))
    .filter((match) => match !== null);
  return {
    value: (name, labels = {}) =>
      series
        .filter(([, found, list = '']) => {
          if (found !== name) return false;
          return Object.entries(labels).every(([label, value]) => list.split(',').includes(`${label}="${value}"`));
        })
        .reduce((sum, [, , , value]) => sum + Number(value), 0),
  };
}

/** Version of the rule set in force. */
export async function rulesVersion(ops: string): Promise<string> {
  const text = await (await get(`${ops}/metrics`)).text();
  return /ringfence_rules_info\{version="([^"]*)"\}/.exec(text)?.[1] ?? '';
}

/** Records that this process has taken from the stream, whatever became of them. */
export async function recordsTaken(ops: string): Promise<number> {
  return (await scrape(ops)).value('ringfence_records_total');
}

export async function readiness(ops: string): Promise<{ status: number; text: string }> {
  const response = await get(`${ops}/readyz`);
  return { status: response.status, text: await response.text() };
}

/** Resolves when the process has taken so many records. */
export async function taken(ops: string, records: number): Promise<void> {
  await until(`${records} records to be taken`, async () => (await recordsTaken(ops)) >= records);
}

// -- streams ---------------------------------------------------------------------------------------------------------

export interface StoredMessage {
  sequence: number;
  subject: string;
  /** When the broker stored it, Unix epoch ms with fractions. */
  storedMs: number;
  header(name: string): string;
  bytes: Uint8Array;
}

/** The messages that a stream holds now, in its order. */
async function* messagesIn(nats: string, stream: string): AsyncGenerator<StoredMessage> {
  const nc = await connect({ servers: nats });
  try {
    const consumer = await jetstream(nc).consumers.get(stream);
    let { num_pending: left } = await consumer.info();
    if (left === 0) return;
    for await (const message of await consumer.consume()) {
      const { headers, seq, subject, data } = message;
      const storedMs = Number(message.timestampNanos) / 1e6;
      yield { sequence: seq, subject, storedMs, header: (name) => headers?.get(name) ?? '', bytes: data };
      if (--left === 0) break;
    }
  } finally {
    await nc.close();
  }
}
export async function storedIn(nats: string, stream: string): Promise<StoredMessage[]> {
  const stored: StoredMessage[] = [];
  for await (const message of messagesIn(nats, stream)) stored.push(message);
  return stored;
}

/** The records of a message of the usage stream, each as JSON; none where it is for the engine itself. */
const recordsOf = ({ subject, bytes }: StoredMessage): string[] =>
  controlKindOf(subject) !== undefined
    ? []
    : [JSON.parse(Buffer.from(bytes).toString())].flat().map((record) => JSON.stringify(record));

/** The records of the usage stream in its order. */
export async function storedRecords(nats: string, stream = 'USAGE'): Promise<string[]> {
  return (await storedIn(nats, stream)).flatMap(recordsOf);
}

/** The same as a file, however many they are. @returns how many */
export async function dumpRecords(nats: string, path: string): Promise<number> {
  const lines = createLineWriter(path);
  for await (const message of messagesIn(nats, 'USAGE')) for (const record of recordsOf(message)) lines.write(record);
  return lines.end();
}

/** Messages that a stream holds, without reading them; 0 where there is no such stream. */
export async function countIn(nats: string, stream: string): Promise<number> {
  const nc = await connect({ servers: nats });
  try {
    const jsm = await jetstream(nc).jetstreamManager();
    return (await jsm.streams.info(stream)).state.messages;
  } catch {
    return 0;
  } finally {
    await nc.close();
  }
}

export async function alertsIn(nats: string): Promise<AlertData[]> {
  const stored = await storedIn(nats, 'ALERTS');
  return stored.map(({ bytes }) => (JSON.parse(Buffer.from(bytes).toString()) as AlertEvent).data);
}

/** Puts messages into streams, in order, each durable before the next. */
export async function send(
  nats: string,
  messages: { subject: string; body: Uint8Array | string; contentType?: string }[],
): Promise<void> {
  const nc = await connect({ servers: nats });
  try {
    const js = jetstream(nc);
    for (const { subject, body, contentType } of messages) {
      const said = headers();
      if (contentType !== undefined) said.set('Content-Type', contentType);
      await js.publish(subject, body, contentType === undefined ? {} : { headers: said });
    }
  } finally {
    await nc.close();
  }
}

// -- alerts to compare -----------------------------------------------------------------------------------------------

/** The name of a revision, as in the id of its event. */
export const revisionOf = ({ alertId, revision }: AlertData): string => `${alertId}.${revision}`;

/** Names shown of each kind of difference; all are counted. */
const DIFFERENCES_SHOWN = 5;

/**
 * Fails unless exactly these revisions are there, each once, each with the same content; the order between keys is free.
 * The message names what is lost, twice, unexpected or different.
 */
export function expectSameAlerts(found: readonly AlertData[], expected: readonly AlertData[]): void {
  const foundBy = new Map(found.map((alert) => [revisionOf(alert), JSON.stringify(alert)]));
  const expectedBy = new Map(expected.map((alert) => [revisionOf(alert), JSON.stringify(alert)]));
  const seen = new Set<string>();
  const twice = found.map(revisionOf).filter((name) => seen.size === seen.add(name).size);
  const lost = [...expectedBy.keys()].filter((name) => !foundBy.has(name));
  const unexpected = [...foundBy.keys()].filter((name) => !expectedBy.has(name));
  const different = [...expectedBy].filter(([name, text]) => foundBy.has(name) && foundBy.get(name) !== text);
  const described = (names: readonly string[], contents: Map<string, string>[]): unknown[] => [
    `${names.length}`,
    ...names.slice(0, DIFFERENCES_SHOWN).map((name) => contents.map((content) => content.get(name))),
  ];
  expect({
    alerts: expectedBy.size,
    lost: described(lost, [expectedBy]),
    twice: described(twice, [foundBy]),
    unexpected: described(unexpected, [foundBy]),
    different: described(
      different.map(([name]) => name),
      [foundBy, expectedBy],
    ),
  }).toEqual({ alerts: expected.length, lost: ['0'], twice: ['0'], unexpected: ['0'], different: ['0'] });
}

/** What `replay` makes of a file. */
export async function replayed(file: string, args: string[] = []): Promise<AlertData[]> {
  const rules = process.env['RINGFENCE_RULES'];
  const { code, stdout, stderr } = await run([
    'replay',
    file,
    ...(rules === undefined ? [] : ['--rules', rules]),
    ...args,
  ]);
  expect(code, stderr).toBe(0);
  return parseAlerts(stdout);
}

export function parseAlerts(text: string): AlertData[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as AlertEvent).data);
}

// -- input -----------------------------------------------------------------------------------------------------------

/** A folder of its own under the system's temporary one. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'ringfence-serving-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/**
 * Writes a stream of a hundred days, which is what the slowest rule needs, with cases of every rule that ships.
 * @returns the number of records
 */
export function writePopulation(
  file: string,
  options: { seed: number; subscribers: number; recordsPerSubscriberDay: number; plantedShare?: number },
): number {
  const made = population({ plantedShare: 0.2, ...options, startAt: Date.UTC(2025, 0, 1), days: 100 });
  const lines = createLineWriter(file);
  for (const record of made.records()) lines.write(JSON.stringify(record));
  return lines.end();
}

/** Calls of a subscriber as messages, numbered `from` up to `to`, one a second from `begin` on. */
export const callsFrom = (begin: number) => (servedMsisdn: string, from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({
    subject: 'usage.0.voice',
    body: JSON.stringify({
      recordId: `${servedMsisdn}-${from + index}`,
      recordType: 'voice',
      eventTime: begin + (from + index) * 1_000,
      servedMsisdn,
      direction: 'mo',
      otherNumber: '8613700000000',
      durationSec: 5,
    }),
  }));

/** A file line by line, without holding it. */
export function createLineWriter(path: string): { write(line: string): void; end(): number } {
  const file = openSync(path, 'w');
  let [text, lines] = ['', 0];
  const flush = (): void => {
    writeSync(file, text);
    text = '';
  };
  return {
    write(line) {
      text += `${line}\n`;
      lines++;
      if (text.length > WRITE_LENGTH) flush();
    },
    end() {
      flush();
      closeSync(file);
      return lines;
    },
  };
}

export function linesOf(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
}

/** `publish` in a process of its own. */
export function publishing(file: string, nats: string, args: string[] = []): Running {
  return ringfence(['publish', file, '--nats', nats, ...args]);
}

export async function publish(file: string, nats: string, args: string[] = []): Promise<void> {
  const { code, stderr } = await publishing(file, nats, args).exited;
  expect(code, stderr).toBe(0);
}

// -- a desk ----------------------------------------------------------------------------------------------------------

/** A client of the live alerts that comes back after each loss with the last sequence that it has. */
export interface Follower {
  /** Connects there, and again whenever the connection is lost; another address takes the place of the first. */
  follow(http: string): void;
  /** Every alert frame, in the order of arrival. */
  frames: { seq: number; alert: AlertData }[];
  alerts(): AlertData[];
  /** Frames that told it to start again; there should be none. */
  resyncs(): number;
  /** Connections that were made. */
  connections(): number;
  /** Whether there is one now. */
  connected(): boolean;
  close(): void;
}

export function createFollower(): Follower {
  const frames: { seq: number; alert: AlertData }[] = [];
  let address = '';
  let last = 0;
  let resyncs = 0;
  let connections = 0;
  let socket: WebSocket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const open = (): void => {
    const made = new WebSocket(`${address.replace('http', 'ws')}/v1/alerts/live?since=${last}`);
    socket = made;
    made.on('open', () => {
      connections++;
    });
    made.on('error', () => {
      // A server that is gone or not there yet: 'close' follows.
    });
    made.on('message', (data) => {
      const frame = JSON.parse(data.toString()) as Frame;
      if (frame.kind === 'resync') resyncs++;
      if (frame.kind !== 'alert') return;
      frames.push({ seq: frame.seq, alert: frame.alert });
      last = frame.seq;
    });
    made.on('close', () => {
      if (closed || socket !== made) return;
      timer = setTimeout(open, RETRY_MS);
    });
  };
  return {
    frames,
    alerts: () => frames.map(({ alert }) => alert),
    follow(http) {
      address = http;
      clearTimeout(timer);
      socket?.terminate();
      open();
    },
    resyncs: () => resyncs,
    connections: () => connections,
    connected: () => socket?.readyState === WebSocket.OPEN,
    close() {
      closed = true;
      clearTimeout(timer);
      socket?.terminate();
    },
  };
}
