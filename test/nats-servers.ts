/**
 * The nats-server binaries that the tests of sources and sinks run against: the one that is found, and a second, older
 * one where RINGFENCE_NATS_SERVER_OLD names it (2.9.10 is the oldest that is supported).
 */
import { execFileSync } from 'node:child_process';
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
