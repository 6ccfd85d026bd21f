import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Config, DEFAULTS, FLAGS, type Flag, loadConfig, parseAddress } from '../src/config.ts';
import { RingfenceError } from '../src/errors.ts';
import { run, temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
let files = 0;
const fileWith = (text: string): string => {
  const path = join(folder.path, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
};
const load = (
  text: string | undefined,
  flags: Partial<Record<Flag, string>> = {},
  environment: Record<string, string> = {},
): Config => loadConfig({ file: text === undefined ? undefined : fileWith(text), flags, environment });
const errorOf = (make: () => unknown): RingfenceError => {
  try {
    make();
  } catch (error) {
    if (error instanceof RingfenceError) return error;
    throw error;
  }
  return expect.fail('it was accepted');
};

describe('the configuration', () => {
  test('without anything is the default, and is frozen', () => {
    const config = load(undefined);
    expect(config).toEqual(DEFAULTS);
    expect(Object.isFrozen(config) && Object.isFrozen(config.retentionDays) && Object.isFrozen(config.homePlmns)).toBe(
      true,
    );
  });

  test.each<[string | undefined, string | undefined, string | undefined, string]>([
    // file, environment, flag -> what counts
    [undefined, undefined, undefined, DEFAULTS.nats],
    ['nats://file', undefined, undefined, 'nats://file'],
    ['nats://file', 'nats://env', undefined, 'nats://env'],
    [undefined, 'nats://env', undefined, 'nats://env'],
    ['nats://file', 'nats://env', 'nats://flag', 'nats://flag'],
    ['nats://file', undefined, 'nats://flag', 'nats://flag'],
  ])('file %s, environment %s, flag %s: %s counts', (file, environment, flag, expected) => {
    const config = load(
      file === undefined ? undefined : `nats: ${file}\n`,
      flag === undefined ? {} : { nats: flag },
      environment === undefined ? {} : { RINGFENCE_NATS: environment },
    );
    expect(config.nats).toBe(expected);
  });

  test('every flag has a name in the environment', () => {
    const values: Record<Flag, string> = {
      nats: 'nats://n',
      rules: 'r',
      data: 'd',
      listen: '127.0.0.1:1',
      opsListen: '127.0.0.1:2',
      logLevel: 'warn',
      timeZone: 'Asia/Shanghai',
      partitions: '4',
      checkpointIntervalSec: '2.5',
      residentKeysMax: '250000',
      residentBytesMax: '0',
    };
    const names: Record<Flag, string> = {
      nats: 'NATS',
      rules: 'RULES',
      data: 'DATA',
      listen: 'LISTEN',
      opsListen: 'OPS_LISTEN',
      logLevel: 'LOG_LEVEL',
      timeZone: 'TIME_ZONE',
      partitions: 'PARTITIONS',
      checkpointIntervalSec: 'CHECKPOINT_INTERVAL_SEC',
      residentKeysMax: 'RESIDENT_KEYS_MAX',
      residentBytesMax: 'RESIDENT_BYTES_MAX',
    };
    const environment = Object.fromEntries(FLAGS.map((flag) => [`RINGFENCE_${names[flag]}`, values[flag]]));
    expect(load(undefined, {}, environment)).toMatchObject({
      ...values,
      partitions: 4,
      checkpointIntervalSec: 2.5,
      residentKeysMax: 250_000,
      residentBytesMax: 0,
    });
    expect(load(undefined, {}, { RINGFENCE_CONFIG: fileWith('logLevel: error\n') }).logLevel).toBe('error');
  });

  test('a file may set everything', () => {
    const text = `homePlmns: ['46000', '460001']
latenessSec: 0
duplicateHorizonRecords: 2048
allowDataLoss: true
source: urn:x
allowedOrigins: [https://console.example]
retentionDays: { usage: 1, alerts: 2, deadletter: 0.5 }
`;
    expect(load(text)).toMatchObject({
      homePlmns: ['46000', '460001'],
      latenessSec: 0,
      allowDataLoss: true,
      retentionDays: { usage: 1, alerts: 2, deadletter: 0.5 },
    });
    expect(load('# nothing but a comment\n')).toEqual(DEFAULTS);
  });
});

describe('a wrong configuration file', () => {
  test.each([
    // ¦ marks the place that the message must name
    ['nats: nats://n\n¦partitons: 2\n', "'partitons' is no configuration key; did you mean 'partitions'?"],
    ['¦colour: red\n', "'colour' is no configuration key"],
    ['¦constructor: red\n', "'constructor' is no configuration key"],
    [
      'retentionDays: { ¦usages: 3, usage: 1, alerts: 2, deadletter: 3 }\n',
      "'retentionDays.usages' is no configuration key",
    ],
    ['retentionDays:\n  usage: 1\n  alerts: 2\n  ¦deadletter: never\n', "'retentionDays.deadletter' must be number"],
    ['¦partitions: 0\n', "'partitions' must be >= 1"],
    ['¦partitions: many\n', "'partitions' must be integer"],
    ['¦logLevel: loud\n', "'logLevel' must be equal to one of the allowed values"],
    ['homePlmns:\n  - 460\n', "'homePlmns.0' must be string", '¦homePlmns'],
    ['nats: ¦[\n', 'Flow sequence in block collection must be sufficiently indented and end with a ]', ''],
    ['nats: a\n¦nats: b\n', 'Map keys must be unique'],
    ['¦- nats\n', 'expected keys and values'],
    ['¦nats: *n\n', 'Unresolved alias (the anchor must be set before the alias): n'],
    [`¦${'['.repeat(20_000)}`, 'Maximum call stack size exceeded', ''],
  ])('%j: %s', (marked, message, at?: string) => {
    const text = marked.replace('¦', '');
    const file = fileWith(text);
    const error = errorOf(() => loadConfig({ file, environment: {} }));
    const place = at ?? marked;
    const before = place.slice(0, place.indexOf('¦')).split('\n');
    const where = at === '' ? '' : `${before.length}:${before.at(-1)!.length + 1}: `;
    expect(error.message).toContain(`${file}:${where}`);
    expect(error.message.endsWith(message)).toBe(true);
    expect([error.code, error.exitCode]).toEqual(['config.invalid', 3]);
    expect(error.hint).toContain('Known keys are nats, rules');
  });

  test('that is not there is named', () => {
    expect(errorOf(() => loadConfig({ file: join(folder.path, 'none.yaml'), environment: {} }))).toMatchObject({
      code: 'config.unreadable',
      exitCode: 3,
      message: expect.stringContaining('none.yaml'),
    });
  });
});

describe('a wrong value', () => {
  test.each<[flag: Flag, value: string, message: string, hint?: string]>([
    [
      'partitions',
      'many',
      "--partitions: 'many' must be integer.",
      'Partitions of the usage stream. A whole number from 1 to 256.',
    ],
    ['partitions', '', "--partitions: '' must be >= 1."],
    ['partitions', '257', "--partitions: '257' must be <= 256."],
    [
      'checkpointIntervalSec',
      '0',
      "--checkpoint-interval-sec: '0' must be >= 0.1.",
      'Seconds between two checkpoints. A number from 0.1 to 3600.',
    ],
    [
      'residentKeysMax',
      '-1',
      "--resident-keys-max: '-1' must be >= 0.",
      expect.stringMatching(/ A whole number of 0 or more\.$/),
    ],
    ['checkpointIntervalSec', 'Infinity', "--checkpoint-interval-sec: 'Infinity' must be number."],
    [
      'logLevel',
      'loud',
      "--log-level: 'loud' must be equal to one of the allowed values.",
      expect.stringMatching(/^Least level of a line in the log\. One of .*debug, info, warn.*\.$/),
    ],
    [
      'nats',
      '',
      "--nats: '' must not have fewer than 1 characters.",
      'URL of the NATS server, or several with commas.',
    ],
  ])('of --%s: %j', (flag, value, message, hint = expect.stringMatching(/^[A-Z][^{}]+\.$/)) => {
    expect(errorOf(() => load(undefined, { [flag]: value }))).toMatchObject({
      code: 'config.value',
      exitCode: 3,
      message,
      hint,
    });
  });

  test('in the environment is named as it is written there', () => {
    expect(errorOf(() => load(undefined, {}, { RINGFENCE_PARTITIONS: 'x' })).message).toBe(
      "RINGFENCE_PARTITIONS: 'x' must be integer.",
    );
  });

  test.each(['', ':', '8080', 'host', 'host:', ':80', 'host:x', 'host:65536', 'host:-1', 'host:1.5'])(
    'of an address: %j',
    (address) => {
      expect(errorOf(() => parseAddress(address))).toMatchObject({ code: 'config.address', exitCode: 3 });
    },
  );

  test.each([
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['[::1]:0', '::1', 0],
    ['localhost:65535', 'localhost', 65_535],
  ])('%s is an address', (address, host, port) => {
    expect(parseAddress(address)).toEqual({ host, port });
  });
});

describe('serve refuses to start, with exit code 3, where', () => {
  test('the file is wrong, and says where', async () => {
    const file = fileWith('nats: nats://127.0.0.1:1\nlogLevels: debug\n');
    const { code, stdout, stderr } = await run(['serve', '--config', file]);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr.split('\n')[0]).toBe(`${file}:2:1: 'logLevels' is no configuration key; did you mean 'logLevel'?`);
  });

  test('a flag is unknown, or has no value, or the zone is none', async () => {
    const [unknown, without, zone, command] = await Promise.all([
      run(['serve', '--natz', 'x']),
      run(['serve', '--nats']),
      run(['serve', '--time-zone', 'Mars/Olympus']),
      run(['serv']),
    ]);
    expect([unknown, without, zone, command].map(({ code }) => code)).toEqual([3, 3, 3, 3]);
    expect(unknown!.stderr).toContain("unknown option '--natz'");
    expect(zone!.stderr).toContain('Mars/Olympus');
    expect(command!.stderr).toContain("unknown command 'serv'");
  });
});
