/**
 * A private nats-server with JetStream as a child process: the broker of the demo, the tests and the benchmarks.
 *
 * It listens on loopback only, on a port that the server itself picks (no race between finding a port and binding it),
 * and keeps its store in a temporary folder unless the caller names one. It must never outlive its parent: an `exit`
 * hook ends it, and because a parent killed with SIGKILL runs no hook, a guardian shell waits for the end of its
 * standard input, which the kernel closes with the parent, and then ends the broker and removes the temporary folder.
 * Broker and guardian have their own process groups, so that Ctrl-C reaches the parent alone and the parent can drain
 * before the broker goes.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';

export interface Broker {
  url: string;
  port: number;
  pid: number;
  /** Version of the server as it announces it, e.g. `2.9.10`. */
  version: string;
  storeDir: string;
  /** Orderly end; removes the store where startBroker made it. Safe to call twice, and after `kill`. */
  stop(): Promise<void>;
  /** SIGKILL. The store stays: `startBroker({ port, storeDir })` brings the same broker back. */
  kill(): Promise<void>;
}

/** A server that is not ready by then never will be; recovering a store of a few GB takes 2.9.10 some seconds. */
const START_LIMIT_MS = 30_000;
/** After this long without an exit, SIGTERM is followed by SIGKILL. */
const STOP_LIMIT_MS = 5_000;
/** Pause between two questions whether JetStream answers. */
const READY_POLL_MS = 20;
/** Lines of server log that are kept for the error message. */
const LOG_LINES_MAX = 40;
const TEMP_PREFIX = 'ringfence-broker-';

const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url));

/** Servers to end and temporary stores to remove when this process exits. */
const running = new Set<{ server: ChildProcess; guardian: ChildProcess }>();
const temporaryStores = new Set<string>();
let exitHookInstalled = false;

function installExitHook(): void {
  if (exitHookInstalled) return;
  exitHookInstalled = true;
  process.on('exit', () => {
    for (const { server, guardian } of running) {
      guardian.kill('SIGKILL');
      server.kill('SIGKILL');
    }
    for (const storeDir of temporaryStores) rmSync(storeDir, { recursive: true, force: true, maxRetries: 3 });
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Path of a nats-server binary: the environment variable RINGFENCE_NATS_SERVER, then PATH, then where `npm run setup`,
 * Go and the Debian package put it. Undefined where there is none.
 * @throws RingfenceError `broker.binary-wrong` where RINGFENCE_NATS_SERVER names something that cannot be run.
 */
export function findNatsServer(): string | undefined {
  const named = process.env.RINGFENCE_NATS_SERVER;
  if (named) {
    if (isExecutable(named)) return named;
    throw new RingfenceError({
      code: 'broker.binary-wrong',
      message: `RINGFENCE_NATS_SERVER is ${named}, which is not a program that can be run.`,
      hint: 'Set it to the path of a nats-server binary, or unset it.',
    });
  }
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    join(repositoryRoot, '.ringfence', 'bin'),
    ...(process.env.GOPATH ?? '').split(delimiter).map((path) => (path === '' ? '' : join(path, 'bin'))),
    join(homedir(), 'go', 'bin'),
    '/usr/local/sbin',
    '/usr/sbin',
  ];
  for (const folder of folders) {
    const path = join(folder, 'nats-server');
    if (folder !== '' && isExecutable(path)) return path;
  }
  try {
    // Last, because it starts a process: GOPATH may also be set in Go's own configuration file.
    const goPath = execFileSync('go', ['env', 'GOPATH'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const path = join(goPath.trim(), 'bin', 'nats-server');
    return isExecutable(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Starts a broker and resolves when it accepts connections and JetStream answers.
 * @throws RingfenceError `broker.not-found`, `broker.start-failed` (with the last lines of its log).
 */
export async function startBroker(
  options: { binary?: string; storeDir?: string; port?: number; maxPayloadBytes?: number } = {},
): Promise<Broker> {
  const binary = options.binary ?? findNatsServer();
  if (binary === undefined) {
    throw new RingfenceError({
      code: 'broker.not-found',
      message: 'There is no nats-server on this machine.',
      hint: 'Run `npm run setup`, or set RINGFENCE_NATS_SERVER to the path of a nats-server binary.',
    });
  }
  installExitHook();
  let storeDir = options.storeDir;
  if (storeDir === undefined) {
    storeDir = mkdtempSync(join(tmpdir(), TEMP_PREFIX));
    temporaryStores.add(storeDir);
  } else {
    await mkdir(storeDir, { recursive: true });
  }
  // A store that this process made stays temporary when a second broker is started on it after kill().
  const temporary = temporaryStores.has(storeDir);
  const configFile = join(storeDir, 'nats-server.conf');
  writeFileSync(
    configFile,
    [
      'host: "127.0.0.1"',
      `port: ${options.port || -1}`,
      `jetstream { store_dir: ${JSON.stringify(storeDir)} }`,
      ...(options.maxPayloadBytes === undefined ? [] : [`max_payload: ${options.maxPayloadBytes}`]),
      '',
    ].join('\n'),
  );

  const server = spawn(binary, ['--config', configFile], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const exited = new Promise<void>((resolve) => {
    server.once('exit', () => resolve());
    server.once('error', () => resolve());
  });
  const log: string[] = [];
  const listening = new Promise<number>((resolve) => {
    createInterface({ input: server.stderr }).on('line', (line) => {
      log.push(line);
      if (log.length > LOG_LINES_MAX) log.shift();
      const port = /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  });
  server.once('error', (error) => log.push(error.message));

  // `$2` is the store to remove, or empty; `read` is part of the shell, so the guardian is one process.
  const guardian = spawn(
    '/bin/sh',
    [
      '-c',
      'read -r _; kill -9 "$1" 2>/dev/null; if [ -n "$2" ]; then sleep 1; rm -rf "$2"; fi',
      'sh',
      String(server.pid ?? 0),
      temporary ? storeDir : '',
    ],
    { stdio: ['pipe', 'ignore', 'ignore'], detached: true },
  );
  const entry = { server, guardian };
  running.add(entry);
  // Neither child, nor the pipe to it, keeps the parent alive once its own work is done.
  server.unref();
  guardian.unref();
  for (const pipe of [server.stderr, guardian.stdin]) (pipe as unknown as { unref(): void }).unref();
  void exited.then(() => {
    running.delete(entry);
    guardian.kill('SIGKILL');
  });

  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    server.ref();
    if (running.has(entry)) server.kill(signal);
    const force = setTimeout(() => server.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(force);
  };
  const removeStore = (): void => {
    if (!temporary) return;
    rmSync(storeDir, { recursive: true, force: true, maxRetries: 3 });
    temporaryStores.delete(storeDir);
  };

  const deadline = Date.now() + START_LIMIT_MS;
  try {
    const timer = new AbortController();
    const port = await Promise.race([
      listening,
      exited.then(() => Promise.reject(new Error('it ended at once'))),
      new Promise<never>((_, reject) => {
        const timeout = setTimeout(() => reject(new Error(`no port after ${START_LIMIT_MS} ms`)), START_LIMIT_MS);
        timer.signal.addEventListener('abort', () => clearTimeout(timeout));
      }),
    ]).finally(() => timer.abort());
    const url = `nats://127.0.0.1:${port}`;
    const version = await answeringVersion(url, deadline, () => running.has(entry));
    return {
      url,
      port,
      pid: server.pid as number,
      version,
      storeDir,
      stop: async () => {
        await end('SIGTERM');
        removeStore();
      },
      kill: () => end('SIGKILL'),
    };
  } catch (error) {
    await end('SIGKILL');
    removeStore();
    throw new RingfenceError({
      code: 'broker.start-failed',
      message: `nats-server did not start (${error instanceof Error ? error.message : String(error)}): ${
        log.slice(-5).join(' | ') || 'it wrote no log'
      }`,
      hint: `Check that ${binary} runs, that its port is free and that ${storeDir} can be written and has room.`,
      cause: error,
    });
  }
}

/** Waits until JetStream answers; the client port opens before streams are recovered. */
async function answeringVersion(url: string, deadline: number, alive: () => boolean): Promise<string> {
  for (;;) {
    try {
      const nc = await connect({ servers: url, reconnect: false, timeout: 2_000 });
      try {
        const jsm = await jetstreamManager(nc, { timeout: 2_000 });
        await jsm.getAccountInfo();
        return nc.info?.version ?? '';
      } finally {
        await nc.close();
      }
    } catch (error) {
      if (!alive() || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }
}
