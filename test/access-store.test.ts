import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AuditRow, chainHash, verifyChain } from '../src/access/audit.ts';
import { createNumberRefs, maskNumber, maskNumbers } from '../src/access/numbers.ts';
import { hashPassword, oneTimePassword, passwordMatches, passwordProblem } from '../src/access/password.ts';
import {
  type AccessStore,
  openAccessStore,
  SESSION_IDLE_MS,
  SESSION_LONGEST_MS,
  USERS_MAX,
} from '../src/access/store.ts';
import { grantProblem } from '../src/access/table.ts';
import { RingfenceError } from '../src/errors.ts';

const author = { who: { kind: 'command', id: 'test' } };
const HOUR_MS = 3_600_000;

describe('the access store', () => {
  let folder: string;
  let file: string;
  let at: number;
  let store: AccessStore;
  const now = () => at;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ringfence-access-'));
    file = join(folder, 'data/access.sqlite');
    at = Date.UTC(2026, 0, 1);
    store = openAccessStore(file, { now });
  });
  afterEach(() => {
    store.close();
    rmSync(folder, { recursive: true });
  });
  const addUser = (name = 'alice') =>
    store.addUser({ name, roles: ['analyst'], desks: ['fraud'], password: 'scrypt$x' }, author);
  const addKey = (expiresAt: number) =>
    store.addKey({ name: 'feed', scopes: ['usage:write'], desks: ['fraud'], numbers: 'masked', expiresAt }, author);

  it('can be read by its owner alone', () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  describe('where the file is damaged', () => {
    /** Users enough that the file has pages to damage. */
    const fill = async (): Promise<void> => {
      for (let n = 0; n < 300; n++) addUser(`person-${n}`);
      await store.keepCopy();
      store.close();
    };
    const damage = {
      'no database any more': () => writeFileSync(file, 'not a database, whatever it was before'),
      'a page of other bytes': () => {
        const bytes = readFileSync(file);
        bytes.fill(0xa5, 8 * 4096, 9 * 4096);
        writeFileSync(file, bytes);
      },
      'the end cut off': () => writeFileSync(file, readFileSync(file).subarray(0, 5 * 4096)),
      'a row that says nothing': () => {
        const db = new DatabaseSync(file);
        db.exec("UPDATE user SET roles = '[analyst' WHERE name = 'person-7'");
        db.close();
      },
      'no file where there was one': () => rmSync(file),
      'no bytes': () => truncateSync(file, 0),
    };
    it.each(Object.entries(damage))('%s is said, and the copy brings everything back', async (_what, hurt) => {
      await fill();
      const entries = 300;
      hurt();
      let said: RingfenceError | undefined;
      try {
        openAccessStore(file, { now });
      } catch (error) {
        said = error as RingfenceError;
      }
      expect(said).toBeInstanceOf(RingfenceError);
      expect(said?.code).toBe('access.damaged');
      expect(said?.message).toContain(file);
      expect(said?.hint).toContain(`cp ${file}.copy ${file}`);
      expect(said?.exitCode).toBe(3);
      for (const rest of ['-wal', '-shm']) rmSync(file + rest, { force: true });
      copyFileSync(`${file}.copy`, file);
      store = openAccessStore(file, { now });
      expect(store.users().length).toBe(300);
      expect(verifyChain(store.auditRows())).toMatchObject({ entries });
      expect(verifyChain(store.auditRows()).broken).toBeUndefined();
      expect(statSync(`${file}.copy`).mode & 0o777).toBe(0o600);
    });

    it('without a copy the sentence asks for a backup', () => {
      store.close();
      writeFileSync(file, 'nothing of use');
      let hint = '';
      try {
        openAccessStore(file, { now });
      } catch (error) {
        hint = (error as RingfenceError).hint;
      }
      expect(hint).toContain('Restore it from a backup.');
      rmSync(file);
      for (const rest of ['-wal', '-shm']) rmSync(file + rest, { force: true });
      store = openAccessStore(file, { now });
    });
  });

  it('knows no password, session or key itself', () => {
    addUser();
    const token = store.beginSession({ name: 'alice', provider: 'local' }, author);
    const { secret } = addKey(at + HOUR_MS);
    const db = new DatabaseSync(file, { readOnly: true });
    const all = ['user', 'key', 'session', 'audit', 'meta']
      .flatMap((table) => db.prepare(`SELECT * FROM ${table}`).all())
      .map((row) => JSON.stringify(row))
      .join('\n');
    db.close();
    expect(all).toContain('alice');
    expect(all).not.toContain(token);
    expect(all).not.toContain(secret.split('_').slice(2).join('_'));
  });

  it('asks for a sign-in from the first user on, and for ever', () => {
    expect(store.configured()).toBe(false);
    addUser();
    expect(store.configured()).toBe(true);
    store.changeUser('alice', { disabled: true }, author);
    const again = openAccessStore(file);
    expect(again.configured()).toBe(true);
    again.close();
  });

  it.each([
    ['at once', 0, true],
    ['in use until shortly before the end', 59 * 60_000, true],
    ['left alone for too long', SESSION_IDLE_MS + 61_000, false],
  ])('a session %s', (_name, pauseMs, holds) => {
    addUser();
    const token = store.beginSession({ name: 'alice', provider: 'local' }, author);
    at += pauseMs;
    expect(store.principalOfSession(token) !== undefined).toBe(holds);
  });

  it('a session ends after half a day however much it is used', () => {
    addUser();
    const token = store.beginSession({ name: 'alice', provider: 'local' }, author);
    const end = at + SESSION_LONGEST_MS;
    for (; at < end; at += 30 * 60_000) expect(store.principalOfSession(token)?.id).toBe('alice');
    expect(store.principalOfSession(token)).toBeUndefined();
  });

  it('ten sessions of a person hold, the eleventh ends the one longest unused', () => {
    addUser();
    const tokens = Array.from({ length: 11 }, () => {
      at += 1_000;
      return store.beginSession({ name: 'alice', provider: 'local' }, author);
    });
    expect(tokens.map((token) => store.principalOfSession(token) !== undefined)).toEqual([
      false,
      ...new Array(10).fill(true),
    ]);
  });

  it('a change by another process holds from the next look on', () => {
    addUser();
    const token = store.beginSession({ name: 'alice', provider: 'local' }, author);
    const before = store.version();
    const command = openAccessStore(file, { now });
    command.changeUser('alice', { roles: ['lead'], desks: ['arrears'] }, author);
    expect(store.version()).not.toBe(before);
    expect(store.principalOfSession(token)).toMatchObject({ roles: ['lead'], desks: ['arrears'], numbers: 'full' });
    command.changeUser('alice', { disabled: true }, author);
    expect(store.principalOfSession(token)).toBeUndefined();
    command.close();
  });

  it('ends all sessions of a person at once, wherever they signed in', () => {
    addUser();
    const tokens = [
      store.beginSession({ name: 'oidc:lin', provider: 'oidc', roles: ['analyst'], desks: ['fraud'] }, author),
      store.beginSession({ name: 'oidc:lin', provider: 'oidc', roles: ['analyst'], desks: ['fraud'] }, author),
      store.beginSession({ name: 'alice', provider: 'local' }, author),
    ];
    const held = tokens.map((token) => store.principalOfSession(token)!);
    expect(store.endSessionsOf('oidc:lin', author)).toBe(2);
    expect(tokens.map((token) => store.principalOfSession(token)?.id)).toEqual([undefined, undefined, 'alice']);
    expect(held.map((principal) => store.renew(principal)?.id)).toEqual([undefined, undefined, 'alice']);
  });

  it('a new password ends the sessions', () => {
    addUser();
    const token = store.beginSession({ name: 'alice', provider: 'local' }, author);
    store.changeUser('alice', { password: { hash: 'scrypt$y', mustChange: true } }, author);
    expect(store.principalOfSession(token)).toBeUndefined();
  });

  it('a key holds until it expires or is revoked', () => {
    const { secret, key } = addKey(at + HOUR_MS);
    expect(store.principalOfKey(secret)).toMatchObject({ kind: 'key', id: key.id, scopes: ['usage:write'] });
    expect(store.principalOfKey(`${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`)).toBeUndefined();
    for (const wrong of ['', 'rf_', key.id, `${secret}x`, "' OR 1=1 --"])
      expect(store.principalOfKey(wrong)).toBeUndefined();
    at += HOUR_MS;
    expect(store.principalOfKey(secret)).toBeUndefined();
    at -= 1;
    expect(store.principalOfKey(secret)).toBeDefined();
    store.revokeKey(key.id, author);
    expect(store.principalOfKey(secret)).toBeUndefined();
    expect(() => store.revokeKey(key.id, author)).toThrow(/no key that is in force/);
  });

  it('refuses what cannot be: the same name twice, nobody, too many', () => {
    addUser();
    expect(() => addUser()).toThrow(/already/);
    expect(() => store.changeUser('bob', { disabled: true }, author)).toThrow(/no user/);
    const db = new DatabaseSync(file);
    const insert = db.prepare("INSERT INTO user VALUES (?, '[]', '[]', '', 0, 0, NULL)");
    db.exec('BEGIN');
    for (let index = 1; index < USERS_MAX; index++) insert.run(`user-${index}`);
    db.exec('COMMIT');
    db.close();
    expect(() => addUser('one-too-many')).toThrow(/most there can be/);
  });

  it('is never made anew by itself where it is damaged', () => {
    store.close();
    rmSync(`${file}-wal`, { force: true });
    const db = new DatabaseSync(file);
    db.exec('PRAGMA user_version = 99');
    db.close();
    expect(() => openAccessStore(file)).toThrow(/form 99/);
    store = openAccessStore(':memory:');
  });

  describe('the audit log', () => {
    const rowsOf = () => [...store.auditRows()];
    const fill = () => {
      addUser();
      store.audit(
        Array.from({ length: 5 }, (_, index) => ({
          at: new Date(at).toISOString(),
          ...author,
          action: 'putRule',
          object: { id: `rule-${index}` },
          result: 'done' as const,
          reason: 'line\r\nbreak {"who":"mallory"}',
        })),
      );
    };

    it('is written with the change, or neither is', () => {
      addUser();
      expect(rowsOf().map(({ text }) => JSON.parse(text).action)).toEqual(['users.add']);
      expect(() => addUser()).toThrow();
      expect(rowsOf()).toHaveLength(1);
    });

    it('holds as it was written', () => {
      fill();
      expect(verifyChain(rowsOf())).toMatchObject({ entries: 6 });
      expect(verifyChain(rowsOf()).broken).toBeUndefined();
      // One entry a line, whatever somebody writes into it.
      for (const { text } of rowsOf()) expect(text).not.toMatch(/[\r\n]/);
    });

    it('goes on across processes', () => {
      fill();
      const other = openAccessStore(file, { now });
      other.addUser({ name: 'bob', roles: ['sre'], desks: ['fraud'], password: 'x' }, author);
      other.close();
      addUser('carol');
      expect(verifyChain(rowsOf())).toMatchObject({ entries: 8 });
      expect(verifyChain(rowsOf()).broken).toBeUndefined();
    });

    it('cannot be changed by a plain statement', () => {
      fill();
      const db = new DatabaseSync(file);
      expect(() => db.exec("UPDATE audit SET text = '{}' WHERE seq = 2")).toThrow(/append-only/);
      expect(() => db.exec('DELETE FROM audit WHERE seq = 6')).toThrow(/append-only/);
      db.close();
    });

    const change = (rows: AuditRow[], seq: number, edit: (row: AuditRow) => AuditRow | undefined): AuditRow[] =>
      rows.flatMap((row) => (row.seq === seq ? (edit(row) ?? []) : row));
    it.each<[string, number, (rows: AuditRow[]) => AuditRow[]]>([
      [
        'a changed entry',
        3,
        (rows) => change(rows, 3, (row) => ({ ...row, text: row.text.replace('done', 'failed') })),
      ],
      ['a changed hash', 3, (rows) => change(rows, 3, (row) => ({ ...row, hash: '0'.repeat(64) }))],
      [
        'a changed entry with a hash of its own',
        4,
        (rows) =>
          change(rows, 3, (row) => {
            const text = row.text.replace('done', 'failed');
            return { ...row, text, hash: chainHash(rows[1]!.hash, 3, text) };
          }),
      ],
      ['a removed entry', 3, (rows) => change(rows, 3, () => undefined)],
      ['a removed first entry', 1, (rows) => change(rows, 1, () => undefined)],
      [
        'a removed entry, closed up',
        3,
        (rows) => change(rows, 3, () => undefined).map((row, i) => ({ ...row, seq: i + 1 })),
      ],
      [
        'two entries changed over',
        2,
        ([one, two, three, ...rest]) => [one!, { ...three!, seq: 2 }, { ...two!, seq: 3 }, ...rest],
      ],
    ])('%s breaks the chain at its place', (_name, brokenAt, edit) => {
      fill();
      expect(verifyChain(edit(rowsOf())).broken?.seq).toBe(brokenAt);
    });
  });
});

describe('passwords', () => {
  it('match themselves and nothing else, in every spelling of Unicode', async () => {
    const hash = await hashPassword('Caf\u00e9 am Dom, 2026');
    expect(await passwordMatches('Cafe\u0301 am Dom, 2026', hash)).toBe(true);
    expect(await passwordMatches('Cafe am Dom, 2026', hash)).toBe(false);
    expect(hash).toMatch(/^scrypt\$32768\$8\$3\$/);
    expect(await hashPassword('Caf\u00e9 am Dom, 2026')).not.toBe(hash);
  });

  it.each([
    ['short', 'at least'],
    ['aaaaaaaaaaaaaaaa', 'more different'],
    ['my name is alice!', 'the name'],
    ['x'.repeat(300), 'at most'],
    ['correct horse battery', undefined],
    ['密码要足够长才算好密码吧对吗', undefined],
  ])('%s', (password, problem) => {
    const found = passwordProblem(password, 'alice');
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(problem);
  });

  it('for one time are long, plain and never the same', () => {
    const made = Array.from({ length: 100 }, oneTimePassword);
    expect(new Set(made).size).toBe(100);
    for (const password of made) {
      expect(password).toMatch(/^([a-zA-Z2-9]{5}-){3}[a-zA-Z2-9]{5}$/);
      expect(passwordProblem(password, 'alice')).toBeUndefined();
    }
  });
});

describe('roles and desks', () => {
  it.each([
    [[], ['fraud'], /role/],
    [['analyst'], [], /desk/],
    [['retention'], ['retention'], undefined],
    [['retention'], ['fraud', 'retention'], /alone, not on fraud/],
    [['retention', 'lead'], ['arrears'], /alone, not on arrears/],
    [['lead', 'admin'], ['fraud', 'arrears', 'retention'], undefined],
  ] as const)('%j on %j', (roles, desks, problem) => {
    const found = grantProblem(roles, desks);
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(problem);
  });
});

describe('numbers', () => {
  const refs = createNumberRefs(Buffer.alloc(32, 7));
  const alert = {
    alertId: '12345678901234567890123456789012',
    servedMsisdn: '8613800001234',
    key: { type: 'subscriber', value: '8613800001234' },
    eventTime: 1_700_000_000_000,
    triggerRecordId: 'timer:1700000000000',
    reason: { en: '42 calls to 8613900005678, 12345678.25 paid', 'zh-CN': '呼叫8613900005678共42次' },
    evidence: [{ feature: 'target', value: '8613900005678', threshold: 1_234_567_890 }],
  };

  it.each([
    ['8613800001234', '86138****1234'],
    ['13800001234', '138****1234'],
    ['460001234567890', '46000****7890'],
    ['1234567', '****67'],
    ['12345', '****45'],
  ])('%s is shown as %s', (number, masked) => expect(maskNumber(number)).toBe(masked));

  it('are masked wherever they stand, and names and amounts are not', () => {
    expect(maskNumbers(alert, 'masked', refs)).toEqual({
      ...alert,
      servedMsisdn: '86138****1234',
      subscriberRef: refs.refOf('8613800001234'),
      key: { type: 'subscriber', value: '86138****1234' },
      reason: { en: '42 calls to 86139****5678, 12345678.25 paid', 'zh-CN': '呼叫86139****5678共42次' },
      evidence: [{ feature: 'target', value: '86139****5678', threshold: 1_234_567_890 }],
    });
    expect(maskNumbers(alert, 'full', refs)).toBe(alert);
  });

  it('of others are nothing to those who see their own subscribers only', () => {
    const seen = maskNumbers(alert, 'own', refs);
    expect(seen.key.value).toBe('86138****1234');
    expect(seen.reason.en).toBe('42 calls to ****, 12345678.25 paid');
    expect(seen.evidence[0]!.value).toBe('****');
    const revealed = maskNumbers(alert, 'own', refs, { showServed: true });
    expect(revealed.key.value).toBe('8613800001234');
    expect(revealed.evidence[0]!.value).toBe('****');
  });

  it('in original bytes are masked in text and left out where they are no text', () => {
    const bytes = (text: string | Uint8Array) => ({ base64: Buffer.from(text).toString('base64') });
    expect(maskNumbers(bytes('{"a":"8613800001234"}'), 'masked', refs)).toEqual(bytes('{"a":"86138****1234"}'));
    expect(maskNumbers(bytes(new Uint8Array([0xc1, 0xff, 0xfe])), 'masked', refs)).toEqual({ base64: '' });
  });

  it('nested beyond all measure are left out', () => {
    let deep: unknown = '8613800001234';
    for (let level = 0; level < 10_000; level++) deep = { deep };
    expect(JSON.stringify(maskNumbers({ deep }, 'masked', refs))).not.toContain('8613800001234');
  });

  it('never get out, whatever an answer looks like', () => {
    const number = fc.stringMatching(/^[1-9][0-9]{10,14}$/);
    // Letters, marks and words that could stand around a number; digits and a decimal point would make it another one.
    const around = fc.stringMatching(/^[^0-9.]{0,6}$/);
    fc.assert(
      fc.property(
        number,
        around,
        around,
        fc.constantFrom('masked' as const, 'own' as const),
        (digits, before, after, view) => {
          const text = `${before}${digits}${after}`;
          const answer = { note: text, list: [text, { deep: text, [text]: 1 }], servedMsisdn: digits };
          expect(JSON.stringify(maskNumbers(answer, view, refs))).not.toContain(digits);
        },
      ),
    );
  });

  it('have one reference each, which only this installation can read', () => {
    const others = createNumberRefs(Buffer.alloc(32, 8));
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{5,15}$/), fc.nat(), (number, place) => {
        const ref = refs.refOf(number);
        expect(refs.refOf(number)).toBe(ref);
        expect(refs.numberOf(ref)).toBe(number);
        expect(others.numberOf(ref)).toBeUndefined();
        const at = 2 + (place % (ref.length - 3));
        const forged = `${ref.slice(0, at)}${ref[at] === 'A' ? 'B' : 'A'}${ref.slice(at + 1)}`;
        expect(refs.numberOf(forged)).toBeUndefined();
      }),
    );
  });
});
