/** `labels`: what the outcomes of cases say of subscribers, as a file for training and for `replay --labels`; read from NATS alone. */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Command } from 'commander';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { createCaseProjection } from '../cases/case-projection.ts';
import { labelFile } from '../cases/feedback.ts';
import { RingfenceError } from '../errors.ts';
import { entryOf } from '../http/alert-reader.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { ALERTS_STREAM, CASES_STREAM, requireStreams } from '../source/streams.ts';
import { natsOption, withNats } from './nats-option.ts';

export function labelsCommand(): Command {
  return new Command('labels')
    .description('Write the labels that outcomes of closed cases give, as CSV that `replay --labels` reads.')
    .requiredOption('--desk <desk>', `whose outcomes: ${DESKS.join(', ')}`)
    .addOption(natsOption())
    .action(async (flags: { desk: string; nats: string }) => {
      const desk = DESKS.find((name) => name === flags.desk);
      if (desk === undefined) {
        throw new RingfenceError({
          code: 'labels.desk',
          message: `--desk: '${flags.desk}' is no desk.`,
          hint: `Write one of ${DESKS.join(', ')}.`,
        });
      }
      process.stdout.write(await readLabels(desk, flags.nats));
    });
}

const readLabels = (desk: Desk, nats: string): Promise<string> =>
  withNats(nats, 'ringfence labels', async (nc) => {
    const jsm = await jetstreamManager(nc);
    // The projection waits for streams that are not there yet; a command has nothing to wait for.
    await requireStreams(jsm, [ALERTS_STREAM, CASES_STREAM]);
    const cases = createCaseProjection({
      nc,
      js: jetstream(nc),
      jsm,
      metrics: createMetrics(),
      log: createLog({ level: 'warn' }),
      path: ':memory:',
      alertOf: entryOf,
    });
    try {
      await Promise.race([cases.reader.caughtUp(), cases.reader.ended]);
      return labelFile(cases.tables, desk);
    } finally {
      await cases.close();
    }
  });
