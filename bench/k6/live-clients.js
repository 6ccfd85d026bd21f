/**
 * WebSocket clients of the live alerts, with k6 (a separate program):
 *
 *     go install go.k6.io/k6@v1.8.1
 *     ringfence serve --data "$(mktemp -d)" &
 *     k6 run -e CLIENTS=90 -e ALERTS=20 -e DURATION_SEC=60 bench/k6/live-clients.js
 *
 * A producer sends ALERTS calls of 8,000 s a second over HTTP; each fires one alert, and its record id says when it left. The
 * clients cut their connection every few seconds and come back with `since`. The thresholds are the pass marks: no alert is
 * lost or repeated at any client, none is told to start again, and the push comes soon. Clients that never read are
 * not possible with k6; `npm run faults` (R21) has them.
 */
import { sleep } from 'k6';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { WebSocket } from 'k6/websockets';

const HTTP = __ENV.HTTP_URL || 'http://127.0.0.1:8080';
const CLIENTS = Number(__ENV.CLIENTS || 90);
const ALERTS_PER_SEC = Number(__ENV.ALERTS || 20);
const DURATION_SEC = Number(__ENV.DURATION_SEC || 30);
/** A client lives so long and then resumes. */
const CUT_AFTER_MS = 5_000;
/** What the clients wait for after the last call. */
const DRAIN_SEC = 5;
/** So long before their end it is counted what they must have had. */
const COUNT_BEFORE_MS = 1_500;
/** The first hour of the morning of today, UTC, begins a call that fires by day: the rule is stricter at night. */
const PREFIX = 'k6-live-';

const pushed = new Trend('push_ms', true);
const received = new Counter('alerts_received');
const repeated = new Counter('alerts_repeated');
const lost = new Counter('alerts_lost');
const resyncs = new Counter('resyncs');

export const options = {
  scenarios: {
    clients: {
      executor: 'per-vu-iterations',
      exec: 'follow',
      vus: CLIENTS,
      iterations: 1,
      maxDuration: `${DURATION_SEC + 60}s`,
    },
    producer: {
      executor: 'constant-arrival-rate',
      exec: 'produce',
      startTime: '3s',
      rate: ALERTS_PER_SEC,
      timeUnit: '1s',
      duration: `${DURATION_SEC}s`,
      preAllocatedVUs: 5,
    },
  },
  thresholds: {
    push_ms: ['p(99)<500'],
    alerts_repeated: ['count<1'],
    alerts_lost: ['count<1'],
    alerts_received: ['count>0'],
    resyncs: ['count<1'],
    http_req_failed: ['rate==0'],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

export function setup() {
  return { since: http.get(`${HTTP}/v1/alerts?limit=1`).json('seq') };
}

let calls = 0;
export function produce() {
  calls++;
  const caller = `86188${String(__VU % 100).padStart(2, '0')}${String((Date.now() % 1_000) * 1_000 + (calls % 1_000)).padStart(6, '0')}`;
  const record = {
    recordId: `${PREFIX}${Date.now()}-${__VU}-${calls}`,
    recordType: 'voice',
    eventTime: Date.now() - 8_000_000,
    servedMsisdn: caller,
    direction: 'mo',
    otherNumber: '8613700000000',
    durationSec: 14_400,
  };
  http.post(`${HTTP}/v1/usage`, JSON.stringify(record), { headers: { 'content-type': 'application/json' } });
}

export function follow({ since }) {
  const seen = new Set();
  const sequences = [];
  let last = since;
  const endAt = Date.now() + (DURATION_SEC + 3 + DRAIN_SEC) * 1_000;
  /** What the stream held before the end: each client must have had all of it. */
  let stored = since;
  setTimeout(
    () => {
      stored = http.get(`${HTTP}/v1/alerts?limit=1`, { tags: { name: 'stored' } }).json('seq');
    },
    endAt - Date.now() - COUNT_BEFORE_MS,
  );
  const connect = () => {
    const socket = new WebSocket(`${HTTP.replace('http', 'ws')}/v1/alerts/live?since=${last}`);
    const cut = setTimeout(() => socket.close(), Math.min(CUT_AFTER_MS * (0.5 + Math.random()), endAt - Date.now()));
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.kind === 'resync') resyncs.add(1);
      if (frame.kind !== 'alert') return;
      if (frame.seq <= last || seen.has(frame.seq)) repeated.add(1);
      seen.add(frame.seq);
      sequences.push(frame.seq);
      last = frame.seq;
      received.add(1);
      const { triggerRecordId } = frame.alert;
      if (triggerRecordId.startsWith(PREFIX))
        pushed.add(Date.now() - Number(triggerRecordId.slice(PREFIX.length).split('-')[0]));
    };
    socket.onclose = () => {
      clearTimeout(cut);
      if (Date.now() < endAt - 200) connect();
      // Sequences of ALERTS have no holes: what is missing of them was lost.
      else {
        const missing = stored - since - sequences.filter((sequence) => sequence <= stored).length;
        if (missing > 0) lost.add(missing);
      }
    };
  };
  connect();
}

export function teardown({ since }) {
  sleep(1);
  const end = http.get(`${HTTP}/v1/alerts?limit=1`).json('seq');
  console.info(`${end - since} alerts in the stream`);
}
