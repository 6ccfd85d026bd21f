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
import { Counter } from 'k6/metrics';

const HTTP = __ENV.HTTP_URL || 'http://127.0.0.1:8080';
const OPS = __ENV.OPS_URL || 'http://127.0.0.1:9464';
const RATE = Number(__ENV.RATE || 50);
const BATCH = Number(__ENV.BATCH || 100);
const BAD_EVERY = 100;
const SUBSCRIBERS = 100_000;
const DRAIN_SEC = 60;

const accepted = new Counter('records_accepted');
const rejected = new Counter('records_rejected');
const wrong = new Counter('answers_wrong');
const unapplied = new Counter('records_not_applied');

export const options = {
  scenarios: {
    ingest: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 20,
      maxVUs: 100,
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(99)<500'],
    dropped_iterations: ['count<1'],
    answers_wrong: ['count<1'],
    records_not_applied: ['count<1'],
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
  rejected.add(result.rejected);
}

/** Waits until the engine has read its stream to the end, and counts. */
export function teardown({ applied }) {
  let lag = -1;
  for (let second = 0; second < DRAIN_SEC && lag !== 0; second++) {
    sleep(1);
    lag = http.get(`${HTTP}/v1/operations`, { tags: { name: 'operations' } }).json('lagMessages');
  }
  if (lag !== 0) unapplied.add(lag);
  console.info(`applied ${total('applied') - applied} records, ${lag} messages behind`);
}
