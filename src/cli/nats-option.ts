/** The flag `--nats` of commands that do one thing and end, and the connection behind it. */
import type { NatsConnection } from '@nats-io/transport-node';
import { Option } from 'commander';
import { DEFAULTS } from '../config.ts';
import { connectNats } from '../source/connection.ts';

/** Long enough for a broker that restarts. `serve` waits for ever: nobody sits in front of it. */
const CONNECT_LIMIT_MS = 10_000;

export const natsOption = (): Option =>
  new Option('--nats <url>', 'NATS server, or several with commas').env('RINGFENCE_NATS').default(DEFAULTS.nats);

/**
 * @param name shown by the server beside the connection
 * @throws RingfenceError `nats.unreachable` where no server answers in ten seconds, `nats.refused` as connectNats has it
 */
export function connectCommand(
  nats: string,
  name: string,
  log = (sentence: string): void => void process.stderr.write(`${sentence}\n`),
): Promise<NatsConnection> {
  return connectNats(nats.split(','), { name, log, limitMs: CONNECT_LIMIT_MS });
}
