import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BLANK_RECORD } from '../src/record/usage-record.ts';
import { parseList } from '../src/reference/lists.ts';
import { createMoves, distanceKm, PLACES_MAX } from '../src/state/moves.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

const PLACES: Record<string, [latitude: number, longitude: number]> = {
  a: [0, 0],
  b: [0, 1],
  c: [0.5, -0.25],
  d: [45, 179.9],
  e: [-45, -179.9],
  f: [0, 0],
};
const parsed = parseList(
  'lists/cells.csv',
  [
    'kind,value,latitude,longitude',
    ...Object.entries(PLACES).map(([cell, [latitude, longitude]]) => `cell,${cell},${latitude},${longitude}`),
    'cell,lost,,',
  ].join('\n'),
);
const cells = 'list' in parsed ? parsed.list : expect.fail('the cells are right');

describe('the distance of two places', () => {
  test.each([
    [0, 0, 0, 1, 111.195],
    [39.9042, 116.4074, 31.2304, 121.4737, 1067.31],
    [45, 179.9, 45, -179.9, 15.725],
    [90, 0, -90, 0, 20015.115],
    [12.5, 7.25, 12.5, 7.25, 0],
  ])('%d %d to %d %d: %d km', (latitude, longitude, toLatitude, toLongitude, km) => {
    expect(distanceKm(latitude, longitude, toLatitude, toLongitude)).toBeCloseTo(km, 1);
    expect(distanceKm(toLatitude, toLongitude, latitude, longitude)).toBeCloseTo(km, 1);
  });
});

describe('speed', () => {
  const record = fc.record({
    key: fc.integer({ min: 1, max: 2 }),
    minute: fc.integer({ min: 0, max: 90 }),
    cell: fc.constantFrom('', 'lost', 'nowhere', ...Object.keys(PLACES)),
  });

  test('is that to the neighbour in time, before or after, whichever record came first', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 30 }), fc.constantFrom(0, 50, 200), (records, leastKm) => {
        const state = createKeyState();
        const moves = createMoves({ id: 1, signature: '', keepMs: DAY_MS, cells });
        const speed = moves.speedKmh(() => leastKm);
        const distance = moves.distanceKm(() => leastKm);
        let seen: { key: number; minute: number; cell: string; order: number }[] = [];
        for (const [order, { key, minute, cell }] of records.entries()) {
          state.apply(key, { eventTime: BEGIN + minute * MINUTE_MS, cellId: cell }, moves);
          const place = PLACES[cell];
          let fastest = Number.NaN;
          let length = Number.NaN;
          const own = seen.filter((one) => one.key === key);
          if (place !== undefined) {
            const before = own.filter((one) => one.minute <= minute).at(-1);
            const after = own.find((one) => one.minute > minute);
            for (const one of [before, after]) {
              if (one === undefined) continue;
              const km = distanceKm(...place, ...PLACES[one.cell]!);
              const kmh = km / Math.max(Math.abs(one.minute - minute) / 60, 1 / 3600);
              if (km > leastKm && !(fastest >= kmh)) [fastest, length] = [kmh, km];
            }
            own.push({ key, minute, cell, order });
            own.sort((x, y) => x.minute - y.minute || x.order - y.order);
            seen = [...seen.filter((one) => one.key !== key), ...own.slice(-PLACES_MAX)];
          }
          if (Number.isNaN(fastest)) expect(speed(state.scope)).toBeNaN();
          else expect(speed(state.scope) / fastest).toBeCloseTo(1, 6);
          if (Number.isNaN(length)) expect(distance(state.scope)).toBeNaN();
          else expect(distance(state.scope)).toBeCloseTo(length, 3);
        }
      }),
      { numRuns: 500 },
    );
  });

  const speedOf = (...records: [minute: number, cell: string][]): number => {
    const state = createKeyState();
    const moves = createMoves({ id: 1, signature: '', keepMs: DAY_MS, cells });
    for (const [minute, cell] of records)
      state.apply(1, { eventTime: BEGIN + minute * MINUTE_MS, cellId: cell }, moves);
    return Math.round(moves.speedKmh(undefined)(state.scope));
  };
  test.each<[[minute: number, cell: string][], number]>([
    // 111.195 km
    [
      [
        [0, 'a'],
        [60, 'b'],
      ],
      111,
    ],
    [
      [
        [0, 'a'],
        [6, 'b'],
      ],
      1112,
    ],
    [
      [
        [6, 'b'],
        [0, 'a'],
      ],
      1112,
    ],
    [
      [
        [0, 'a'],
        [0, 'b'],
      ],
      400_302,
    ],
    [
      [
        [0, 'a'],
        [30, 'lost'],
        [60, 'b'],
      ],
      111,
    ],
    [
      [
        [0, 'a'],
        [10, 'f'],
      ],
      Number.NaN,
    ],
    [[[0, 'a']], Number.NaN],
    [
      [
        [0, 'a'],
        [60, ''],
      ],
      Number.NaN,
    ],
    // What is older than a day says nothing.
    [
      [
        [0, 'a'],
        [1441, 'b'],
      ],
      Number.NaN,
    ],
    [
      [
        [0, 'a'],
        [1440, 'b'],
      ],
      5,
    ],
    // Older than all that is kept: the first of them is the neighbour.
    [
      [
        [10, 'a'],
        [11, 'a'],
        [12, 'a'],
        [13, 'a'],
        [0, 'b'],
      ],
      667,
    ],
  ])('%j: %d km/h', (records, kmh) => {
    expect(speedOf(...records)).toBe(kmh);
  });

  test('is not known while no record is at hand, and takes four places at most', () => {
    const state = createKeyState();
    const moves = createMoves({ id: 1, signature: '', keepMs: DAY_MS, cells });
    for (let minute = 0; minute < 100; minute++)
      state.apply(1, { eventTime: BEGIN + minute * MINUTE_MS, cellId: minute % 2 === 0 ? 'a' : 'b' }, moves);
    expect(state.scope.cursor.segmentUnits[1]).toBe(moves.unitsMax);
    state.look(1);
    expect(moves.speedKmh(undefined)({ ...state.scope, record: BLANK_RECORD })).toBeNaN();
  });
});
