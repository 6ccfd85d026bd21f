/** Windows as charts show them: every pane once, in order, the quiet ones too. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { wholeWindow, windowSec } from '../src/console/usage-window.ts';

const starts = (window: string, paneSec: number, clockAt: number, listed: number[]): number[] =>
  wholeWindow(
    listed.map((startAt) => ({ startAt: startAt * 1_000, value: 1 })),
    window,
    paneSec,
    clockAt * 1_000,
  ).map((pane) => pane.startAt / 1_000);

describe('a window', () => {
  test.each([
    // window, pane, clock, listed -> all panes
    ['ends with the pane of the clock', '60s', 20, 65, [20], [20, 40, 60]],
    ['ends where a listed pane would fall out otherwise', '60s', 20, 125, [20, 40], [20, 40, 60]],
    ['ends with the last listed pane when the clock is behind', '60s', 20, 10, [40], [0, 20, 40]],
  ])('%s', (_name, window, paneSec, clockAt, listed, expected) => {
    expect(starts(window, paneSec, clockAt, listed)).toEqual(expected);
  });

  test('of unknown length, without panes, or with panes that do not fit stays as it is', () => {
    expect(starts('month', 20, 60, [40, 0])).toEqual([0, 40]);
    expect(starts('1h', 60, 60, [])).toEqual([]);
    expect(starts('60s', 20, 200, [0, 100])).toEqual([0, 100]);
    expect(wholeWindow([{ startAt: 0, value: 1 }], '1h', undefined, 0)).toEqual([{ startAt: 0, value: 1 }]);
  });

  test.each([
    ['90s', 90],
    ['5m', 300],
    ['1h', 3_600],
    ['14d', 1_209_600],
    ['1w', 604_800],
    ['', undefined],
    ['1.5h', undefined],
  ])('%s is %s seconds', (window, expected) => expect(windowSec(window)).toBe(expected));

  test('keeps every listed value, and adds only zeros', () => {
    const listed = fc.uniqueArray(fc.record({ pane: fc.integer({ min: 0, max: 23 }), value: fc.integer({ min: 1 }) }), {
      selector: ({ pane }) => pane,
      maxLength: 24,
    });
    fc.assert(
      fc.property(listed, fc.integer({ min: 0, max: 60 }), (panes, clock) => {
        const given = panes.map(({ pane, value }) => ({ startAt: pane * 3_600_000, value }));
        const whole = wholeWindow(given, '1d', 3_600, clock * 3_600_000);
        expect(whole).toHaveLength(given.length === 0 ? 0 : 24);
        for (const pane of given) expect(whole).toContainEqual(pane);
        expect(whole.filter((pane) => pane.value !== 0)).toHaveLength(given.length);
        for (const [at, pane] of whole.entries()) expect(pane.startAt - whole[0]!.startAt).toBe(at * 3_600_000);
      }),
    );
  });
});
