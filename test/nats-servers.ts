/**
 * The nats-server binaries that the tests of sources and sinks run against: the one that is found, and a second, older
 * one where RINGFENCE_NATS_SERVER_OLD names it (2.9.10 is the oldest that is supported).
 *
 * A test that needs empty streams starts a broker of its own (50 ms) and deletes nothing: server 2.15.2 answers a
 * deletion before the files are gone, sometimes leaves them for ever, and a stream that is then made under the same name
 * comes up with the old messages or cannot make its store (measured: 3 of 40 attempts; 2.9.10: none of 300).
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findNatsServer } from '../src/source/broker.ts';

export interface NatsServer {
  name: string;
  /** Undefined where there is none: `startBroker` then says what to do. */
  binary: string | undefined;
}

export const natsServers: NatsServer[] = [findNatsServer(), process.env.RINGFENCE_NATS_SERVER_OLD]
  .filter((binary, index) => index === 0 || binary !== undefined)
  .map((binary) => ({
    name: binary === undefined ? 'nats-server' : execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim(),
    binary,
  }));

/** A server with a configuration of its own (accounts, permissions, no JetStream), which a private broker does not have. */
export async function startConfigured(
  configuration: string,
  binary = findNatsServer() ?? 'nats-server',
): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
  const file = join(folder, 'nats.conf');
  writeFileSync(file, `host: "127.0.0.1"\nport: -1\n${configuration.replaceAll('$STORE', JSON.stringify(folder))}`);
  const server = spawn(binary, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const gone = new Promise((resolve) => server.once('exit', resolve));
  const url = await new Promise<string>((resolve) => {
    let address = '';
    createInterface({ input: server.stderr }).on('line', (line) => {
      address = /client connections on (127\.0\.0\.1:\d+)/.exec(line)?.[1] ?? address;
      if (line.endsWith('Server is ready')) resolve(address);
    });
  });
  return {
    url,
    async stop() {
      server.kill();
      await gone;
      rmSync(folder, { recursive: true });
    },
  };
}
