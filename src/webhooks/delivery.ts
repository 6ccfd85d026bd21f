/**
 * Webhooks: alerts and case events leave for other systems (blocking a SIM, a contact centre, a pager).
 *
 * The queue is the stream itself. Each webhook has one durable consumer for each stream, which all gateways share: a message
 * goes to one of them, is acknowledged when the receiver has taken it, and otherwise comes again after a pause that
 * grows. So nothing is lost when a gateway stops, nothing piles up in memory, and a receiver that is away holds up nobody else.
 * It is at least once: `webhook-id` is the same for each attempt.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { AckPolicy, DeliverPolicy, type JetStreamClient, type JetStreamManager, type JsMsg } from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/transport-node';
import type { AlertData } from '../alerts/alert.ts';
import { isPlaceable } from '../cases/case-alert.ts';
import { type CaseEventType, caseOfSubject, readCaseEvent } from '../cases/case-event.ts';
import type { CaseProjection } from '../cases/case-projection.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { connectionState, isNoAnswer } from '../source/connection.ts';
import { ALERTS_STREAM, CASES_STREAM } from '../source/streams.ts';
import type { WebhookAllowList } from './address.ts';
import { alertmanagerPayload, caseCloudEvent, signatureOf } from './payload.ts';

/** Messages of one webhook that are with the gateways and not yet acknowledged. */
const ACK_PENDING_MAX = 64;
/** Requests of one webhook and stream under way in one gateway. */
const WORKERS = 2;
/** A receiver must have answered by then. */
const RESPONSE_LIMIT_MS = 10_000;
/** How long a message stays with a gateway that does not speak of it again. */
const ACK_WAIT_MS = 30_000;
const POLL_MS = 2_000;
/** Pauses between attempts; after the last one it is given up. Together some nine hours. */
const PAUSE_FIRST_MS = 1_000;
const PAUSE_LONGEST_MS = 3_600_000;
const ATTEMPTS_MAX = 20;
/** The projection is behind the stream by milliseconds, or catching up after a start. */
const PROJECTION_WAIT_MS = 5_000;
const BODY_BYTES_MAX = 512 * 1024;

export interface Webhook {
  name: string;
  url: string;
  form: 'cloudEvents' | 'alertmanager';
  secret: Buffer;
  /** `alert`, and types of case events. */
  events: ReadonlySet<'alert' | CaseEventType>;
  /** Only of these desks; empty: of all. */
  desks: ReadonlySet<string>;
}

export interface WebhookDelivery {
  /** Rejects with the bug that ended it. */
  ended: Promise<void>;
  close(): Promise<void>;
}

export function startWebhooks(options: {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  webhooks: readonly Webhook[];
  allow: WebhookAllowList;
  cases: Pick<CaseProjection, 'reader' | 'list'>;
  /** The alert in a message of ALERTS; undefined where it is none. */
  alertOf(message: {
    data: Uint8Array;
    subject: string;
    sequence: number;
    timeMs: number;
  }): { alert: AlertData } | undefined;
  /** CloudEvents source. */
  source: string;
  metrics: Metrics;
  log: Log;
}): WebhookDelivery {
  const { nc, js, jsm, allow, cases, alertOf, source, metrics, log } = options;
  const connection = connectionState(nc);
  let closed = false;
  const stop = new AbortController();
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      stop.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer);
          resolve();
        },
        { once: true },
      );
    });

  /** Body and id of what is to be sent; undefined where it is not for this webhook; `later` where the projection is behind. */
  const payloadOf = async (
    hook: Webhook,
    message: JsMsg,
  ): Promise<{ id: string; body: string } | undefined | 'later'> => {
    const isFor = (desk: string): boolean => hook.desks.size === 0 || hook.desks.has(desk);
    const { data, subject, seq } = message;
    if (subject.startsWith('alerts.')) {
      const alert = alertOf({ data, subject, sequence: seq, timeMs: message.time.getTime() })?.alert;
      if (!isPlaceable(alert) || !isFor(alert.desk)) return undefined;
      const id = `${alert.alertId}.${alert.revision}`;
      // The message is a CloudEvent already.
      if (hook.form === 'cloudEvents') return { id, body: Buffer.from(data).toString() };
      return { id, body: JSON.stringify(alertmanagerPayload(alert, hook.name, source)) };
    }
    const place = caseOfSubject(subject);
    const event = readCaseEvent(data);
    if (place === undefined || event === undefined || !isFor(place.desk) || !hook.events.has(event.type))
      return undefined;
    if (!(await cases.reader.reached(seq, PROJECTION_WAIT_MS))) return 'later';
    const found = cases.list.detail(place.caseId, Date.now());
    const entry = found?.timeline.find(({ sequence }) => sequence === seq);
    // What did nothing to its case does nothing elsewhere either.
    if (found === undefined || entry?.effect !== 'applied') return undefined;
    const summary = cases.list.summary(place.caseId, Date.now())!;
    const body = JSON.stringify(caseCloudEvent(event, entry.at, seq, summary, source));
    return { id: `${place.caseId}.${seq}`, body };
  };

  const deliver = async (hook: Webhook, message: JsMsg): Promise<void> => {
    const payload = await payloadOf(hook, message);
    if (payload === 'later') return message.nak(PAUSE_FIRST_MS);
    if (payload === undefined) return void message.ack();
    const count = (result: string): void => metrics.webhookDeliveriesTotal.inc({ webhook: hook.name, result });
    const problem =
      Buffer.byteLength(payload.body) > BODY_BYTES_MAX ? 'the body is too large' : await send(hook, payload, allow);
    if (problem === undefined) {
      count('delivered');
      return void message.ack();
    }
    const attempt = message.info.deliveryCount;
    if (attempt >= ATTEMPTS_MAX) {
      count('givenUp');
      log.error({ webhook: hook.name, id: payload.id, detail: problem }, 'webhook given up');
      return void message.term();
    }
    count('failed');
    const pauseMs = Math.min(PAUSE_FIRST_MS * 2 ** (attempt - 1), PAUSE_LONGEST_MS);
    log.warn({ webhook: hook.name, id: payload.id, attempt, pauseMs, detail: problem }, 'webhook not delivered');
    message.nak(pauseMs);
  };

  const follow = async (hook: Webhook, stream: string): Promise<void> => {
    const durable = `webhook-${hook.name}-${stream.toLowerCase()}`;
    while (!closed) {
      try {
        if (!connection.connected()) await Promise.race([connection.settled(), pause(POLL_MS)]);
        await jsm.consumers.add(stream, {
          durable_name: durable,
          ack_policy: AckPolicy.Explicit,
          // What happened before somebody set up the webhook is no news.
          deliver_policy: DeliverPolicy.New,
          ack_wait: nanos(ACK_WAIT_MS),
          max_ack_pending: ACK_PENDING_MAX,
        });
        const consumer = await js.consumers.get(stream, durable);
        while (!closed) {
          const message = await consumer.next({ expires: POLL_MS });
          if (message === null) continue;
          if (closed) message.nak();
          else await deliver(hook, message);
        }
      } catch (error) {
        if (closed) return;
        // The broker went away, or the stream is being made anew; a bug is none of that.
        if (!isNoAnswer(error)) throw error;
        await pause(POLL_MS);
      }
    }
  };

  const workers = options.webhooks.flatMap((hook) => {
    const streams = [
      ...(hook.events.has('alert') ? [ALERTS_STREAM] : []),
      ...([...hook.events].some((event) => event !== 'alert') ? [CASES_STREAM] : []),
    ];
    return streams.flatMap((stream) => Array.from({ length: WORKERS }, () => follow(hook, stream)));
  });
  const ended = Promise.all(workers).then(() => {});
  ended.catch(() => {});
  return {
    ended: workers.length === 0 ? new Promise(() => {}) : ended,
    async close() {
      closed = true;
      stop.abort();
      await Promise.race([
        Promise.allSettled(workers),
        new Promise((resolve) => setTimeout(resolve, POLL_MS * 2).unref()),
      ]);
    },
  };
}

/** @returns why it was not taken; undefined where it was. */
function send(
  { url, secret }: Webhook,
  { id, body }: { id: string; body: string },
  allow: WebhookAllowList,
): Promise<string | undefined> {
  const problem = allow.urlProblem(url);
  if (problem !== undefined) return Promise.resolve(problem);
  const secure = url.startsWith('https:');
  const bytes = Buffer.from(body);
  const headers = {
    'content-type': 'application/json',
    'content-length': String(bytes.length),
    'user-agent': 'ringfence',
    ...signatureOf(secret, id, Math.floor(Date.now() / 1000), body),
  };
  return new Promise((resolve) => {
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      headers,
      // A connection of its own: what a name meant a moment ago is looked up again.
      agent: false,
      lookup: allow.lookup(secure),
      signal: AbortSignal.timeout(RESPONSE_LIMIT_MS),
    });
    request.on('response', (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      // A redirect is not followed: it could lead anywhere.
      if (status >= 200 && status < 300) resolve(undefined);
      else resolve(`it answered ${status}`);
    });
    request.on('error', (error) => resolve(error.message));
    request.end(bytes);
  });
}
