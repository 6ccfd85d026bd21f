/** The webhooks of the configuration, checked before anything is started: where they go, and with which key they are signed. */
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { RingfenceError } from '../errors.ts';
import { allowEntryProblem, createAllowList, type WebhookAllowList } from '../webhooks/address.ts';
import type { Webhook } from '../webhooks/delivery.ts';

/** A shorter key could be guessed from one message. */
const SECRET_BYTES_MIN = 24;

/** @throws RingfenceError, exit code 3, with the webhook that is wrong */
export function readWebhooks({ allow, targets }: Config['webhooks']): { list: Webhook[]; allow: WebhookAllowList } {
  const fail = (message: string, hint: string): never => {
    throw new RingfenceError({ code: 'webhooks.wrong', message, hint });
  };
  for (const entry of allow) {
    const problem = allowEntryProblem(entry);
    if (problem !== undefined)
      fail(`webhooks.allow: ${problem}.`, 'Write hooks.example.com, *.example.com or 10.1.0.0/16.');
  }
  const allowList = createAllowList(allow);
  const names = new Set<string>();
  const list = targets.map(({ name, url, form, secretFile, events, desks = [] }): Webhook => {
    if (names.has(name)) fail(`Two webhooks are called ${name}.`, 'Each needs a name of its own.');
    names.add(name);
    const problem = allowList.urlProblem(url);
    if (problem !== undefined)
      fail(`Webhook ${name}: ${problem}.`, 'Put its host, or its private network, into webhooks.allow.');
    if (form === 'alertmanager' && events.some((event) => event !== 'alert'))
      fail(
        `Webhook ${name}: Alertmanager's form knows alerts only.`,
        'Ask for the event alert alone, or take cloudEvents.',
      );
    return {
      name,
      url,
      form,
      secret: secretOf(name, secretFile),
      events: new Set(events),
      desks: new Set(desks),
    };
  });
  return { list, allow: allowList };
}

function secretOf(name: string, file: string): Buffer {
  const hint = 'Make one with: openssl rand -base64 32';
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { message } = error as Error;
    throw new RingfenceError({
      code: 'webhooks.secret',
      message: `Webhook ${name}: its key cannot be read: ${message}.`,
      hint,
    });
  }
  // The form of Standard Webhooks is base64 behind whsec_; anything else is taken as it is.
  const secret = text.startsWith('whsec_') ? Buffer.from(text.slice(6), 'base64') : Buffer.from(text);
  if (secret.length < SECRET_BYTES_MIN) {
    throw new RingfenceError({
      code: 'webhooks.secret',
      message: `Webhook ${name}: its key is shorter than ${SECRET_BYTES_MIN} bytes.`,
      hint,
    });
  }
  return secret;
}
