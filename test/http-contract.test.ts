/**
 * The running server against its own OpenAPI document, by Schemathesis: requests are drawn from the document, fitting and not
 * fitting, and every answer is checked against it. Schemathesis is a Python program; `npm run setup` brings it where there is a
 * Python with venv, and RINGFENCE_SCHEMATHESIS names one that is elsewhere. RINGFENCE_CONTRACT=whole draws many times more.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCOPES } from '../src/access/grants.ts';
import { hashPassword } from '../src/access/password.ts';
import { type AccessStore, openAccessStore } from '../src/access/store.ts';
import { DESKS } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import { alertWith, type Bench, type RunningGateway, startBench } from './http-gateway.ts';

const isWhole = process.env['RINGFENCE_CONTRACT'] === 'whole';
const LIMIT_MS = isWhole ? 1_800_000 : 240_000;
const author = { who: { kind: 'command', id: 'test' } };

const schemathesis = [
  process.env['RINGFENCE_SCHEMATHESIS'] ?? '',
  join(projectFolder, '.ringfence/schemathesis/bin/schemathesis'),
  ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'schemathesis')),
].find((path) => path !== '' && existsSync(path));
if (schemathesis === undefined) {
  console.warn(
    'No Schemathesis on this machine: the contract test is skipped. Run `npm run setup` where there is a Python.',
  );
}

/**
 * Checks that hold here. Left out are the two that take whatever a schema cannot say for an error: a cursor that fits its pattern and
 * is of no page, a record from the future, a rule that is text and no rule.
 */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
  'ignored_auth',
];

describe.skipIf(schemathesis === undefined)('the contract (skipped where Schemathesis is not found)', () => {
  let bench: Bench;
  let running: RunningGateway;
  let store: AccessStore;
  let folder: string;
  let key: string;
  let session: string;
  beforeAll(async () => {
    bench = await startBench();
    folder = await mkdtemp(join(tmpdir(), 'ringfence-contract-'));
    store = openAccessStore(':memory:');
    key = store.addKey(
      { name: 'all', scopes: [...SCOPES], desks: [...DESKS], numbers: 'full', expiresAt: Date.now() + 86_400_000 },
      author,
    ).secret;
    const password = await hashPassword('a long enough sentence');
    store.addUser({ name: 'ada', roles: ['admin', 'lead'], desks: [...DESKS], password }, author);
    store.changeUser('ada', { password: { hash: password, mustChange: false } }, author);
    session = store.beginSession({ name: 'ada', provider: 'local' }, author);
    for (const desk of DESKS) await bench.publishAlert(alertWith({ desk, alertId: `${desk}`.padEnd(32, '0') }));
    running = await bench.start({ access: store });
  });
  afterAll(async () => {
    await bench?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** @returns exit code and what was said */
  const run = (args: string[]): Promise<{ code: number | null; said: string }> =>
    new Promise((resolve, reject) => {
      const child = spawn(
        schemathesis!,
        [
          'run',
          `${running.url}/openapi.json`,
          ...['--checks', CHECKS.join(',')],
          ...['--phases', isWhole ? 'examples,coverage,fuzzing' : 'examples,fuzzing'],
          ...['--max-examples', isWhole ? '100' : '15'],
          ...['--seed', '1', '--no-color', '--continue-on-failure', '--warnings', 'off'],
          ...['--suppress-health-check', 'all', '--generation-database', 'none'],
          ...args,
        ],
        { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
      );
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, said: said.slice(-20_000) }));
    });
  /** For people alone: no key may, so they are asked with a session. The WebSocket has a document of its own. */
  const PEOPLE = ['/v1/users', '/v1/keys', '/reveal', '/records[.]csv', '/v1/audit'];

  it(
    'is kept by every operation that a key may use',
    async () => {
      const { code, said } = await run([
        ...['--header', `Authorization: Bearer ${key}`],
        ...['--exclude-path-regex', [...PEOPLE, '/v1/session', '/v1/alerts/live'].join('|')],
      ]);
      expect(said).toContain('API Operations');
      expect(code, said).toBe(0);
    },
    LIMIT_MS,
  );

  it(
    'is kept by what only people may use',
    async () => {
      const { code, said } = await run([
        ...['--header', `Cookie: ringfence_session=${session}`],
        ...['--header', 'ringfence-request: 1'],
        ...['--include-path-regex', PEOPLE.join('|')],
      ]);
      expect(said).toContain('API Operations');
      expect(code, said).toBe(0);
    },
    LIMIT_MS,
  );
});
