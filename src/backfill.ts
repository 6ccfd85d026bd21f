/**
 * Fills the windows of rules that are not live yet from records that the stream still holds (decisions/0005).
 *
 * ```
 *  stream   ──o──────────────────────p─────────────────────────r────>
 *             │ backfillMs before p  │ announcement            │ "from here on"
 *  engine   ══╪══════════════════════╪═════ old rules ═════════╪══ new rules, windows filled ══
 *  back-fill  └──────── old records, then the new ones ────────┘
 * ```
 *
 * A second engine reads the records again, beside the pipeline and a few milliseconds at a time, and keeps only what the
 * new rules need and the old ones do not have. When it has nearly come to the end of the stream, the owner writes "from here
 * on" into the stream, and at exactly that message both are at the same record: the engine swaps the rules and takes the windows over.
 */
import type { Backfill } from './engine.ts';
import { controlKindOf, isTick } from './record/control-message.ts';
import { decodeMessage } from './record/decode.ts';
import { readPartList, readRulesMessage } from './rules/message.ts';
import { contentTypeOf } from './source/delivery.ts';
import type { Source } from './source/jetstream.ts';

/** Stretch of work between two turns of the event loop; the pipeline takes 4 ms, so that two thirds of the time are its. */
const SLICE_MS = 2;
/** So near to the end of the stream, the rest is read within milliseconds: the pipeline hardly waits. */
const CAUGHT_UP_MESSAGES = 1_000;

/** A reader of old records. `whole`: it begins with the first record that was ever stored. */
export interface BackfillSource {
  source: Source;
  whole: boolean;
}

export interface BackfillRun {
  /** Resolves when everything before the message that makes the set live has been read; rejects with what ended it. */
  ready: Promise<Backfill>;
  /** Messages of the stream that are still to be read, the one that makes the set live among them: 0 only when it has been. */
  pending(): number;
  /** Ends it; `ready` never resolves then. */
  stop(): void;
}

export function startBackfill(options: {
  backfill: Backfill;
  /** Sequence of the announcement: the message that names it is where reading ends. */
  sequence: number;
  /** The pipeline's rule for times that are too far ahead of the broker's. */
  futureMsMax: number;
  open(): Promise<BackfillSource>;
  /** Called once, when the end of the stream is near. */
  onCaughtUp(): Promise<void>;
}): BackfillRun {
  const { backfill, sequence, futureMsMax } = options;
  let reader: Source | undefined;
  let stopped = false;
  let finished = false;

  const read = async (): Promise<Backfill> => {
    const { source, whole } = await options.open();
    reader = source;
    let asked = false;
    let begun = whole;
    try {
      for (let sliceBegan = performance.now(); ; ) {
        const messages = stopped ? undefined : await source.next();
        // Nobody waits for what was stopped; it must not end the pipeline either. Not awaited: the source is closed first.
        if (messages === undefined) return new Promise<never>(() => {});
        sliceBegan = performance.now();
        for (const message of messages) {
          const { data, subject, timeMs } = message;
          const kind = controlKindOf(subject);
          if (kind === 'tick' && isTick(data)) backfill.tick(timeMs);
          else if (kind === 'rules') {
            if ((readPartList(data) ?? readRulesMessage(data))?.prepared === sequence) {
              finished = true;
              return backfill;
            }
          } else if (kind === undefined) {
            const { records } = decodeMessage(data, {
              eventTimeMax: timeMs + futureMsMax,
              contentType: contentTypeOf(message),
            });
            for (const record of records) {
              if (!begun) {
                // What came before is not known, whatever its event time was.
                backfill.span.since = record.eventTime;
                begun = true;
              }
              backfill.apply(record);
            }
          }
          if (performance.now() - sliceBegan > SLICE_MS) {
            await new Promise((resolve) => setImmediate(resolve));
            sliceBegan = performance.now();
          }
        }
        if (!asked && source.pending() <= CAUGHT_UP_MESSAGES) {
          asked = true;
          await options.onCaughtUp();
        }
      }
    } finally {
      await source.close();
    }
  };

  const ready = read();
  return {
    ready,
    pending: () => (finished ? 0 : Math.max(1, reader?.pending() ?? 0)),
    stop() {
      stopped = true;
      void reader?.close();
    },
  };
}
