/**
 * What the catalogue of rules promises, told in records: for each id a case just above its thresholds and one just below, written
 * from the catalogue and the record contract and not from the rule files. Records hold only what the contract asks for and what
 * the detection needs.
 */

type R = Record<string, unknown>;
const inTime = (a: R, b: R): number => (a['eventTime'] as number) - (b['eventTime'] as number);
const S = '861390000001';
const SEC = 1000,
  MIN = 60_000,
  HOUR = 3_600_000,
  DAY = 86_400_000;
const MON10 = Date.parse('2026-03-02T10:00:00Z');
const MID = Date.parse('2026-03-02T00:00:00Z');
let n = 0;
const rec = (at: number, type: string, f: R = {}): R => ({
  recordId: `c-${++n}`,
  recordType: type,
  eventTime: at,
  servedMsisdn: S,
  ...f,
});
const voice = (at: number, f: R = {}): R =>
  rec(at, 'voice', { direction: 'mo', otherNumber: '8613700000000', durationSec: 60, ...f });
const sms = (at: number, f: R = {}): R => rec(at, 'sms', { direction: 'mo', otherNumber: '8613700000000', ...f });
const data = (at: number, f: R = {}): R => rec(at, 'data', { durationSec: 60, bytesUp: 0, bytesDown: 1_000_000, ...f });
const topup = (at: number, f: R = {}): R => rec(at, 'topup', { amount: 10, ...f });
const payment = (at: number, f: R = {}): R => rec(at, 'payment', { amount: 50, ...f });
const invoice = (at: number, f: R = {}): R =>
  rec(at, 'invoice', { amount: 50, invoiceId: `i-${at}`, dueTime: at + 14 * DAY, ...f });
const account = (at: number, event: string, attributes: R = {}, f: R = {}): R =>
  rec(at, 'account', { event, attributes, ...f });
const care = (at: number, f: R = {}): R => rec(at, 'care', { reason: 'complaint', ticketId: `t-${at}`, ...f });
const file = (at: number, f: R = {}): R => {
  const { servedMsisdn: _none, ...rest } = rec(at, 'roamingFile', { servingPlmn: '23415', ...f });
  return rest;
};
const clock = (at: number): R =>
  rec(at, 'sms', { servedMsisdn: '861399999999', direction: 'mt', otherNumber: '8613700000009' });
const times = (count: number, make: (i: number) => R | R[]): R[] =>
  Array.from({ length: count }, (_, i) => make(i)).flat();
const LV = '37120000000';
const EE = '37250000000';
const PRS = '19005551234';
const lv = (i: number) => `371200000${String(i).padStart(2, '0')}`;
const home = (i: number) => `8613700${String(i).padStart(6, '0')}`;
const IMSI = '460001234567890';
const roam = { servedImsi: IMSI, servingPlmn: '23415' };
export interface CatalogueCase {
  id: string;
  name: string;
  records: R[];
  /** The highest severity that the rules of this id reach. */
  expect: 'none' | 'info' | 'warning' | 'critical';
}
export const CATALOGUE_CASES: CatalogueCase[] = [];
const byTime = (r: R[]) => r.sort(inTime);
const c = (id: string, name: string, expect: CatalogueCase['expect'], records: R[]): void => {
  CATALOGUE_CASES.push({ id, name, expect, records });
};
const T = MON10;

// F01
c('F01', 'one hit', 'warning', [voice(T, { otherNumber: '449098790950' })]);
c('F01', 'beside the range', 'none', [voice(T, { otherNumber: '449098790250' })]);
c('F01', '3 hits, one listed number', 'critical', [
  voice(T, { otherNumber: '449098790950' }),
  voice(T + 10 * MIN, { otherNumber: '449098790950' }),
  voice(T + 20 * MIN, { otherNumber: '449098790001' }),
]);
c(
  'F01',
  '3 prefix hits',
  'warning',
  times(3, (i) => voice(T + i * 10 * MIN, { otherNumber: '449098790950' })),
);
c(
  'F01',
  '900 s prefix',
  'critical',
  times(2, (i) => voice(T + i * 10 * MIN, { otherNumber: '449098790950', durationSec: 450 })),
);
c('F01', '899 s prefix', 'warning', [voice(T, { otherNumber: '449098790950', durationSec: 899 })]);
// F02
c(
  'F02',
  '3 calls',
  'critical',
  times(3, (i) => voice(T + i * 15 * MIN, { otherNumber: LV, durationSec: 360, charge: 1.2 })),
);
c(
  'F02',
  '2 calls',
  'none',
  times(2, (i) => voice(T + i * 15 * MIN, { otherNumber: LV, durationSec: 360, charge: 1.2 })),
);
c(
  'F02',
  '359 s',
  'none',
  times(3, (i) => voice(T + i * 15 * MIN, { otherNumber: LV, durationSec: 359, charge: 1.2 })),
);
c(
  'F02',
  '0.199/min',
  'none',
  times(3, (i) => voice(T + i * 15 * MIN, { otherNumber: LV, durationSec: 360, charge: 1.19 })),
);
c(
  'F02',
  '3 home calls at that rate',
  'critical',
  times(3, (i) => voice(T + i * 15 * MIN, { durationSec: 360, charge: 1.2 })),
);
// F03
c(
  'F03',
  '1200 s',
  'warning',
  times(2, (i) => voice(T + i * 20 * MIN, { otherNumber: lv(i), durationSec: 600 })),
);
c(
  'F03',
  '1199 s',
  'none',
  times(2, (i) => voice(T + i * 20 * MIN, { otherNumber: lv(i), durationSec: 600 - i })),
);
c(
  'F03',
  '3000 s',
  'critical',
  times(5, (i) => voice(T + i * 11 * MIN, { otherNumber: lv(i), durationSec: 600 })),
);
c(
  'F03',
  '2999 s',
  'warning',
  times(5, (i) => voice(T + i * 11 * MIN, { otherNumber: lv(i), durationSec: i === 4 ? 599 : 600 })),
);
c('F03', 'numbers of fiction of one country', 'none', [
  voice(T, { servedMsisdn: '447700900123', otherNumber: '442079460000', durationSec: 1200 }),
]);
c('F03', 'to the area of fiction', 'warning', [voice(T, { otherNumber: '15551234567', durationSec: 1200 })]);
// F04
c(
  'F04',
  '300 min',
  'warning',
  times(20, (i) => voice(T + i * DAY, { otherNumber: lv(i), durationSec: 900 })),
);
c(
  'F04',
  '299 min',
  'none',
  times(20, (i) => voice(T + i * DAY, { otherNumber: lv(i), durationSec: i === 19 ? 840 : 900 })),
);
c(
  'F04',
  '500 min',
  'critical',
  times(25, (i) => voice(T + i * DAY, { otherNumber: lv(i), durationSec: 1200 })),
);
c(
  'F04',
  '499 min',
  'warning',
  times(25, (i) => voice(T + i * DAY, { otherNumber: lv(i), durationSec: i === 24 ? 1139 : 1199 })),
);
// F05
c(
  'F05',
  '3 in 60 s',
  'warning',
  times(3, (i) => voice(T + i * 15 * SEC, { otherNumber: lv(i), durationSec: 5 })),
);
c(
  'F05',
  '2 in 60 s',
  'none',
  times(2, (i) => voice(T + i * 15 * SEC, { otherNumber: lv(i), durationSec: 5 })),
);
c(
  'F05',
  '5 in 60 s',
  'critical',
  times(5, (i) => voice(T + i * 10 * SEC, { otherNumber: lv(i), durationSec: 5 })),
);
c(
  'F05',
  '4 by day',
  'warning',
  times(4, (i) => voice(T + i * 10 * SEC, { otherNumber: lv(i), durationSec: 5 })),
);
c(
  'F05',
  '4 at night',
  'critical',
  times(4, (i) => voice(T + 13 * HOUR + i * 10 * SEC, { otherNumber: lv(i), durationSec: 5 })),
);
c(
  'F05',
  '3 unanswered',
  'warning',
  times(3, (i) => voice(T + i * 15 * SEC, { otherNumber: lv(i), durationSec: 0 })),
);
// F06
for (const [name, begin, w, k] of [
  ['day', MID + 9.1 * HOUR, 16, 35],
  ['evening', MID + 17.1 * HOUR, 21, 35],
  ['night', MID + 22.1 * HOUR, 10, 20],
  ['weekend', MID + 5.1 * DAY, 24, 40],
] as const) {
  const calls = (count: number) =>
    times(count, (i) =>
      voice(begin + i * 8 * MIN, { otherNumber: i % 2 ? lv(i % 90) : lv((i * 7) % 90), durationSec: 5 }),
    );
  c('F06', `${name} ${w}`, 'warning', calls(w));
  c('F06', `${name} ${w - 1}`, 'none', calls(w - 1));
  c('F06', `${name} ${k}`, 'critical', calls(k));
  c('F06', `${name} ${k - 1}`, 'warning', calls(k - 1));
}
// F07
const conc = (k: number, gap = 30) =>
  times(k, (i) => voice(T + i * gap * SEC, { otherNumber: home(i), durationSec: 600 }));
c('F07', '3 at once', 'warning', conc(3));
c('F07', '2 at once', 'none', conc(2));
c('F07', '5 at once', 'critical', conc(5));
c('F07', '4 at once', 'warning', conc(4));
c(
  'F07',
  '3 one after another',
  'none',
  times(3, (i) => voice(T + i * 600 * SEC, { otherNumber: home(i), durationSec: 600 })),
);
c('F07', '3 at once, out of order', 'warning', [...conc(3)].reverse());
// F08
const run = (k: number, begin = T) =>
  times(k, (i) => voice(begin + i * 3 * MIN, { otherNumber: lv(i), durationSec: 5 }));
c('F08', '6', 'warning', run(6));
c('F08', '5', 'none', run(5));
c('F08', '20', 'critical', run(20));
c('F08', '19', 'warning', run(19));
c('F08', '5 + other + 5', 'none', [...run(5), voice(T + HOUR, { otherNumber: EE }), ...run(5, T + 2 * HOUR)]);
c('F08', 'night 5', 'warning', run(5, MID + 22.1 * HOUR));
c('F08', 'night 4', 'none', run(4, MID + 22.1 * HOUR));
c('F08', 'night 15', 'critical', run(15, MID + 22.1 * HOUR));
c('F08', 'weekend 12', 'warning', run(12, MID + 5.5 * DAY));
c('F08', 'weekend 11', 'none', run(11, MID + 5.5 * DAY));
c('F08', 'weekend 30', 'critical', run(30, MID + 5.5 * DAY));
c('F08', 'weekend 29', 'warning', run(29, MID + 5.5 * DAY));
// F09
c('F09', '7200', 'warning', [voice(T, { durationSec: 7200 })]);
c('F09', '7199', 'none', [voice(T, { durationSec: 7199 })]);
c('F09', '13200', 'critical', [voice(T, { durationSec: 13200 })]);
c('F09', '13199', 'warning', [voice(T, { durationSec: 13199 })]);
c('F09', 'night 4800', 'warning', [voice(MID + 23 * HOUR, { durationSec: 4800 })]);
c('F09', 'night 4799', 'none', [voice(MID + 23 * HOUR, { durationSec: 4799 })]);
c('F09', 'night 9600', 'critical', [voice(MID + 23 * HOUR, { durationSec: 9600 })]);
c(
  'F09',
  'partials 3x2400',
  'warning',
  times(3, (i) => voice(T + i * 2400 * SEC, { durationSec: 2400, callId: 'k', partial: i + 1 })),
);
c(
  'F09',
  'partials to 7199',
  'none',
  times(3, (i) => voice(T + i * 2400 * SEC, { durationSec: i === 2 ? 2399 : 2400, callId: 'k', partial: i + 1 })),
);
c('F09', 'mt 7200', 'none', [voice(T, { durationSec: 7200, direction: 'mt' })]);
c('F09', 'arrives late', 'warning', [clock(T), voice(T + 2 * HOUR), voice(T, { durationSec: 7200 })]);
c(
  'F09',
  'partials at night 2x2400, begun at night',
  'warning',
  times(2, (i) => voice(MID + 5.9 * HOUR + DAY + i * 2400 * SEC, { durationSec: 2400, callId: 'k', partial: i + 1 })),
);
// F10
const biz = account(T - 60 * DAY, 'profile', { customerType: 'business' }, { accountId: 'B1' });
const N = MID + 28 * DAY + 23 * HOUR; // a Monday 23:00
const pbxBase = (per: number) =>
  times(4, (w) =>
    times(per, (i) =>
      voice(N - (4 - w) * 7 * DAY + i * 4 * MIN, { otherNumber: lv(i), durationSec: 30, accountId: 'B1' }),
    ),
  );
const pbx = (k: number, d: number, at = N) =>
  times(k, (i) => voice(at + i * 2 * MIN, { otherNumber: lv(i % d), durationSec: 30, accountId: 'B1' }));
c('F10', '10, 5 dst, base 3', 'warning', [biz, ...pbxBase(3), ...pbx(10, 5)]);
c('F10', '9', 'none', [biz, ...pbxBase(3), ...pbx(9, 5)]);
c('F10', '4 dst', 'none', [biz, ...pbxBase(3), ...pbx(10, 4)]);
c('F10', '20', 'critical', [biz, ...pbxBase(3), ...pbx(20, 5)]);
c('F10', '19', 'warning', [biz, ...pbxBase(3), ...pbx(19, 5)]);
c('F10', '11 of base 4', 'none', [biz, ...pbxBase(4), ...pbx(11, 5)]);
c('F10', '12 of base 4', 'warning', [biz, ...pbxBase(4), ...pbx(12, 5)]);
c('F10', 'no base', 'none', [biz, ...pbx(12, 5)]);
// F11
const act = (at: number, attrs: R = {}, f: R = {}) => account(at, 'activated', attrs, f);
const NIGHT = MID + 7 * DAY + 1 * HOUR;
const f11 = (o: { age?: number; dur?: number; at?: number; ch?: string; to?: string } = {}) => [
  act((o.at ?? NIGHT) - (o.age ?? 30) * DAY),
  topup((o.at ?? NIGHT) - 10 * HOUR, { channel: o.ch ?? 'cash' }),
  voice(o.at ?? NIGHT, { otherNumber: o.to ?? LV, durationSec: o.dur ?? 3601 }),
];
c('F11', 'base', 'warning', f11());
c('F11', '3600 s', 'none', f11({ dur: 3600 }));
c('F11', '00:29', 'none', f11({ at: NIGHT - 31 * MIN }));
c('F11', '00:30', 'warning', f11({ at: NIGHT - 30 * MIN }));
c('F11', '05:30', 'warning', f11({ at: NIGHT + 4.5 * HOUR - 1 }));
c('F11', '05:31', 'none', f11({ at: NIGHT + 4.5 * HOUR + MIN }));
c('F11', 'age 119', 'warning', f11({ age: 119 }));
c('F11', 'age 120', 'none', f11({ age: 120 }));
c('F11', 'card', 'none', f11({ ch: 'card' }));
c('F11', 'home', 'none', f11({ to: home(1) }));
c('F11', 'premium', 'warning', f11({ to: PRS }));
c('F11', 'activatedAt attr', 'warning', [
  account(NIGHT - DAY, 'profile', { activatedAt: NIGHT - 100 * DAY }),
  payment(NIGHT - 20 * HOUR, { channel: 'cash' }),
  voice(NIGHT, { otherNumber: LV, durationSec: 3601 }),
]);
// F12
const f12 = (age: number, dur: number, k = 3, gap = 65 * MIN) => [
  act(T - age * DAY),
  ...times(k, (i) => voice(T + i * gap, { durationSec: dur, otherNumber: home(i) })),
];
c('F12', '3x3601', 'warning', f12(10, 3601));
c('F12', '3x3600', 'none', f12(10, 3600));
c('F12', '2', 'none', f12(10, 3601, 2));
c('F12', 'age 30', 'none', f12(30, 3601));
c('F12', 'age 29', 'warning', f12(29, 3601));
c('F12', 'over 6h', 'none', f12(10, 3601, 3, 3.3 * HOUR));
// F13
const f13 = (sum: number, age = 5) => [
  act(T - age * DAY, { creditLimit: 100 }),
  ...times(2, (i) => data(T + i * 5 * HOUR, { charge: sum / 2 })),
];
c('F13', '50 of 100', 'warning', f13(50));
c('F13', '49.98', 'none', f13(49.98));
c('F13', '80', 'critical', f13(80));
c('F13', '79.98', 'warning', f13(79.98));
c('F13', 'age 30', 'none', f13(80, 30.1));
// F14
const f14 = (k: number, attr: string) =>
  times(k, (i) => act(T + i * DAY, { [attr]: 'h1' }, { servedMsisdn: `86139000010${i}` }));
for (const attr of ['idDocHash', 'paymentTokenHash', 'addressHash']) {
  c('F14', `3 ${attr}`, 'warning', f14(3, attr));
  c('F14', `2 ${attr}`, 'none', f14(2, attr));
  c('F14', `5 ${attr}`, 'critical', f14(5, attr));
  c('F14', `4 ${attr}`, 'warning', f14(4, attr));
}
c(
  'F14',
  '3 over 31 d',
  'none',
  times(3, (i) => act(T + i * 16 * DAY, { idDocHash: 'h1' }, { servedMsisdn: `86139000010${i}` })),
);
// F15
const f15 = (h: number, f: R) => [
  act(T, {}, { servedImsi: IMSI }),
  (f['bytesDown'] ? data : voice)(T + h * HOUR, { ...roam, ...f }),
];
c('F15', 'call to third country', 'warning', f15(10, { otherNumber: LV }));
c('F15', 'call home', 'none', f15(10, { otherNumber: home(1) }));
c('F15', '72 h', 'warning', f15(72, { otherNumber: LV }));
c('F15', '73 h', 'none', f15(73, { otherNumber: LV }));
c('F15', 'charge 50', 'warning', f15(10, { bytesDown: 1e6, charge: 50 }));
c('F15', 'charge 49.99', 'none', f15(10, { bytesDown: 1e6, charge: 49.99 }));
c('F15', 'call in visited country', 'warning', f15(10, { otherNumber: '447700900123' }));
c('F15', 'no IMSI, a network abroad', 'warning', [act(T), voice(T + HOUR, { servingPlmn: '23415', otherNumber: LV })]);
c('F15', 'no IMSI, a network at home', 'none', [act(T), voice(T + HOUR, { servingPlmn: '46001', otherNumber: LV })]);
// F16-F19
const imsiOnly = account(T - 400 * DAY, 'profile', {}, { servedImsi: IMSI });
c('F16', '600 s', 'warning', [
  imsiOnly,
  ...times(2, (i) => voice(T + i * 5 * HOUR, { ...roam, otherNumber: lv(i), durationSec: 300 })),
]);
c('F16', '599 s', 'none', [
  imsiOnly,
  ...times(2, (i) => voice(T + i * 5 * HOUR, { ...roam, otherNumber: lv(i), durationSec: 300 - i })),
]);
c('F16', '3000 s/1h', 'critical', [
  imsiOnly,
  ...times(3, (i) => voice(T + i * 20 * MIN, { ...roam, otherNumber: lv(i), durationSec: 1000 })),
]);
c('F16', '2999 s/1h', 'warning', [
  imsiOnly,
  ...times(3, (i) => voice(T + i * 20 * MIN, { ...roam, otherNumber: lv(i), durationSec: i === 2 ? 999 : 1000 })),
]);
c('F16', 'visited country local', 'warning', [
  imsiOnly,
  voice(T, { ...roam, otherNumber: '447700900123', durationSec: 600 }),
]);
c('F16', 'to home', 'none', [imsiOnly, voice(T, { ...roam, durationSec: 1000 })]);
c('F17', '1800', 'warning', [imsiOnly, ...times(2, (i) => voice(T + i * 5 * HOUR, { ...roam, durationSec: 900 }))]);
c('F17', '1799', 'none', [imsiOnly, ...times(2, (i) => voice(T + i * 5 * HOUR, { ...roam, durationSec: 900 - i }))]);
c('F18', '7200', 'warning', [
  imsiOnly,
  ...times(4, (i) => voice(T + i * 3 * HOUR, { ...roam, direction: 'mt', durationSec: 1800 })),
]);
c('F18', '7199', 'none', [
  imsiOnly,
  ...times(4, (i) => voice(T + i * 3 * HOUR, { ...roam, direction: 'mt', durationSec: i === 3 ? 1799 : 1800 })),
]);
c('F19', '50/1h', 'warning', [imsiOnly, ...times(50, (i) => sms(T + i * MIN, { ...roam }))]);
c('F19', '49/1h', 'none', [imsiOnly, ...times(49, (i) => sms(T + i * MIN, { ...roam }))]);
c('F19', '70/24h', 'warning', [imsiOnly, ...times(70, (i) => sms(T + i * 18 * MIN, { ...roam }))]);
c('F19', '69/24h', 'none', [imsiOnly, ...times(69, (i) => sms(T + i * 18 * MIN, { ...roam }))]);
// F20
const f20 = (b: number) => [
  imsiOnly,
  ...times(2, (i) => data(T + i * 20 * MIN, { ...roam, bytesUp: 0, bytesDown: b / 2 })),
];
c('F20', '500 MB', 'warning', f20(500e6));
c('F20', '499', 'none', f20(499e6));
c('F20', '2000', 'critical', f20(2000e6));
c('F20', '1999', 'warning', f20(1998e6));
c('F20', 'up', 'warning', [imsiOnly, data(T, { ...roam, bytesUp: 300e6, bytesDown: 200e6 })]);
// F21
const f21 = (s: number) => [imsiOnly, ...times(2, (i) => voice(T + i * 5 * HOUR, { ...roam, charge: s / 2 }))];
c('F21', '50', 'warning', f21(50));
c('F21', '49.98', 'none', f21(49.98));
c('F21', '100', 'critical', f21(100));
c('F21', '99.98', 'warning', f21(99.98));
c('F21', 'two networks', 'none', [
  imsiOnly,
  voice(T, { ...roam, charge: 30 }),
  voice(T + HOUR, { ...roam, servingPlmn: '20801', charge: 30 }),
]);
// F22
c('F22', '4h+1s', 'warning', [file(T, { availableTime: T + 4 * HOUR + 1000 })]);
c('F22', '4h', 'none', [file(T, { availableTime: T + 4 * HOUR })]);
// F23
const f23 = (b: number, f: R = {}) => [
  voice(T, { servedImsi: IMSI, cellId: 'A', durationSec: 100 }),
  voice(T + b * SEC, { servedImsi: IMSI, cellId: 'B', durationSec: 100, otherNumber: home(2), ...f }),
];
c('F23', '5 s', 'warning', [imsiOnly, ...f23(95)]);
c('F23', '4 s', 'none', [imsiOnly, ...f23(96)]);
c('F23', 'same cell', 'none', [imsiOnly, ...f23(95, { cellId: 'A' })]);
c('F23', 'forwarded leg', 'none', [imsiOnly, ...f23(95, { direction: 'forwarded' })]);
c('F23', 'mt leg', 'none', [imsiOnly, ...f23(95, { direction: 'mt' })]);
c('F23', 'same call, handover', 'none', [
  imsiOnly,
  ...times(2, (i) =>
    voice(T + i * 50 * SEC, { servedImsi: IMSI, cellId: 'AB'[i], callId: 'k1', partial: i + 1, durationSec: 100 }),
  ),
]);
// F24
const f24 = (m: number, to = 'example-shanghai-1') => [
  imsiOnly,
  voice(T, { servedImsi: IMSI, cellId: 'example-beijing-1' }),
  voice(T + m * MIN, { servedImsi: IMSI, cellId: to }),
];
c('F24', '70 min', 'warning', f24(70));
c('F24', '72 min', 'none', f24(72));
c('F24', '6 km', 'none', f24(0.1, 'example-beijing-2'));
c('F24', 'sms', 'warning', [
  imsiOnly,
  sms(T, { servedImsi: IMSI, cellId: 'example-beijing-1' }),
  sms(T + HOUR, { servedImsi: IMSI, cellId: 'example-shanghai-1' }),
]);
c('F24', 'out of order', 'warning', f24(70).toReversed());
// F25, F26
const f25 = (k: number) =>
  times(k, (i) =>
    voice(T + i * HOUR, {
      servedMsisdn: `86139000010${i}`,
      servedImsi: `46000123456780${i}`,
      servedImei: '35000000000001',
    }),
  );
c('F25', '5', 'warning', f25(5));
c('F25', '4', 'none', f25(4));
c('F25', '10', 'critical', f25(10));
c('F25', '9', 'warning', f25(9));
const f26 = (k: number) => [
  imsiOnly,
  ...times(k, (i) => voice(T + i * HOUR, { servedImsi: IMSI, servedImei: `3500000000000${i}` })),
];
c('F26', '3', 'warning', f26(3));
c('F26', '2', 'none', f26(2));
c('F26', '5', 'critical', f26(5));
c('F26', '4', 'warning', f26(4));
c(
  'F26',
  'handsets of account records',
  'warning',
  times(3, (i) => account(T + i * HOUR, 'deviceChanged', {}, { servedImsi: IMSI, servedImei: `86490000000000${i}` })),
);
c(
  'F25',
  'cards of account records',
  'warning',
  times(5, (i) =>
    account(T + i * HOUR, 'deviceChanged', {}, { servedImei: '864900000000001', servedImsi: `46000123456789${i}` }),
  ),
);
// F27
const box = (
  k: number,
  o: {
    distinct?: number;
    mt?: number;
    cells?: number;
    sms?: number;
    imsi?: string;
    s?: string;
    cell?: string;
    gap?: number;
  } = {},
) => {
  const id = { servedImsi: o.imsi ?? IMSI, servedMsisdn: o.s ?? S };
  return [
    ...times(o.sms ?? 0, (i) => sms(T - HOUR + i * MIN, { ...id })),
    ...times(o.mt ?? 0, (i) => voice(T - 2 * HOUR + i * MIN, { ...id, direction: 'mt', cellId: o.cell ?? 'A' })),
    ...times(k, (i) =>
      voice(T + i * (o.gap ?? 10) * MIN, {
        ...id,
        otherNumber: home(i % (o.distinct ?? k)),
        cellId: o.cells ? `c${i % o.cells}` : (o.cell ?? 'A'),
        durationSec: 50,
      }),
    ),
  ];
};
c('F27', '80 all', 'critical', [imsiOnly, ...box(80)]);
c('F27', '79 all', 'none', [imsiOnly, ...box(79)]);
c('F27', 'distinct 68/80', 'critical', [imsiOnly, ...box(80, { distinct: 68 })]);
c('F27', 'distinct 67/80', 'warning', [imsiOnly, ...box(80, { distinct: 67 })]);
c('F27', 'mt 4/80', 'critical', [imsiOnly, ...box(80, { mt: 4 })]);
c('F27', 'mt 5/80', 'warning', [imsiOnly, ...box(80, { mt: 5 })]);
c('F27', '3 cells', 'warning', [imsiOnly, ...box(80, { cells: 3 })]);
c('F27', '1 sms', 'warning', [imsiOnly, ...box(80, { sms: 1 })]);
c('F27', '3 cells + 1 sms', 'none', [imsiOnly, ...box(80, { cells: 3, sms: 1 })]);
c('F27', 'no cells at all', 'critical', [imsiOnly, ...box(80).map(({ cellId: _cell, ...rest }) => rest)]);
// F28
const f28 = (k: number) => {
  const all = times(k, (j) => box(80, { imsi: `46000999999990${j}`, s: `86139000020${j}`, cell: 'X', gap: 10 }));
  return all.sort(inTime);
};
c('F28', '5', 'warning', f28(5));
c('F28', '4', 'none', f28(4));
// F29, F30
const wan = (k: number, f: R = {}, from = T) =>
  times(k, (i) =>
    voice(from + i * 5 * SEC, {
      servedMsisdn: `8613900${String(i).padStart(6, '0')}`,
      direction: 'mt',
      otherNumber: lv(i % 50),
      durationSec: 0,
      ...f,
    }),
  );
c('F29', '100 unanswered', 'warning', wan(100));
c('F29', '99', 'none', wan(99));
c('F29', '3 s each answered (ratio)', 'none', wan(100, { durationSec: 3 }));
c(
  'F29',
  '10 of 100 answered 3 s',
  'warning',
  times(100, (i) => ({ ...wan(100)[i]!, durationSec: i < 10 ? 3 : 0 })),
);
c('F29', 'home range', 'none', wan(100, { otherNumber: '8613712345678' }));
c('F29', 'noAnswer cause', 'warning', wan(100, { causeForTerm: 'noAnswer' }));
const back = (k: number) =>
  times(k, (i) =>
    voice(T + HOUR + i * MIN, {
      servedMsisdn: `8613900${String(i).padStart(6, '0')}`,
      otherNumber: lv(i),
      durationSec: 60,
    }),
  );
c('F30', '2 of 100', 'warning', [...wan(100), ...back(2)]);
c('F30', '1 of 100', 'none', [...wan(100), ...back(1)]);
c('F30', 'no wave', 'none', back(9));
c('F30', '5 of 300', 'warning', [
  ...wan(110),
  ...wan(90, {}, T + 11 * MIN).map((r, i) => ({ ...r, servedMsisdn: `86139010${String(i).padStart(5, '0')}` })),
  ...wan(100, {}, T + 22 * MIN).map((r, i) => ({ ...r, servedMsisdn: `86139020${String(i).padStart(5, '0')}` })),
  ...back(5),
]);
// F31
const spoof = (k: number, f: R = {}) =>
  times(k, (i) =>
    voice(T + i * 4 * SEC, {
      direction: 'mt',
      trunkId: 'example-international-1',
      otherNumber: home(i),
      servedMsisdn: S,
      ...f,
    }),
  );
c('F31', '10', 'warning', spoof(10));
c('F31', '9', 'none', spoof(9));
c('F31', '50', 'critical', spoof(50));
c('F31', '49', 'warning', spoof(49));
c('F31', 'national', 'none', spoof(10, { trunkId: 'example-national-1' }));
c('F31', 'foreign cli', 'none', spoof(10, { otherNumber: LV }));
c('F31', 'owner roams', 'none', [
  voice(T - HOUR, { servedMsisdn: home(1), servedImsi: '460009999999999', servingPlmn: '23415' }),
  ...spoof(10, { otherNumber: home(1) }),
]);
c('F31', 'owner roams, without an IMSI', 'none', [
  voice(T - HOUR, { servedMsisdn: home(1), servingPlmn: '23415' }),
  ...spoof(10, { otherNumber: home(1) }),
]);
// F32
const fas = (k: number, short: number, pdd: number, dur = 5, from = T) =>
  times(k, (i) =>
    voice(from + i * 10 * SEC, {
      carrierId: 'C1',
      otherNumber: lv(i % 90),
      durationSec: i % 100 < short ? dur : 60,
      pddMs: pdd,
      servedMsisdn: `8613900${String(i).padStart(6, '0')}`,
    }),
  );
const fasBase = times(28, (d) =>
  times(20, (i) =>
    voice(T - (28 - d) * DAY + i * MIN, {
      carrierId: 'C1',
      otherNumber: lv(i),
      durationSec: 180,
      pddMs: 3000,
      servedMsisdn: `8613900${String(i).padStart(6, '0')}`,
    }),
  ),
);
c('F32', '200, 60 %, base', 'warning', [...fasBase, ...fas(200, 60, 900)]);
c('F32', '199', 'none', [...fasBase, ...fas(199, 60, 900)]);
c('F32', '59 %', 'none', [...fasBase, ...fas(200, 59, 900)]);
c('F32', 'pdd 1 s', 'none', [...fasBase, ...fas(200, 60, 1000)]);
c('F32', 'no base', 'none', fas(200, 60, 900));
// F33
const pump = (k: number, f: (i: number) => R, from: number) =>
  times(k, (i) =>
    sms(from + i * 5 * SEC, {
      direction: 'mt',
      otherNumber: 'ShopX',
      servedMsisdn: `8613912${String(i * 3).padStart(6, '0')}`,
      ...f(i),
    }),
  );
const P0 = MID + 28 * DAY + 10 * HOUR;
const pumpBase = (per: number) => times(4, (w) => pump(per, () => ({}), P0 - (4 - w) * 7 * DAY));
c('F33', '200, consecutive, base 10', 'warning', [
  ...pumpBase(10),
  ...pump(200, (i) => ({ servedMsisdn: `8613912${String(i).padStart(6, '0')}` }), P0),
]);
c('F33', '199', 'none', [
  ...pumpBase(10),
  ...pump(199, (i) => ({ servedMsisdn: `8613912${String(i).padStart(6, '0')}` }), P0),
]);
c('F33', '200 of base 41', 'none', [
  ...pumpBase(41),
  ...pump(200, (i) => ({ servedMsisdn: `8613912${String(i).padStart(6, '0')}` }), P0),
]);
c('F33', 'otp conversion 0', 'warning', [...pumpBase(10), ...pump(200, () => ({ smsClass: 'a2p' }), P0)]);
c('F33', 'p2p digits', 'none', [
  ...pumpBase(10),
  ...pump(200, (i) => ({ otherNumber: '8613700000001', servedMsisdn: `8613912${String(i).padStart(6, '0')}` }), P0),
]);
c('F33', 'converted 10 %, scattered', 'none', [
  ...pumpBase(10),
  ...pump(200, () => ({}), P0).flatMap((r, i) =>
    i % 9 === 0
      ? [r, account((r['eventTime'] as number) + 1000, 'otpConfirmed', {}, { servedMsisdn: r['servedMsisdn'] })]
      : [r],
  ),
]);
// F34
const farm = (k: number, d = k, mt = 0) => [
  imsiOnly,
  ...times(mt, (i) => sms(T - 10 * MIN + i * SEC, { servedImsi: IMSI, direction: 'mt' })),
  ...times(k, (i) => sms(T + i * 15 * SEC, { servedImsi: IMSI, otherNumber: home(i % d) })),
];
c('F34', '100', 'warning', farm(100));
c('F34', '99', 'none', farm(99));
c('F34', '200', 'critical', farm(200));
c('F34', '199', 'warning', farm(199));
c('F34', 'distinct 90', 'warning', farm(100, 90));
c('F34', 'distinct 89', 'none', farm(100, 89));
c('F34', 'mt 5', 'warning', farm(100, 100, 5));
c('F34', 'mt 6', 'none', farm(100, 100, 6));
// F35
const swap = (then: R[], pre: R[] = []) => [...pre, account(T, 'simChanged'), ...then];
c('F35', 'deviceChanged', 'critical', swap([account(T + 2 * HOUR, 'deviceChanged')]));
c('F35', '24h+', 'none', swap([account(T + 24 * HOUR + 1000, 'deviceChanged')]));
c('F35', '24h', 'critical', swap([account(T + 24 * HOUR, 'deviceChanged')]));
c(
  'F35',
  'imei',
  'critical',
  swap([voice(T + HOUR, { servedImei: '35000000000002' })], [voice(T - DAY, { servedImei: '35000000000001' })]),
);
c(
  'F35',
  'same imei',
  'none',
  swap([voice(T + HOUR, { servedImei: '35000000000001' })], [voice(T - DAY, { servedImei: '35000000000001' })]),
);
c('F35', 'bank', 'critical', swap([voice(T + HOUR, { otherNumber: '12025550153' })]));
c('F35', 'otp', 'critical', swap([sms(T + HOUR, { direction: 'mt', otherNumber: 'ExampleBank' })]));
c(
  'F35',
  'cf',
  'critical',
  swap([account(T + HOUR, 'callForwardSet', { forwardType: 'unconditional', forwardTo: home(3) })]),
);
c('F35', 'other way round', 'none', [account(T, 'deviceChanged'), account(T + HOUR, 'simChanged')]);
c('F35', 'cf without attributes', 'critical', swap([account(T + HOUR, 'callForwardSet')]));
c('F35', 'a one-time password was confirmed', 'critical', swap([account(T + HOUR, 'otpConfirmed')]));
// F36
const cf = (f: R = {}) => account(T, 'callForwardSet', { forwardType: 'unconditional', forwardTo: LV, ...f });
const fwd = (k: number, dur: number, gap = 10) =>
  times(k, (i) => voice(T + HOUR + i * gap * MIN, { direction: 'forwarded', otherNumber: LV, durationSec: dur }));
c('F36', '3 calls', 'warning', [cf(), ...fwd(3, 60)]);
c('F36', '2 calls', 'none', [cf(), ...fwd(2, 60)]);
c('F36', '1800 s', 'warning', [cf(), ...fwd(2, 900)]);
c('F36', '1799 s', 'none', [cf(), ...fwd(1, 1799)]);
c('F36', 'busy', 'none', [cf({ forwardType: 'busy' }), ...fwd(3, 60)]);
c('F36', 'home', 'none', [cf({ forwardTo: home(4) }), ...fwd(3, 60).map((r) => ({ ...r, otherNumber: home(4) }))]);
c('F36', 'not set', 'none', fwd(3, 60));
// F37
const f37 = (k: number, within: number, event = 'contactChanged', after = 20 * HOUR) => [
  ...times(k, (i) => account(T + (i * within) / (k - 1), 'loginFailed')),
  account(T + within + after, event),
];
c('F37', '3 then contact', 'warning', f37(3, 2 * HOUR));
c('F37', '2', 'none', f37(2, HOUR));
c('F37', 'over 2h', 'none', f37(3, 2 * HOUR + 2 * MIN));
c('F37', 'sim order', 'warning', f37(3, HOUR, 'simOrdered'));
c('F37', '24h', 'warning', f37(3, HOUR, 'simOrdered', 24 * HOUR));
c('F37', '25h', 'none', f37(3, HOUR, 'simOrdered', 25 * HOUR));
// F38
c('F38', '7d', 'warning', [account(T, 'contactChanged'), account(T + 7 * DAY, 'portOutRequested')]);
c('F38', '8d', 'none', [account(T, 'contactChanged'), account(T + 8 * DAY, 'portOutRequested')]);
c('F38', 'none before', 'none', [account(T, 'portOutRequested')]);
// F39
c(
  'F39',
  '4 x 5',
  'warning',
  times(4, (i) => topup(T + i * 3 * HOUR, { amount: 5 })),
);
c(
  'F39',
  '3 x 5',
  'none',
  times(3, (i) => topup(T + i * 3 * HOUR, { amount: 5 })),
);
c(
  'F39',
  '4 x 11',
  'none',
  times(4, (i) => topup(T + i * 3 * HOUR, { amount: 11 })),
);
c(
  'F39',
  '4 x 10',
  'warning',
  times(4, (i) => topup(T + i * 3 * HOUR, { amount: 10 })),
);
c(
  'F39',
  '4 different',
  'none',
  times(4, (i) => topup(T + i * 3 * HOUR, { amount: 5 + i })),
);
c(
  'F39',
  '5 failed vouchers',
  'warning',
  times(5, (i) => topup(T + i * 10 * MIN, { amount: 20, channel: 'voucher', outcome: 'failed' })),
);
c(
  'F39',
  '4 failed vouchers',
  'none',
  times(4, (i) => topup(T + i * 10 * MIN, { amount: 20, channel: 'voucher', outcome: 'failed' })),
);
c(
  'F39',
  '3 cards',
  'warning',
  times(3, (i) => topup(T + i * 7 * HOUR, { amount: 20, instrumentId: `card${i}` })),
);
c(
  'F39',
  '2 cards',
  'none',
  times(3, (i) => topup(T + i * 7 * HOUR, { amount: 20, instrumentId: `card${i % 2}` })),
);
// F40
const tr = (at: number, dir: string, other: string, amount: number) =>
  rec(at, 'transfer', { direction: dir, otherNumber: other, amount });
const mule = (k: number, out: number, after = 30 * MIN) => [
  ...times(k, (i) => tr(T + i * MIN, 'mt', home(i), 10)),
  tr(T + k * MIN + after, 'mo', home(900), out),
];
c('F40', '10 parties, 90 %', 'warning', mule(10, 90));
c('F40', '9 parties', 'none', mule(9, 81));
c('F40', '89 %', 'none', mule(10, 89));
c('F40', 'sent 2 h later, all within the hour', 'warning', mule(10, 90, 2 * HOUR));
// F41
c('F41', 'charged call', 'warning', [account(T, 'suspended'), voice(T + HOUR, { charge: 0.1 })]);
c('F41', 'no charge field', 'warning', [account(T, 'suspended'), voice(T + HOUR)]);
c('F41', 'charge 0', 'none', [account(T, 'suspended'), voice(T + HOUR, { charge: 0 })]);
c('F41', 'resumed', 'none', [account(T, 'suspended'), account(T + MIN, 'resumed'), voice(T + HOUR, { charge: 0.1 })]);
c('F41', 'data', 'warning', [account(T, 'suspended'), data(T + HOUR, { charge: 0.1 })]);
c('F41', 'mt', 'none', [account(T, 'suspended'), voice(T + HOUR, { direction: 'mt' })]);
c('F41', 'data no charge', 'warning', [account(T, 'suspended'), data(T + HOUR)]);
c('F41', 'sms no charge', 'warning', [account(T, 'suspended'), sms(T + HOUR)]);
c('F41', 'unanswered', 'none', [account(T, 'suspended'), voice(T + HOUR, { durationSec: 0 })]);
// F42
c('F42', 'ghost imsi', 'warning', [voice(T, { servedImsi: IMSI })]);
c('F42', 'known', 'none', [account(T - DAY, 'profile', {}, { servedImsi: IMSI }), voice(T, { servedImsi: IMSI })]);
c('F42', 'known msisdn', 'none', [account(T - DAY, 'activated'), voice(T, { servedImsi: IMSI })]);
c('F42', 'listed', 'none', [voice(T, { servedImsi: '001010000000001' })]);
c(
  'F42',
  '20 on a trunk',
  'critical',
  times(20, (i) => voice(T + i * MIN, { servedImsi: IMSI, trunkId: 'T1' })),
);
c(
  'F42',
  '19 on a trunk',
  'warning',
  times(19, (i) => voice(T + i * MIN, { servedImsi: IMSI, trunkId: 'T1' })),
);
// The key is the IMSI: twenty of them over one trunk are twenty warnings.
c(
  'F42',
  '20 imsis on a trunk',
  'warning',
  times(20, (i) =>
    voice(T + i * MIN, { servedImsi: `4600011111111${10 + i}`, servedMsisdn: `8613900003${10 + i}`, trunkId: 'T1' }),
  ),
);
c('F42', 'msisdn only', 'none', [voice(T)]);
// F43
const zr = (zero: number, paid: number) =>
  byTime([
    data(T - HOUR, { bytesDown: 1, zeroRated: true }),
    ...times(6, (i) => data(T + i * DAY, { bytesDown: Math.round(zero / 6), zeroRated: true })),
    data(T + 0.2 * DAY, { bytesDown: paid, zeroRated: false, charge: 1 }),
  ]);
c('F43', '50 GB + 1', 'warning', zr(50e9 + 6, 1e6));
c('F43', '50 GB', 'none', zr(50e9 - 2, 1e6));
c('F43', '95 %', 'none', zr(57e9, 3.01e9));
c('F43', '95.1 %', 'warning', [...zr(57e9, 2.9e9), data(T + 5.5 * DAY, { bytesDown: 6, zeroRated: true })]);
c(
  'F43',
  'charge 0',
  'warning',
  times(6, (i) => data(T + i * DAY, { bytesDown: 10e9, charge: 0 })),
);
// F44
const dealer = (k: number, idle: number, later = 14) => {
  const a = times(k, (i) =>
    act(T + i * 10 * MIN, { dealerId: 'D1' }, { servedMsisdn: `86139000040${String(i).padStart(2, '0')}` }),
  );
  const u = times(k - idle, (i) =>
    voice(T + 2 * DAY + i * MIN, { servedMsisdn: `86139000040${String(i).padStart(2, '0')}` }),
  );
  return [...a, ...u, clock(T + later * DAY + 6 * HOUR)];
};
c('F44', '20, 6 idle', 'warning', dealer(20, 6));
c('F44', '20, 5 idle', 'none', dealer(20, 5));
c('F44', '19, 19 idle', 'none', dealer(19, 19));
c('F44', '20, 6 idle, 13 d', 'none', dealer(20, 6, 13));
// F45
const prs = (sum: number) =>
  times(2, (i) => voice(T + i * 5 * HOUR, { otherNumber: PRS, charge: sum / 2, durationSec: 300 }));
c('F45', '30', 'warning', prs(30));
c('F45', '29.98', 'none', prs(29.98));
c('F45', '80', 'critical', prs(80));
c('F45', '79.98', 'warning', prs(79.98));
c(
  'F45',
  '5 x 600',
  'warning',
  times(5, (i) => voice(T + i * 2 * HOUR, { otherNumber: PRS, durationSec: 600, charge: 1 })),
);
c(
  'F45',
  '4 x 600',
  'none',
  times(4, (i) => voice(T + i * 2 * HOUR, { otherNumber: PRS, durationSec: 600, charge: 1 })),
);
c(
  'F45',
  '5 x 599',
  'none',
  times(5, (i) => voice(T + i * 2 * HOUR, { otherNumber: PRS, durationSec: 599, charge: 1 })),
);
c(
  'F45',
  '5 x 600 without charge',
  'warning',
  times(5, (i) => voice(T + i * 2 * HOUR, { otherNumber: PRS, durationSec: 600 })),
);
// F46
const B = '8613788888888';
const pumpCalls = (k: number, from: number, gap = 30) =>
  times(k, (i) =>
    voice(from + i * gap * SEC, { servedMsisdn: `8613900${String(i).padStart(6, '0')}`, otherNumber: B }),
  );
const f46 = (k: number, per: number) => [
  ...times(4, (w) => pumpCalls(per, P0 - (4 - w) * 7 * DAY)),
  ...pumpCalls(k, P0),
];
c('F46', '50, base 3', 'warning', f46(50, 3));
c('F46', '49', 'none', f46(49, 3));
c('F46', '50, base 6', 'none', f46(50, 6));
c('F46', '60, base 6', 'warning', f46(60, 6));
c('F46', 'no base', 'none', pumpCalls(60, P0));
// F47
const dev = (last: number) => [
  ...times(20, (d) => voice(T + d * DAY, { durationSec: 600 })),
  ...times(2, (i) => voice(T + 20 * DAY + (1 + i) * HOUR, { durationSec: last / 2 })),
];
c('F47', 'z 4', 'warning', dev(840));
c('F47', 'z 3.9', 'none', dev(834));
c('F47', 'z 6', 'critical', dev(960));
c('F47', 'z 5.9', 'warning', dev(954));
c('F47', '9 days', 'none', [
  ...times(9, (d) => voice(T + d * DAY, { durationSec: 600 })),
  voice(T + 10 * DAY, { durationSec: 3000 }),
]);

// -- arrears
c('A01', 'failed', 'warning', [payment(T, { outcome: 'failed' })]);
c('A01', 'done', 'none', [payment(T)]);
c('A01', 'hard', 'warning', [payment(T, { outcome: 'failed', declineCode: 'hard' })]);
c('A01', 'topup failed', 'none', [topup(T, { outcome: 'failed' })]);
const inv = (due: number, amount = 50, f: R = {}) =>
  invoice(due - 14 * DAY, { dueTime: due, amount, invoiceId: `v${due}`, ...f });
const after = (d: number) => clock(T + d * DAY + 2 * HOUR);
c('A02', '10 d', 'warning', [inv(T), after(10)]);
c('A02', '9 d', 'none', [inv(T), clock(T + 9 * DAY + 20 * HOUR)]);
c('A02', 'paid 9 d', 'none', [inv(T), payment(T + 9 * DAY), after(20)]);
c('A02', 'partly paid', 'warning', [inv(T), payment(T + 9 * DAY, { amount: 40 }), after(10)]);
c('A02', 'payment moves the anchor', 'none', [inv(T), inv(T + 5 * DAY), payment(T + 6 * DAY), clock(T + 14.5 * DAY)]);
c('A02', 'anchor moved, 10 d later', 'warning', [
  inv(T),
  inv(T + 5 * DAY),
  payment(T + 6 * DAY),
  clock(T + 15.5 * DAY),
]);
c('A03', '14 d', 'warning', [inv(T), after(14)]);
c('A03', '13 d', 'none', [inv(T), clock(T + 13.9 * DAY)]);
c('A03', 'remaining 5', 'warning', [inv(T), payment(T + DAY, { amount: 45 }), after(14)]);
c('A03', 'remaining 4.99', 'none', [inv(T), payment(T + DAY, { amount: 45.01 }), after(14)]);
c('A04', '60 d', 'warning', [inv(T), after(60)]);
c('A04', '59 d', 'none', [inv(T), clock(T + 59.9 * DAY)]);
c('A05', '1 d', 'info', [inv(T), after(1)]);
c('A05', '0 d', 'none', [inv(T), clock(T + 0.5 * DAY)]);
c('A05', '31 d', 'warning', [inv(T), after(31)]);
c('A05', '30 d', 'info', [inv(T), clock(T + 30.4 * DAY)]);
c('A05', '91 d', 'critical', [inv(T), after(91)]);
c('A05', '90 d', 'warning', [inv(T), clock(T + 90.4 * DAY)]);
c('A05', '61 d', 'warning', [inv(T), after(61)]);
c('A06', '2', 'warning', [inv(T), inv(T + 30 * DAY), after(31)]);
c('A06', '1', 'none', [inv(T), inv(T + 30 * DAY), clock(T + 29.5 * DAY)]);
c('A06', '3', 'critical', [inv(T), inv(T + 30 * DAY), inv(T + 60 * DAY), after(61)]);
const lim = account(T - 100 * DAY, 'profile', { creditLimit: 100, paymentType: 'postpaid' });
c('A07', '80', 'warning', [lim, voice(T, { charge: 80 })]);
c('A07', '79.99', 'none', [lim, voice(T, { charge: 79.99 })]);
c('A07', '100', 'critical', [lim, inv(T - DAY, 60), voice(T, { charge: 40 })]);
c('A07', '99.99', 'warning', [lim, inv(T - DAY, 60), voice(T, { charge: 39.99 })]);
c('A07', 'prepaid', 'none', [
  account(T - 100 * DAY, 'profile', { creditLimit: 100, paymentType: 'prepaid' }),
  voice(T, { charge: 90 }),
]);
c('A07', 'no paymentType', 'warning', [
  account(T - 100 * DAY, 'profile', { creditLimit: 100 }),
  voice(T, { charge: 90 }),
]);
c('A08', 'due+7', 'warning', [act(T - 40 * DAY), inv(T), after(7)]);
c('A08', 'due+6', 'none', [act(T - 40 * DAY), inv(T), clock(T + 6.9 * DAY)]);
c('A08', 'paid', 'none', [act(T - 40 * DAY), inv(T), payment(T + DAY), after(8)]);
c('A08', 'old account', 'none', [act(T - 80 * DAY), inv(T), after(8)]);
c('A08', 'second bill', 'none', [act(T - 70 * DAY), inv(T - 30 * DAY), payment(T - 29 * DAY), inv(T), after(8)]);
c('A08', 'activatedAt', 'warning', [account(T - 20 * DAY, 'profile', { activatedAt: T - 40 * DAY }), inv(T), after(7)]);
const bills = (late: number[]) =>
  late.flatMap((d, i) => [
    inv(T + i * 30 * DAY, 50, { invoiceId: `b${i}` }),
    payment(T + i * 30 * DAY + d * DAY, { invoiceId: `b${i}` }),
  ]);
c('A09', '+10', 'warning', bills([0, 0, 0, 0, 0, 0, 10, 10, 10]));
c('A09', '+9.7', 'none', bills([0, 0, 0, 0, 0, 0, 10, 10, 9]));
c('A09', '8 bills', 'none', bills([0, 0, 0, 0, 0, 12, 12, 12]));
c('A09', 'early counts 0', 'none', bills([-5, -5, -5, -5, -5, -5, 7, 7, 7]));
const base10 = times(12, (d) => voice(T + d * DAY, { durationSec: 600, otherNumber: home(d) }));
const od = inv(T + 5 * DAY);
const u = (d: number, dur: number) =>
  times(3, (i) => voice(T + d * DAY + (i + 1) * HOUR, { durationSec: dur / 3, otherNumber: home(i) }));
c('A10', '3x', 'warning', [...base10, od, ...u(12, 1800)].sort(inTime));
c(
  'A10',
  '2.9x',
  'none',
  [
    ...times(12, (d) => times(3, (i) => voice(T + d * DAY + i * HOUR, { durationSec: 200 }))),
    od,
    ...u(12.2, 1740),
  ].sort(inTime),
);
c('A10', 'not overdue', 'none', [...base10, ...u(12, 1800)]);
const prom = account(T, 'paymentPromised', { promiseAt: T + 5 * DAY, promiseAmount: 50 });
c('A11', 'unpaid', 'warning', [inv(T - 5 * DAY), prom, after(5)]);
c('A11', '89.98 %', 'warning', [inv(T - 5 * DAY), prom, payment(T + DAY, { amount: 44.99 }), after(5)]);
c('A11', '90 %', 'none', [inv(T - 5 * DAY), prom, payment(T + DAY, { amount: 45 }), after(6)]);
c('A11', 'not yet', 'none', [inv(T - 5 * DAY), prom, clock(T + 4.9 * DAY)]);
c('A11', 'no invoice known', 'warning', [prom, after(5)]);
c('A11', 'no amount', 'warning', [
  inv(T - 5 * DAY),
  account(T, 'paymentPromised', { promiseAt: T + 5 * DAY }),
  after(5),
]);
c('A12', '5 d', 'warning', [inv(T), account(T - 5 * DAY, 'mandateCancelled')]);
c('A12', 'earlier, then 5 d', 'warning', [inv(T), account(T - 8 * DAY, 'mandateCancelled'), clock(T - 4.9 * DAY)]);
c('A12', '6 d', 'none', [inv(T), account(T - 8 * DAY, 'mandateCancelled'), clock(T - 5.5 * DAY)]);
c('A12', 'card expires', 'warning', [
  account(T - 60 * DAY, 'profile', { cardExpiryAt: T - 3 * DAY }),
  inv(T),
  clock(T - 2 * DAY),
]);
c('A12', 'card expires after', 'none', [
  account(T - 60 * DAY, 'profile', { cardExpiryAt: T + 3 * DAY }),
  inv(T),
  clock(T + DAY),
]);
const bs = (last: number, k = 6, amount = 60) => [
  ...times(k, (i) => [
    inv(T + i * 30 * DAY, amount, { invoiceId: `s${i}` }),
    payment(T + i * 30 * DAY - DAY, { amount, invoiceId: `s${i}` }),
  ]),
  inv(T + k * 30 * DAY, last, { invoiceId: 'sx' }),
];
c('A13', '1.5x', 'warning', bs(90));
c('A13', '1.49x', 'none', bs(89.9));
c('A13', '3 bills', 'warning', bs(90, 3));
c('A13', '2 bills', 'none', bs(90, 2));
c('A13', '+20 floor', 'none', bs(39.9, 6, 20));
c('A13', '+20', 'warning', bs(40, 6, 20));
c('A14', 'vip', 'warning', [account(T - 60 * DAY, 'profile', { tier: 'vip' }), inv(T), after(14)]);
c('A03', 'vip', 'none', [account(T - 60 * DAY, 'profile', { tier: 'vip' }), inv(T), after(14)]);
c('A14', 'standard', 'none', [account(T - 60 * DAY, 'profile', { tier: 'standard' }), inv(T), after(14)]);
c('A14', 'tenure 5y', 'warning', [
  account(T - 60 * DAY, 'profile', { activatedAt: T - 5.2 * 365 * DAY }),
  inv(T),
  after(14),
]);
c('A14', 'tenure 4.9y', 'none', [
  account(T - 60 * DAY, 'profile', { activatedAt: T - 4.9 * 365 * DAY }),
  inv(T),
  after(14),
]);
c('A14', '13 d', 'none', [account(T - 60 * DAY, 'profile', { tier: 'vip' }), inv(T), clock(T + 13.9 * DAY)]);

// -- churn
const daily = (days: number, per: number, from = T, f: R = {}) =>
  times(days, (d) => times(per, (i) => voice(from + d * DAY + i * 20 * MIN, { otherNumber: home(i), ...f })));
c('C01', '0.6', 'warning', [...daily(56, 10), ...daily(14, 6, T + 56 * DAY), clock(T + 72 * DAY)]);
c('C01', '0.5, the stream ends with the seventieth day', 'warning', [
  ...daily(56, 10),
  ...daily(14, 5, T + 56 * DAY),
  clock(T + 70 * DAY + 30 * MIN),
]);
c('C01', '0.5, 60 days', 'none', [...daily(46, 10), ...daily(14, 5, T + 46 * DAY), clock(T + 60 * DAY + 30 * MIN)]);
c('C01', '0.7', 'none', [...daily(56, 10), ...daily(14, 7, T + 56 * DAY), clock(T + 70.2 * DAY)]);
c('C01', '0.4', 'critical', [...daily(56, 10), ...daily(14, 4, T + 56 * DAY), clock(T + 72 * DAY)]);
c('C01', '0.5', 'warning', [...daily(56, 10), ...daily(14, 5, T + 56 * DAY), clock(T + 71 * DAY)]);
c('C01', 'spend 0.5', 'warning', [
  ...daily(56, 2, T, { charge: 1 }),
  ...daily(14, 2, T + 56 * DAY, { charge: 0.5 }),
  clock(T + 72 * DAY),
]);
c('C02', '7 d', 'warning', [...daily(10, 1), clock(T + 16 * DAY + 2 * HOUR)]);
c('C02', '6.9 d', 'none', [...daily(10, 1), clock(T + 15.9 * DAY)]);
c('C02', '3 x 4 d', 'warning', [...times(8, (i) => voice(T + i * 4 * DAY)), clock(T + 28 * DAY + 12 * DAY + 2 * HOUR)]);
c('C02', '11.9 of 12 d', 'none', [...times(8, (i) => voice(T + i * 4 * DAY)), clock(T + 28 * DAY + 11.9 * DAY)]);
c('C02', 'mt does not count', 'warning', [
  ...daily(10, 1),
  ...times(8, (i) => voice(T + (10 + i) * DAY, { direction: 'mt' })),
  clock(T + 18 * DAY),
]);
const prepaid = (gapDays: number, spend: number) => [
  ...times(6, (i) => [
    topup(T + i * 7 * DAY, { amount: 20 }),
    ...times(7, (d) => voice(T + i * 7 * DAY + d * DAY + HOUR, { charge: i === 5 ? spend : 20 / 7 })),
  ]),
  clock(T + 35 * DAY + gapDays * DAY + HOUR),
];
c('C03', '14 d, empty', 'warning', prepaid(14, 20 / 7));
c('C03', '13.5 d', 'none', prepaid(13.5, 20 / 7));
c('C03', 'balance left', 'none', prepaid(14, 1));
c('C03', 'balanceAfter', 'warning', [
  ...times(6, (i) => topup(T + i * 7 * DAY, { amount: 20, balanceAfter: 20 })),
  ...times(14, (d) => voice(T + 35 * DAY + d * DAY + HOUR, { charge: 1.4, balanceAfter: 20 - (d + 1) * 1.4 })),
  clock(T + 49.1 * DAY),
]);
const tu = (a: number[]) => a.map((x, i) => topup(T + i * 7 * DAY, { amount: x }));
c('C04', '0.6', 'warning', tu([20, 20, 20, 20, 20, 20, 12, 12, 12]));
c('C04', '0.61', 'none', tu([20, 20, 20, 20, 20, 20, 12, 12, 12.5]));
c('C04', '8', 'none', tu([20, 20, 20, 20, 20, 6, 6, 6]));
const circle = (a: number, b: number) => [
  ...times(28, (d) => voice(T + d * DAY, { otherNumber: home(d % a) })),
  ...times(28, (d) => voice(T + (28 + d) * DAY, { otherNumber: home(d % b) })),
  clock(T + 57.5 * DAY),
];
c('C05', '10 to 6', 'warning', circle(10, 6));
c('C05', '10 to 7', 'none', circle(10, 7));
const nb = (k: number, ev = 'ceased') => [
  ...times(10, (i) => times(3, (j) => voice(T + (i * 3 + j) * HOUR, { otherNumber: home(i) }))),
  ...times(k, (i) => account(T + 10 * DAY + i * HOUR, ev, {}, { servedMsisdn: home(i) })),
  voice(T + 12 * DAY, { otherNumber: home(0) }),
  clock(T + 15 * DAY),
];
c('C06', '2 of 10', 'warning', nb(2));
c('C06', '1 of 10', 'none', nb(1));
c('C06', '4 of 10', 'critical', nb(4));
c('C06', '3 of 10', 'warning', nb(3));
c('C06', 'ported', 'warning', nb(2, 'portOutRequested'));
c('C07', '1', 'warning', [voice(T, { otherNumber: '12025550143' })]);
c(
  'C07',
  '2',
  'critical',
  times(2, (i) => voice(T + i * 13 * DAY, { otherNumber: '12025550144' })),
);
c(
  'C07',
  '2 over 15 d',
  'warning',
  times(2, (i) => voice(T + i * 15 * DAY, { otherNumber: '12025550144' })),
);
c('C07', 'other', 'none', [voice(T, { otherNumber: '12025550145' })]);
const ce = (d: number) => [account(T - 10 * DAY, 'profile', { contractEndAt: T + d * DAY }), clock(T + HOUR)];
c('C08', '60', 'warning', ce(60));
c('C08', '61', 'none', ce(61.5));
c('C08', '30', 'critical', ce(30));
c('C08', '31', 'warning', ce(31.5));
c('C08', 'renewed', 'none', [
  account(T - 30 * DAY, 'profile', { contractEndAt: T + 40 * DAY + 30 * DAY }),
  account(T - 5 * DAY, 'contractRenewed', { contractEndAt: T + 800 * DAY }),
  clock(T + 30 * DAY),
]);
c('C09', '2', 'warning', [
  care(T, { ticketId: 'a', attributes: { resolved: true } }),
  care(T + 29 * DAY, { ticketId: 'b', attributes: { resolved: true } }),
]);
c('C09', '2 in 31 d', 'none', [
  care(T, { ticketId: 'a', attributes: { resolved: true } }),
  care(T + 31 * DAY, { ticketId: 'b', attributes: { resolved: true } }),
]);
c('C09', 'ticket 5 d', 'warning', [care(T, { reason: 'enquiry', ticketId: 'a' }), clock(T + 5.1 * DAY)]);
c('C09', 'ticket 4.9 d', 'none', [care(T, { reason: 'enquiry', ticketId: 'a' }), clock(T + 4.9 * DAY)]);
c('C09', 'resolved', 'none', [
  care(T, { reason: 'enquiry', ticketId: 'a' }),
  care(T + 4 * DAY, { reason: 'enquiry', ticketId: 'a', attributes: { resolved: true } }),
  clock(T + 8 * DAY),
]);
c('C09', '2 without ticket', 'warning', [care(T), care(T + DAY)]);
const q = (k: number, drop: number) =>
  times(k, (i) => voice(T + i * 5 * HOUR, { causeForTerm: i < drop ? 'dropped' : 'normal' }));
c('C10', '1 of 30', 'warning', q(30, 1));
c('C10', '1 of 29', 'none', q(29, 1));
c(
  'C10',
  '1 of 34',
  'none',
  times(34, (i) => voice(T + i * 5 * HOUR, { causeForTerm: i === 33 ? 'dropped' : 'normal' })),
);
c(
  'C10',
  'data 2 of 40',
  'warning',
  times(40, (i) => data(T + i * 5 * HOUR, { causeForTerm: i >= 38 ? 'failed' : 'normal' })),
);
c(
  'C10',
  'data 1 of 40',
  'none',
  times(40, (i) => data(T + i * 5 * HOUR, { causeForTerm: i === 39 ? 'failed' : 'normal' })),
);
const shock = (drop: number) => {
  const k = T + 180 * DAY;
  const issue = k - 14 * DAY;
  return [
    ...bs(90),
    ...times(14, (d) => times(10, (i) => voice(issue - (14 - d) * DAY + i * 20 * MIN))),
    ...times(14, (d) => times(drop, (i) => voice(issue + d * DAY + HOUR + i * 20 * MIN))),
    clock(issue + 16 * DAY),
  ].sort(inTime);
};
c('C11', '-30 %', 'warning', shock(7));
c('C11', '-20 %', 'none', shock(8));
c('C12', '10 mt, known 14 d', 'warning', [
  act(T - 30 * DAY),
  voice(T - 20 * DAY),
  ...times(10, (i) => voice(T - 4 * DAY + i * 6 * HOUR, { direction: 'mt' })),
  clock(T + DAY),
]);
c('C12', '9 mt', 'none', [
  act(T - 30 * DAY),
  voice(T - 20 * DAY),
  ...times(9, (i) => voice(T - 4 * DAY + i * 6 * HOUR, { direction: 'mt' })),
  clock(T + DAY),
]);
c('C12', '1 mo', 'none', [
  act(T - 30 * DAY),
  voice(T - 5 * DAY),
  ...times(10, (i) => voice(T - 4 * DAY + i * 6 * HOUR, { direction: 'mt' })),
  clock(T + DAY),
]);
c(
  'C12',
  'known 10 d',
  'none',
  times(12, (i) => voice(T + i * 20 * HOUR, { direction: 'mt' })),
);
c('C12', 'mt only, no profile', 'warning', [
  ...times(16, (i) => voice(T + i * DAY, { direction: 'mt' })),
  clock(T + 17 * DAY),
]);
c('C13', 'request', 'warning', [account(T, 'portOutRequested')]);
c('C13', 'other', 'none', [account(T, 'profile')]);
const mb = (a: number, b: number, pre: R[]) =>
  [
    ...pre,
    ...times(14, (d) => data(T + d * DAY, { bytesDown: a })),
    ...times(14, (d) => data(T + (14 + d) * DAY, { bytesDown: b })),
    clock(T + 29.2 * DAY),
  ].sort(inTime);
c('C14', '0.3 dual', 'warning', mb(100e6, 30e6, [account(T - DAY, 'profile', { dualSim: true })]));
c('C14', '0.4 dual', 'none', mb(100e6, 40e6, [account(T - DAY, 'profile', { dualSim: true })]));
c('C14', '0.3 no sign', 'none', mb(100e6, 30e6, []));
c('C14', '0.3 device', 'warning', mb(100e6, 30e6, [account(T + 15 * DAY, 'deviceChanged')]));
c('C15', '-20 %', 'warning', [
  account(T, 'profile', { planValue: 100 }),
  account(T + 20 * DAY, 'planChanged', { planValue: 80 }),
]);
c('C15', '-19 %', 'none', [
  account(T, 'profile', { planValue: 100 }),
  account(T + 20 * DAY, 'planChanged', { planValue: 81 }),
]);
c('C15', '2 add-ons', 'warning', [account(T, 'addOnRemoved'), account(T + 29 * DAY, 'addOnRemoved')]);
c('C15', '1 add-on', 'none', [account(T, 'addOnRemoved')]);
c('C15', 'steps', 'warning', [
  account(T, 'profile', { planValue: 100 }),
  account(T + 40 * DAY, 'planChanged', { planValue: 90 }),
  account(T + 60 * DAY, 'planChanged', { planValue: 80 }),
]);
const vip = account(T - 10 * DAY, 'profile', { tier: 'vip' });
c('C17', 'complaint', 'warning', [vip, care(T)]);
c('C17', 'outage', 'warning', [vip, account(T, 'outage')]);
c('C17', 'payment', 'warning', [vip, payment(T, { outcome: 'failed' })]);
c('C17', 'standard', 'none', [care(T)]);
c('C17', 'enquiry', 'none', [vip, care(T, { reason: 'enquiry' })]);
c('C18', '5 d no usage', 'warning', [act(T), clock(T + 5.1 * DAY)]);
c('C18', '4.9 d', 'none', [act(T), clock(T + 4.9 * DAY)]);
c('C18', 'used', 'none', [act(T), voice(T + 3 * DAY), clock(T + 5.1 * DAY)]);
c('C18', 'used then 5 d', 'warning', [act(T), voice(T + 3 * DAY), clock(T + 8.2 * DAY)]);
c('C18', 'tenure 31', 'none', [
  act(T - 28 * DAY),
  ...times(10, (i) => voice(T - 28 * DAY + i * 3 * DAY)),
  clock(T + 8 * DAY),
]);
const fee = (a: number, b: number) => [
  account(T - DAY, 'profile', { monthlyFee: 50 }),
  inv(T + 14 * DAY, a, { invoiceId: 'x1' }),
  inv(T + 44 * DAY, b, { invoiceId: 'x2' }),
  after(45),
];
c('C19', '20 % twice', 'warning', fee(60, 60));
c('C19', '19 %', 'none', fee(60, 59.9));
c('C19', 'once', 'none', fee(50, 60));
// C16, C20 and C21 rank a subscriber among others.
const popMsisdn = (j: number) => `86139001${String(j).padStart(5, '0')}`;
const pop = (days: number, k = 40) =>
  times(days / 10, (m) =>
    times(k, (j) => topup(T + m * 10 * DAY + j * MIN, { servedMsisdn: popMsisdn(j), amount: 5 + j })),
  );

c(
  'C20',
  'ceased 7 d, high value',
  'warning',
  byTime([
    ...pop(100),
    account(T + 101 * DAY, 'ceased', {}, { servedMsisdn: popMsisdn(35) }),
    clock(T + 108.2 * DAY),
    clock(T + 109.5 * DAY),
  ]),
);
c(
  'C20',
  'ceased 7 d, low value',
  'none',
  byTime([
    ...pop(100),
    account(T + 101 * DAY, 'ceased', {}, { servedMsisdn: popMsisdn(3) }),
    clock(T + 108.2 * DAY),
    clock(T + 109.5 * DAY),
  ]),
);
c(
  'C20',
  'ceased 6 d',
  'none',
  byTime([...pop(100), account(T + 101 * DAY, 'ceased', {}, { servedMsisdn: popMsisdn(35) }), clock(T + 106.9 * DAY)]),
);
c(
  'C21',
  'top falls silent',
  'warning',
  byTime([
    ...pop(150).filter((r) => !(r['servedMsisdn'] === popMsisdn(39) && (r['eventTime'] as number) > T + 80 * DAY)),
    clock(T + 150 * DAY),
  ]),
);
c('C21', 'steady', 'none', byTime([...pop(150), clock(T + 150 * DAY)]));
c(
  'C16',
  'top value, complaint and competitor call',
  'warning',
  byTime([
    ...pop(100),
    care(T + 101 * DAY, { servedMsisdn: popMsisdn(39) }),
    care(T + 101.1 * DAY, { servedMsisdn: popMsisdn(39) }),
    voice(T + 102 * DAY, { servedMsisdn: popMsisdn(39), otherNumber: '12025550143' }),
    clock(T + 104 * DAY),
  ]),
);
c(
  'C16',
  'middle value, the same',
  'none',
  byTime([
    ...pop(100),
    care(T + 101 * DAY, { servedMsisdn: popMsisdn(20) }),
    care(T + 101.1 * DAY, { servedMsisdn: popMsisdn(20) }),
    voice(T + 102 * DAY, { servedMsisdn: popMsisdn(20), otherNumber: '12025550143' }),
    clock(T + 104 * DAY),
  ]),
);
c(
  'C16',
  'top value, one sign',
  'none',
  byTime([
    ...pop(100),
    voice(T + 102 * DAY, { servedMsisdn: popMsisdn(39), otherNumber: '12025550143' }),
    clock(T + 104 * DAY),
  ]),
);

// Other ways in which the same may be told.
c('F03', 'an hour apart', 'none', [
  voice(T, { otherNumber: lv(0), durationSec: 600 }),
  voice(T + 61 * MIN, { otherNumber: lv(1), durationSec: 600 }),
]);
c('F03', '50 min apart', 'warning', [
  voice(T, { otherNumber: lv(0), durationSec: 600 }),
  voice(T + 50 * MIN, { otherNumber: lv(1), durationSec: 600 }),
]);
const young = (f: R = {}) => account(T - DAY, 'profile', { activatedAt: T - 5 * DAY, ...f });
c('F12', 'activatedAt in a profile', 'warning', [
  young(),
  ...times(3, (i) => voice(T + i * 65 * MIN, { durationSec: 3601, otherNumber: home(i) })),
]);
c('F13', 'activatedAt in a profile', 'warning', [young({ creditLimit: 100 }), voice(T, { charge: 50 })]);
c('F13', 'no age', 'none', [account(T - DAY, 'profile', { creditLimit: 100 }), voice(T, { charge: 50 })]);
c('F13', 'two lines of an account', 'warning', [
  act(T - DAY, { creditLimit: 100 }, { accountId: 'Z' }),
  voice(T, { charge: 25, accountId: 'Z' }),
  voice(T + HOUR, { charge: 25, accountId: 'Z', servedMsisdn: '861390000002' }),
]);
c(
  'F14',
  'profiles and use',
  'warning',
  times(3, (i) => [
    account(T + i * HOUR, 'profile', { idDocHash: 'h2' }, { servedMsisdn: `86139000020${i}` }),
    voice(T + i * HOUR + MIN, { servedMsisdn: `86139000020${i}` }),
  ]),
);
c('F14', 'one ceased', 'none', [
  ...f14(2, 'idDocHash'),
  account(T + 1.5 * DAY, 'ceased', {}, { servedMsisdn: '861390000100' }),
  act(T + 2 * DAY, { idDocHash: 'h1' }, { servedMsisdn: '861390000105' }),
]);
c('F15', 'activatedAt in a profile', 'warning', [
  account(T - HOUR, 'profile', { activatedAt: T - 10 * HOUR }),
  voice(T, { ...roam, otherNumber: LV }),
]);
c('F16', 'without a profile', 'warning', [voice(T, { ...roam, otherNumber: LV, durationSec: 600 })]);
c('F16', '24h passed', 'none', [
  imsiOnly,
  voice(T, { ...roam, otherNumber: LV, durationSec: 300 }),
  voice(T + 25 * HOUR, { ...roam, otherNumber: LV, durationSec: 300 }),
]);
c('F21', 'data', 'warning', [imsiOnly, data(T, { ...roam, charge: 50 })]);
c(
  'F22',
  'two late files',
  'warning',
  times(2, (i) => file(T + i * HOUR, { availableTime: T + 7 * HOUR })),
);
c(
  'F28',
  '4 and one of warning',
  'warning',
  byTime([...f28(4), ...box(80, { imsi: '460009999999909', s: '861390000209', cell: 'X', distinct: 60 })]),
);
const defaulting = (k: number, bad: number) => {
  const m = (i: number) => ({ servedMsisdn: `86139000050${String(i).padStart(2, '0')}` });
  return [
    ...times(k, (i) => act(T + i * 10 * MIN, { dealerId: 'D2' }, m(i))),
    ...times(k, (i) => voice(T + 2 * DAY + i * MIN, m(i))),
    ...times(k, (i) => invoice(T + 3 * DAY + i * MIN, { ...m(i), dueTime: T + 13 * DAY, invoiceId: `q${i}` })),
    ...times(k - bad, (i) => payment(T + 10 * DAY + i * MIN, { ...m(i + bad), invoiceId: `q${i + bad}` })),
    clock(T + 21 * DAY),
  ];
};
c('F44', '6 first-bill defaults', 'warning', defaulting(20, 6));
c('F44', '5 first-bill defaults', 'none', defaulting(20, 5));
c('F45', 'UK premium', 'warning', [voice(T, { otherNumber: '449012345678', charge: 30 })]);
c('F45', 'home country premium?', 'none', [voice(T, { charge: 30 })]);
const devMb = (last: number) => [
  ...times(20, (d) => data(T + d * DAY, { bytesDown: 500_000_000 })),
  data(T + 20 * DAY + HOUR, { bytesDown: last }),
];
c('F47', 'MB', 'warning', devMb(700_000_000));
c('F47', 'MB below', 'none', devMb(690_000_000));
const devSpend = (last: number) => [
  ...times(20, (d) => sms(T + d * DAY, { charge: 20 })),
  sms(T + 20 * DAY + HOUR, { charge: last }),
];
c('F47', 'spend', 'warning', devSpend(28));
c('F47', 'spend below', 'none', devSpend(27.9));
c('A01', 'retry fails', 'warning', [payment(T, { outcome: 'failed' }), payment(T + DAY, { outcome: 'failed' })]);
c('A02', 'accountId', 'warning', [inv(T, 50, { accountId: 'Q' }), after(10)]);
c('A02', 'reversed payment', 'warning', [
  inv(T),
  payment(T + DAY, { invoiceId: `v${T}` }),
  payment(T + 2 * DAY, { invoiceId: `v${T}`, outcome: 'reversed' }),
  after(10),
]);
c('A02', 'no dueTime in the past issue', 'warning', [invoice(T - 30 * DAY, { dueTime: T, amount: 10 }), after(10)]);
c('A06', '2 at once', 'warning', [inv(T), inv(T + 1), after(1)]);
c('A07', 'two lines', 'warning', [
  account(T - 100 * DAY, 'profile', { creditLimit: 100, paymentType: 'postpaid' }, { accountId: 'Z' }),
  voice(T, { charge: 40, accountId: 'Z' }),
  voice(T + 1, { charge: 40, accountId: 'Z', servedMsisdn: '861390000002' }),
]);
c('A12', 'cancelled, no invoice yet', 'none', [account(T, 'mandateCancelled'), clock(T + DAY)]);
c('A12', 'paid before', 'none', [inv(T), payment(T - 7 * DAY), account(T - 4 * DAY, 'mandateCancelled'), clock(T)]);
c('A13', 'disputed', 'warning', [...bs(90), care(T + 181 * DAY, { reason: 'dispute' })]);
c('C01', 'sms and data', 'warning', [
  ...times(56, (d) => times(5, (i) => [sms(T + d * DAY + i * HOUR), data(T + d * DAY + i * HOUR + 1)])),
  ...times(14, (d) => times(3, (i) => [sms(T + (56 + d) * DAY + i * HOUR), data(T + (56 + d) * DAY + i * HOUR + 1)])),
  clock(T + 72 * DAY),
]);
c('C02', 'sms user', 'warning', [...times(10, (i) => sms(T + i * DAY)), clock(T + 16.2 * DAY)]);
c('C02', 'data user', 'warning', [...times(10, (i) => data(T + i * DAY)), clock(T + 16.2 * DAY)]);
c(
  'C06',
  'activated neighbours',
  'warning',
  byTime([...times(10, (i) => act(T - DAY, {}, { servedMsisdn: home(i) })), ...nb(2)]),
);
c('C08', 'ceased before', 'none', [
  account(T - 30 * DAY, 'profile', { contractEndAt: T + 60 * DAY }),
  account(T - 5 * DAY, 'ceased'),
  clock(T + HOUR),
]);
c('C08', 'activated with an end', 'warning', [
  act(T - 300 * DAY, { contractEndAt: T + 60 * DAY }),
  voice(T - 40 * DAY),
  clock(T + HOUR),
]);
c('C09', 'open, but ceased', 'none', [care(T, { reason: 'quality' }), account(T + DAY, 'ceased'), clock(T + 9 * DAY)]);
c('C09', 'one ticket twice', 'none', [
  care(T, { ticketId: 'a' }),
  care(T + DAY, { ticketId: 'a', attributes: { resolved: true } }),
]);
c('C15', 'without an earlier value', 'none', [account(T, 'planChanged', { planValue: 80 })]);
c('C15', 'same day', 'warning', [
  account(T, 'activated', { planValue: 100 }),
  account(T + 5 * HOUR, 'planChanged', { planValue: 79 }),
]);
c('C17', 'profile later', 'warning', [account(T - HOUR, 'activated', { tier: 'vip' }), care(T)]);
c('C18', 'profile activatedAt', 'warning', [account(T, 'profile', { activatedAt: T - HOUR }), clock(T + 5.1 * DAY)]);
c('C18', 'mt only', 'none', [
  act(T),
  ...times(5, (i) => voice(T + i * DAY, { direction: 'mt' })),
  clock(T + 5.2 * DAY),
]);
c('C19', 'fee in the activation', 'warning', [
  act(T - DAY, { monthlyFee: 50 }),
  inv(T + 14 * DAY, 60, { invoiceId: 'x1' }),
  inv(T + 44 * DAY, 61, { invoiceId: 'x2' }),
]);
c('C20', 'silent for ever, worth nothing', 'none', [imsiOnly, voice(T)]);
c('C03', 'spent to nothing', 'warning', prepaid(14, 20 / 7));
