/** Rule sets in the stream: whole, and in parts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { publishRulesMessage, wholeRulesMessage } from '../src/cli/rules-in-stream.ts';
import { type RulesMessage, readPartList, readRulesMessage, rulesMessage } from '../src/rules/message.ts';

/** Text that does not become shorter. */
const noise = (bytes: number): string => {
  let state = 1;
  return Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return String.fromCharCode(32 + ((state >>> 16) % 90));
  }).join('');
};
const setOf = (bytes: number, more: Partial<RulesMessage> = {}): RulesMessage => ({
  version: '0123456789abcdef',
  files: [{ file: 'lists/hot.csv', text: noise(bytes) }],
  ...more,
});
/** A stream of which `kind` and body are remembered. */
const streamOf = async (message: RulesMessage, payloadBytesMax: number) => {
  const stored: { kind: string; body: Uint8Array }[] = [];
  const last = await publishRulesMessage(message, payloadBytesMax, async (kind, body) => {
    expect(body.length + 1_024).toBeLessThanOrEqual(payloadBytesMax);
    return stored.push({ kind, body: Uint8Array.from(body) });
  });
  return { stored, last };
};

test('comes back whole, in one message or in parts of any size', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 20_000 }),
      fc.integer({ min: 1_324, max: 20_000 }),
      fc.constantFrom<Partial<RulesMessage>>({}, { backfillMs: 5 }, { prepared: 7 }),
      async (bytes, payloadBytesMax, more) => {
        const message = setOf(bytes, more);
        const { stored, last } = await streamOf(message, payloadBytesMax);
        expect(last).toBe(stored.length);
        const { kind, body } = stored.at(-1)!;
        expect(kind).toBe(more.backfillMs === undefined ? 'rules' : 'prepare');
        expect(stored.slice(0, -1).every((part) => part.kind === 'part')).toBe(true);
        const whole = await wholeRulesMessage(body, async (sequence) => stored[sequence - 1]!.body);
        expect(readRulesMessage(whole!)).toEqual(message);
        // Who waits for the end of a back-fill need not put it together.
        expect((readPartList(body) ?? readRulesMessage(body))?.prepared).toBe(more.prepared);
      },
    ),
  );
});

test('is not sent where it would take too many messages', async () => {
  expect(await streamOf(setOf(20_000), 1_084)).toEqual({ stored: [], last: undefined });
  expect(await streamOf(setOf(20_000), 1_000)).toEqual({ stored: [], last: undefined });
});

test('of which a part is gone is none', async () => {
  const { stored } = await streamOf(setOf(2_000), 1_924);
  expect(stored.length).toBeGreaterThan(2);
  const whole = await wholeRulesMessage(stored.at(-1)!.body, async (sequence) =>
    sequence === 2 ? undefined : stored[sequence - 1]!.body,
  );
  expect(whole).toBeUndefined();
});

describe('a list of parts', () => {
  test.each([
    '',
    '{',
    '{}',
    '{"parts":[]}',
    '{"parts":[0]}',
    '{"parts":[1.5]}',
    '{"parts":["1"]}',
    '{"parts":[1],"prepared":-1}',
    `{"parts":[${Array.from({ length: 300 }, () => 1).join()}]}`,
    '[1]',
  ])('%j is none', (text) => {
    expect(readPartList(Buffer.from(text))).toBeUndefined();
  });

  test('is not what a whole set looks like', () => {
    expect(readPartList(rulesMessage(setOf(10)))).toBeUndefined();
  });
});
