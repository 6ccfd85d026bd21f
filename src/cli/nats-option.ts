/** The flag `--nats` of commands that do one thing and end, and the connection behind it. */
import type { NatsConnection } from '@nats-io/transport-node';
import { Option } from 'commander';
import { DEFAULTS } from '../config.ts';
import { RingfenceError } from '../errors.ts';
import { connectNats, isNoAnswer } from '../source/connection.ts';

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

/**
 * Connects, does the work, and closes whatever happens.
 * @throws RingfenceError as connectCommand does, and `nats.unanswered` where the server is there and JetStream gives no answer
 */
export async function withNats<T>(
  nats: string,
  name: string,
  work: (nc: NatsConnection) => Promise<T>,
  log?: (sentence: string) => void,
): Promise<T> {
  const nc = await connectCommand(nats, name, log);
  try {
    return await work(nc);
  } catch (error) {
    if (!isNoAnswer(error)) throw error;
    throw new RingfenceError({
      code: 'nats.unanswered',
      message: `NATS did not answer: ${(error as Error).message || (error as Error).name}.`,
      hint: 'See that JetStream runs (nats-server -js) and do it again; what was done already is not done twice.',
      cause: error,
    });
  } finally {
    await nc.close();
  }
}
