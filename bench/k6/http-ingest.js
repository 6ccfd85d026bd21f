/**
 * Records over HTTP at a steady rate, with k6 (a separate program):
 *
 *     go install go.k6.io/k6@v1.8.1
 *     ringfence serve --data "$(mktemp -d)" &
 *     k6 run -e RATE=100 -e BATCH=100 -e DURATION=60s bench/k6/http-ingest.js
 *
 * RATE requests a second with BATCH records each, whatever the answers take; every hundredth record breaks the schema. The
 * thresholds are the pass marks: nothing is refused that is good, nothing is taken that is bad, the answer comes soon, and
 * at the end the engine has applied exactly what was accepted. k6 exits with 99 where one of them does not hold.
 */
import { check, sleep } from 'k6';
import http from 'k6/http';
import { Counter, Gauge } from 'k6/metrics';

const HTTP = __ENV.HTTP_URL || 'http://127.0.0.1:8080';
const OPS = __ENV.OPS_URL || 'http://127.0.0.1:9464';
const RATE = Number(__ENV.RATE || 50);
const BATCH = Number(__ENV.BATCH || 100);
const BAD_EVERY = 100;
const SUBSCRIBERS = 100_000;
const DRAIN_SEC = 60;
const DURATION = __ENV.DURATION || '30s';
const isSoak = __ENV.SOAK === '1';
/** Between two looks at the process. */
const LOOK_SEC = Number(__ENV.LOOK_SEC || 30);

const accepted = new Counter('records_accepted');
const rejected = new Counter('records_rejected');
const wrong = new Counter('answers_wrong');
const unapplied = new Counter('records_not_applied');
const memorySlope = new Gauge('resident_memory_percent_an_hour');
const moreFiles = new Gauge('open_files_more');

export const options = {
  scenarios: {
    ingest: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: DURATION,
      preAllocatedVUs: 20,
      maxVUs: 100,
    },
    ...(isSoak && { process: { executor: 'constant-vus', exec: 'look', vus: 1, duration: DURATION } }),
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(99)<500'],
    dropped_iterations: ['count<1'],
    answers_wrong: ['count<1'],
    // Those that were accepted, less those that were applied in the end.
    records_not_applied: ['count==0'],
    ...(isSoak && { resident_memory_percent_an_hour: ['value<1'], open_files_more: ['value<=2'] }),
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

function total(result) {
  const text = http.get(`${OPS}/metrics`, { tags: { name: 'metrics' } }).body;
  const pattern = new RegExp(`^ringfence_records_total\\{[^}]*result="${result}"[^}]*\\} (\\d+)$`, 'gm');
  let sum = 0;
  for (const [, count] of text.matchAll(pattern)) sum += Number(count);
  return sum;
}

export function setup() {
  return { applied: total('applied'), startedAt: Date.now() };
}

// biome-ignore lint/style/noDefaultExport: that is where k6 looks for it
export default function () {
  const records = [];
  let bad = 0;
  for (let at = 0; at < BATCH; at++) {
    const isBad = at % BAD_EVERY === BAD_EVERY - 1;
    if (isBad) bad++;
    records.push({
      recordId: `k6-${__VU}-${__ITER}-${at}-${Date.now()}`,
      recordType: 'voice',
      eventTime: Date.now(),
      servedMsisdn: `86138${String(Math.floor(Math.random() * SUBSCRIBERS)).padStart(8, '0')}`,
      direction: 'mo',
      otherNumber: '8613700000000',
      durationSec: isBad ? -1 : 60,
    });
  }
  const answer = http.post(`${HTTP}/v1/usage`, JSON.stringify(records), {
    headers: { 'content-type': 'application/json' },
    tags: { name: 'usage' },
  });
  const result = answer.status === 202 ? answer.json() : { accepted: 0, rejected: 0 };
  const right = check(answer, {
    'good ones accepted, bad ones named': () => result.accepted === BATCH - bad && result.rejected === bad,
  });
  if (!right) wrong.add(1);
  accepted.add(result.accepted);
  unapplied.add(result.accepted);
  rejected.add(result.rejected);
}

/** Looks of the one who watches the process. */
const looks = [];

/** Least squares over what lies behind the first third; the last value of each gauge counts. */
export function look() {
  sleep(LOOK_SEC);
  const text = http.get(`${OPS}/metrics`, { tags: { name: 'metrics' } }).body;
  const value = (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)[1]);
  looks.push({
    hours: Date.now() / 3_600_000,
    bytes: value('process_resident_memory_bytes'),
    files: value('process_open_fds'),
  });
  const settled = looks.slice(Math.floor(looks.length / 3));
  if (settled.length < 3) return;
  const mean = (of) => settled.reduce((sum, one) => sum + of(one), 0) / settled.length;
  const hours = mean((one) => one.hours);
  const bytes = mean((one) => one.bytes);
  const rise = mean((one) => (one.hours - hours) * (one.bytes - bytes));
  memorySlope.add((100 * rise) / mean((one) => (one.hours - hours) ** 2) / bytes);
  moreFiles.add(settled[settled.length - 1].files - settled[0].files);
}

/** Waits until the engine has read its stream to the end, and counts. */
export function teardown({ applied }) {
  let lag = -1;
  for (let second = 0; second < DRAIN_SEC && lag !== 0; second++) {
    sleep(1);
    lag = http.get(`${HTTP}/v1/operations`, { tags: { name: 'operations' } }).json('lagMessages');
  }
  const appliedNow = total('applied') - applied;
  unapplied.add(-appliedNow);
  console.info(`applied ${appliedNow} records, ${lag} messages behind`);
}
