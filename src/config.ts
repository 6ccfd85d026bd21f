/**
 * Configuration: the only reader of the environment, the flags and the configuration file. The order is default, file,
 * environment, flag; the last one that speaks counts. The result is checked and frozen; an unknown key or a wrong value is
 * one line with file, line and column.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { isMap, isScalar, LineCounter, parseDocument, type Node as YamlNode } from 'yaml';
import { ROLES } from './access/grants.ts';
import { DESKS } from './alerts/alert.ts';
import { CASE_EVENT_TYPES } from './cases/case-event.ts';
import { CASE_POLICY } from './cases/case-policy.ts';
import { RingfenceError } from './errors.ts';
import { LOG_LEVELS } from './log.ts';
import { unknownName } from './rules/compile.ts';

const closed = { additionalProperties: false } as const;
const slaTimes = Type.Object(
  { respondSec: Type.Number({ minimum: 1 }), closeSec: Type.Number({ minimum: 1 }) },
  closed,
);
const slaOfTier = Type.Object({ info: slaTimes, warning: slaTimes, critical: slaTimes }, closed);
const configSchema = Type.Object(
  {
    nats: Type.String({ minLength: 1, description: 'URL of the NATS server, or several with commas.' }),
    rules: Type.String({ minLength: 1, description: 'Folder of the rule files.' }),
    data: Type.String({ minLength: 1, description: 'Folder of the checkpoints and of the alert index.' }),
    listen: Type.String({ description: 'HOST:PORT of the API and the console.' }),
    opsListen: Type.String({ description: 'HOST:PORT of metrics and health.' }),
    logLevel: Type.Enum([...LOG_LEVELS], { description: 'Least level of a line in the log.' }),
    partitions: Type.Integer({ minimum: 1, maximum: 256, description: 'Partitions of the usage stream.' }),
    timeZone: Type.String({
      description: 'IANA zone of nights, weekends and shifts, and of every time that people read.',
    }),
    homePlmns: Type.Array(Type.String({ pattern: '^[0-9]{5,6}$' }), {
      maxItems: 100,
      description:
        'Home networks; empty: the one that the IMSI names, without an IMSI those of the country of the number.',
    }),
    currencyPerSdr: Type.Number({
      exclusiveMinimum: 0,
      description: 'Currency units of one special drawing right (SDR), in which roaming partners settle.',
    }),
    latenessSec: Type.Integer({
      minimum: 0,
      maximum: 86_400,
      description: 'How far the watermark trails the largest event time.',
    }),
    duplicateHorizonRecords: Type.Integer({ minimum: 1_024, maximum: 16_777_216 }),
    checkpointIntervalSec: Type.Number({
      minimum: 0.1,
      maximum: 3_600,
      description: 'Seconds between two checkpoints.',
    }),
    residentKeysMax: Type.Integer({
      minimum: 0,
      description:
        'Keys in memory, a subscriber with its account, SIM and handset counting once; colder ones are on disk. 0: no limit.',
    }),
    residentBytesMax: Type.Integer({
      minimum: 0,
      description: 'Bytes of keys in memory; colder ones are on disk. 0: no limit.',
    }),
    allowDataLoss: Type.Boolean({
      description: 'Go on where the stream has lost records that the state does not have.',
    }),
    source: Type.String({ minLength: 1, description: 'CloudEvents source of the alerts.' }),
    allowedOrigins: Type.Array(Type.String(), { maxItems: 100 }),
    webhooks: Type.Object(
      {
        allow: Type.Array(Type.String(), {
          maxItems: 100,
          description: 'Host names that webhooks may call, and networks (10.1.0.0/16) where these are private.',
        }),
        targets: Type.Array(
          Type.Object(
            {
              name: Type.String({ pattern: '^[a-z][a-z0-9-]{0,31}$' }),
              url: Type.String({ minLength: 1 }),
              form: Type.Enum(['cloudEvents', 'alertmanager']),
              secretFile: Type.String({ minLength: 1, description: 'File with the key that signs, 24 bytes or more.' }),
              events: Type.Array(Type.Enum(['alert', ...CASE_EVENT_TYPES]), { minItems: 1, uniqueItems: true }),
              desks: Type.Optional(Type.Array(Type.Enum([...DESKS]), { uniqueItems: true })),
            },
            closed,
          ),
          { maxItems: 20 },
        ),
      },
      closed,
    ),
    access: Type.Object(
      {
        oidc: Type.Optional(
          Type.Object(
            {
              issuer: Type.String({ pattern: '^https://|^http://(127\\.0\\.0\\.1|localhost)(:|/|$)' }),
              clientId: Type.String({ minLength: 1 }),
              clientSecretFile: Type.Optional(
                Type.String({
                  minLength: 1,
                  description: 'File with the secret; without it a public client with PKCE.',
                }),
              ),
              publicUrl: Type.String({ pattern: '^https?://', description: 'Where browsers reach the console.' }),
              label: Type.String({ minLength: 1, maxLength: 40, description: 'Name of the provider on the button.' }),
              scope: Type.Optional(Type.String({ pattern: '(^| )openid( |$)' })),
              signedWith: Type.Optional(Type.Enum(['RS256', 'PS256', 'ES256', 'EdDSA'])),
              claim: Type.String({ minLength: 1, description: 'Claim whose values are looked up in grants.' }),
              grants: Type.Array(
                Type.Object(
                  {
                    value: Type.String({ minLength: 1 }),
                    roles: Type.Array(Type.Enum([...ROLES]), { minItems: 1 }),
                    desks: Type.Array(Type.Enum([...DESKS]), { minItems: 1 }),
                  },
                  closed,
                ),
                { minItems: 1, maxItems: 200 },
              ),
            },
            closed,
          ),
        ),
      },
      closed,
    ),
    controlGroupShare: Type.Number({
      minimum: 0,
      maximum: 0.5,
      description: 'Share of the subscribers of the retention desk that are held out, to measure what offers achieve.',
    }),
    caseSla: Type.Object(
      { vip: slaOfTier, standard: slaOfTier },
      { ...closed, description: 'Seconds until a case is to be acknowledged and closed, by tier and severity.' },
    ),
    retentionDays: Type.Object(
      {
        usage: Type.Number({ minimum: 0.01 }),
        alerts: Type.Number({ minimum: 0.01 }),
        deadletter: Type.Number({ minimum: 0.01 }),
      },
      closed,
    ),
  },
  closed,
);

export type Config = Readonly<Static<typeof configSchema>>;

export const projectFolder = join(import.meta.dirname, '..');
/** Countries and classes of numbers by prefix; comes with the program. */
export const numberingPlanFile = join(projectFolder, 'rules/lists/numbering-plan.csv');

export const DEFAULTS: Config = {
  nats: 'nats://127.0.0.1:4222',
  rules: join(projectFolder, 'rules'),
  data: '.ringfence/data',
  listen: '127.0.0.1:8080',
  opsListen: '127.0.0.1:9464',
  logLevel: 'info',
  partitions: 1,
  timeZone: 'UTC',
  homePlmns: [],
  currencyPerSdr: 1,
  latenessSec: 300,
  duplicateHorizonRecords: 524_288,
  checkpointIntervalSec: 15,
  residentKeysMax: 0,
  residentBytesMax: 0,
  allowDataLoss: false,
  source: 'urn:ringfence',
  allowedOrigins: [],
  webhooks: { allow: [], targets: [] },
  controlGroupShare: CASE_POLICY.controlShare,
  caseSla: CASE_POLICY.sla,
  access: {},
  retentionDays: { usage: 35, alerts: 400, deadletter: 90 },
};

/** Flags of `serve`; the environment name of each is RINGFENCE_ and the flag in capitals. */
export const FLAGS = [
  'nats',
  'rules',
  'data',
  'listen',
  'opsListen',
  'logLevel',
  'timeZone',
  'partitions',
  'checkpointIntervalSec',
  'residentKeysMax',
  'residentBytesMax',
] as const;
export type Flag = (typeof FLAGS)[number];

const checker = Compile(configSchema);
const environmentName = (flag: string): string =>
  `RINGFENCE_${flag.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

/**
 * Puts the configuration together.
 * @param flags values given on the command line, by configuration key
 * @throws RingfenceError, exit code 3
 */
export function loadConfig(options: {
  file?: string | undefined;
  flags?: Partial<Record<Flag, string | undefined>>;
  environment?: Record<string, string | undefined>;
}): Config {
  const environment = options.environment ?? process.env;
  let merged: Record<string, unknown> = { ...DEFAULTS };
  const file = options.file ?? environment['RINGFENCE_CONFIG'];
  if (file !== undefined) merged = { ...merged, ...readConfigFile(file) };
  for (const flag of FLAGS) {
    const fromEnvironment = environment[environmentName(flag)];
    const fromFlag = options.flags?.[flag];
    const given = fromFlag ?? fromEnvironment;
    if (given === undefined) continue;
    const where =
      fromFlag !== undefined
        ? `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
        : environmentName(flag);
    const numeric = typeof DEFAULTS[flag] === 'number';
    merged[flag] = numeric ? Number(given) : given;
    const error = checker.Check(merged)
      ? undefined
      : checker.Errors(merged).find((entry) => entry.instancePath === `/${flag}`);
    if (error !== undefined) {
      throw new RingfenceError({
        code: 'config.value',
        message: `${where}: '${given}' ${error.message}.`,
        hint: expectationOf(flag),
      });
    }
  }
  for (const value of Object.values(merged)) Object.freeze(value);
  return Object.freeze(merged) as Config;
}

/** What a flag takes, in words. */
function expectationOf(flag: Flag): string {
  const form: {
    type?: string;
    description?: string;
    enum?: readonly string[];
    minimum?: number;
    maximum?: number;
  } = configSchema.properties[flag];
  const { type, description = '', minimum, maximum } = form;
  if (form.enum !== undefined) return `${description} One of ${form.enum.join(', ')}.`;
  if (minimum === undefined) return description;
  const range = maximum === undefined ? `of ${minimum} or more` : `from ${minimum} to ${maximum}`;
  return `${description} A ${type === 'integer' ? 'whole number' : 'number'} ${range}.`;
}

function readConfigFile(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new RingfenceError({
      code: 'config.unreadable',
      message: `The configuration file ${file} cannot be read: ${(error as Error).message}.`,
      hint: 'Give an existing YAML file with --config.',
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const fail = (offset: number, message: string): never => {
    const { line, col } = lines.linePos(offset);
    throw new RingfenceError({
      code: 'config.invalid',
      message: `${file}:${line}:${col}: ${message}`,
      hint: `Known keys are ${Object.keys(DEFAULTS).join(', ')}.`,
    });
  };
  if (document.errors.length > 0) fail(document.errors[0]!.pos[0], document.errors[0]!.message);
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 20 }) ?? {};
  } catch (error) {
    return fail(0, (error as Error).message);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    return fail(0, 'expected keys and values');
  const values = content as Record<string, unknown>;
  if (!checker.Check({ ...DEFAULTS, ...values })) {
    for (const error of checker.Errors({ ...DEFAULTS, ...values })) {
      if (error.keyword === 'additionalProperties') continue;
      const path = error.instancePath.split('/').slice(1);
      const offset = offsetOf(document.contents as YamlNode | null, path);
      if (error.keyword === 'boolean')
        fail(
          offset,
          unknownName(path.join('.'), Object.keys(DEFAULTS)).replace('is not known here', 'is no configuration key'),
        );
      fail(offset, `'${path.join('.')}' ${error.message}`);
    }
  }
  return values;
}

/** Where the key (of an unknown one) or the value stands in the file. */
function offsetOf(root: YamlNode | null, path: readonly string[]): number {
  let node = root;
  let offset = 0;
  for (const part of path) {
    if (!isMap(node)) break;
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === part);
    if (pair === undefined) break;
    offset = (pair.key as YamlNode).range?.[0] ?? offset;
    node = pair.value as YamlNode | null;
  }
  return offset;
}

/** `HOST:PORT` in two parts. */
export function parseAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  if (colon < 0 || host === '' || !/^\d{1,5}$/.test(address.slice(colon + 1)) || port > 65_535) {
    throw new RingfenceError({
      code: 'config.address',
      message: `'${address}' is no HOST:PORT.`,
      hint: 'Write for example 127.0.0.1:8080; port 0 takes a free one.',
    });
  }
  return { host, port };
}
