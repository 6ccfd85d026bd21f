/**
 * Users, keys, sessions and the audit log, in one SQLite file of the data folder that only its owner may read. `serve` and
 * the commands `users`, `keys` and `audit` open it side by side, so a change holds from the next request on; a change and
 * its audit entry are one transaction.
 *
 * Of what somebody could sign in with there are only hashes here: scrypt for passwords, which people choose, and SHA-256 for
 * sessions and keys, which are 256 bits of chance. Users and keys are never removed but disabled and revoked, so that the
 * names in the audit log keep their meaning, and so that an installation that has once asked for a sign-in always does.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { RingfenceError } from '../errors.ts';
import { AUDIT_TABLE, type AuditEntry, type AuditRow, openAuditLog } from './audit.ts';
import { ROLES, type Role, SCOPES, type Scope } from './grants.ts';
import { numberViewOf, type Principal } from './table.ts';

export const USERS_MAX = 1_000;
export const KEYS_MAX = 1_000;
/** Browsers in which one person is signed in; the one longest unused goes. */
const SESSIONS_PER_USER_MAX = 10;
const SESSIONS_MAX = 10_000;
export const SESSION_LONGEST_MS = 12 * 3_600_000;
/** Of a person whom an identity provider vouches for: what it takes back there, is taken back here within this time. */
export const SESSION_OIDC_LONGEST_MS = 2 * 3_600_000;
export const SESSION_IDLE_MS = 60 * 60_000;
/** Use of a session is written down at most this often. */
const SEEN_STEP_MS = 60_000;
const SECRET_BYTES = 32;
export const USER_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
export const KEY_LIFE_DAYS_MAX = 366;
export const KEY_NAME_CHARACTERS_MAX = 64;
/** Another process that writes is waited for, and the engine with us; each write is one transaction of milliseconds. */
const LOCK_WAIT_MS = 1_000;
/** Counts up when the tables change. */
const FORM = 1;

const TABLES = `
  CREATE TABLE user (
    name TEXT PRIMARY KEY,
    roles TEXT NOT NULL,
    desks TEXT NOT NULL,
    password TEXT NOT NULL,
    must_change INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
  ) WITHOUT ROWID;
  CREATE TABLE key (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    desks TEXT NOT NULL,
    numbers TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
  ) WITHOUT ROWID;
  -- Of a person whom an identity provider vouches for, roles and desks stand here; a local user's are looked up.
  CREATE TABLE session (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    roles TEXT NOT NULL,
    desks TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX session_of_user ON session (provider, name, seen_at);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  ${AUDIT_TABLE}
  PRAGMA user_version = ${FORM};
`;

export interface User {
  name: string;
  roles: Role[];
  desks: Desk[];
  mustChangePassword: boolean;
  createdAt: number;
  disabledAt: number | null;
}

export interface Key {
  id: string;
  name: string;
  scopes: Scope[];
  desks: Desk[];
  numbers: 'full' | 'masked' | 'own';
  createdAt: number;
  expiresAt: number;
  revokedAt: number | null;
}

/** Who does something, for the audit entry that goes with it. */
export type Author = Pick<AuditEntry, 'who' | 'ip' | 'requestId'>;

export interface AccessStore {
  /** True once there has ever been a user or a key: from then on somebody has to sign in. */
  configured(): boolean;
  /** Changes whenever anything here may have changed, by this process or another. */
  version(): number;
  users(): User[];
  user(name: string): User | undefined;
  /** The stored hash; undefined where the user does not exist or is disabled. */
  passwordOf(name: string): string | undefined;
  addUser(user: Pick<User, 'name' | 'roles' | 'desks'> & { password: string }, author: Author): void;
  /** Changes what is given; ends the person's sessions where the password or the right to sign in changes. */
  changeUser(
    name: string,
    change: { roles?: Role[]; desks?: Desk[]; password?: { hash: string; mustChange: boolean }; disabled?: boolean },
    author: Author,
  ): void;
  keys(): Key[];
  /** @returns the key itself, which is shown once and stored nowhere. */
  addKey(
    key: Pick<Key, 'name' | 'scopes' | 'desks' | 'numbers' | 'expiresAt'>,
    author: Author,
  ): { key: Key; secret: string };
  revokeKey(id: string, author: Author): void;
  /** @returns the token of the new session. */
  beginSession(
    person: { name: string; provider: 'local' | 'oidc'; subject?: string; roles?: Role[]; desks?: Desk[] },
    author: Author,
  ): string;
  endSession(token: string): void;
  /** Ends every session of a person, by the name that the audit log has. @returns how many */
  endSessionsOf(name: string, author: Author): number;
  /** Whom a session token or a key stands for; undefined where it is unknown, expired, revoked or its owner disabled. */
  principalOfSession(token: string): Principal | undefined;
  principalOfKey(secret: string): Principal | undefined;
  /** The same again, for a connection that lasts: what the principal may do now. */
  renew(principal: Principal): Principal | undefined;
  /** @throws an error of SQLite (`isStoreError`) where the disk is full, or another process does not let go */
  audit(entries: readonly AuditEntry[]): void;
  /** Writes something that means nothing. @throws as `audit` does */
  probe(): void;
  auditPage(before: number, limit: number): AuditRow[];
  /** Every entry from the first one on. */
  auditRows(afterSeq?: number): Iterable<AuditRow>;
  /** A secret of this installation that is made at first use. */
  secret(name: string): Buffer;
  now(): number;
  /** Writes a copy beside the file, from which it can be restored: a damaged file is found, and never made anew by itself. */
  keepCopy(): Promise<void>;
  close(): void;
}

/** Where that copy lies. */
const copyOf = (path: string): string => `${path}.copy`;

const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('base64url');
const KEY_FORM = /^rf_([A-Za-z0-9]{12})_[A-Za-z0-9_-]{43}$/;

/**
 * Opens or creates the file.
 * @param path file, or `:memory:`
 * @param options.now epoch ms; tests let keys and sessions grow old with it
 * @throws RingfenceError `access.damaged` or `access.unreadable`, exit code 3
 */
export function openAccessStore(path: string, options: { now?: () => number } = {}): AccessStore {
  const now = options.now ?? Date.now;
  const db = openDatabase(path);
  const log = openAuditLog(db);
  let ownChanges = 0;

  const dataVersion = db.prepare('PRAGMA data_version');
  const anyone = db.prepare('SELECT EXISTS (SELECT 1 FROM user) OR EXISTS (SELECT 1 FROM key) AS found');
  const userByName = db.prepare('SELECT * FROM user WHERE name = ?');
  const keyByHash = db.prepare('SELECT * FROM key WHERE hash = ?');
  const sessionByHash = db.prepare('SELECT * FROM session WHERE hash = ?');
  const touchSession = db.prepare('UPDATE session SET seen_at = ? WHERE hash = ?');
  const dropSession = db.prepare('DELETE FROM session WHERE hash = ?');
  const dropSessionsOf = db.prepare('DELETE FROM session WHERE provider = ? AND name = ?');
  let wasConfigured = false;

  const write = <T>(change: () => T): T => {
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = change();
      db.exec('COMMIT');
      ownChanges += 1;
      return result;
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  };
  const entry = (author: Author, action: string, object: Record<string, string>, after?: unknown, before?: unknown) =>
    log.append([
      {
        at: new Date(now()).toISOString(),
        ...author,
        action,
        object,
        result: 'done',
        ...(before !== undefined && { before }),
        ...(after !== undefined && { after }),
      },
    ]);

  const user = (name: string): User | undefined => {
    const row = userByName.get(name);
    return row && userOf(row);
  };
  const wanted = (name: string): User => {
    const found = user(name);
    if (found === undefined) throw unknown('user', name);
    return found;
  };

  const principalOfSessionHash = (hash: string): Principal | undefined => {
    const row = sessionByHash.get(hash);
    if (row === undefined) return undefined;
    const at = now();
    const expiresAt = Math.min(
      Number(row['created_at']) + (row['provider'] === 'local' ? SESSION_LONGEST_MS : SESSION_OIDC_LONGEST_MS),
      Number(row['seen_at']) + SEEN_STEP_MS + SESSION_IDLE_MS,
    );
    if (at >= expiresAt) return undefined;
    const name = String(row['name']);
    let roles = listOf(row['roles'], ROLES);
    let desks = listOf(row['desks'], DESKS);
    let mustChangePassword = false;
    if (row['provider'] === 'local') {
      const owner = user(name);
      if (owner === undefined || owner.disabledAt !== null) return undefined;
      ({ roles, desks, mustChangePassword } = owner);
    }
    if (at - Number(row['seen_at']) >= SEEN_STEP_MS) {
      try {
        touchSession.run(at, hash);
      } catch (error) {
        // On a full disk a session grows no older than it is, and nobody has to be turned away for it.
        if (!isStoreError(error)) throw error;
      }
    }
    return {
      kind: 'user',
      id: name,
      roles,
      scopes: [],
      desks,
      numbers: numberViewOf(roles),
      expiresAt,
      credential: hash,
      mustChangePassword,
    };
  };
  const principalOfKeyHash = (hash: string): Principal | undefined => {
    const row = keyByHash.get(hash);
    if (row === undefined) return undefined;
    const key = keyOf(row);
    if (key.revokedAt !== null || now() >= key.expiresAt) return undefined;
    const { id, scopes, desks, numbers, expiresAt } = key;
    return {
      kind: 'key',
      id,
      roles: [],
      scopes,
      desks,
      numbers,
      expiresAt,
      credential: hash,
      mustChangePassword: false,
    };
  };

  return {
    configured() {
      wasConfigured ||= anyone.get()?.['found'] === 1;
      return wasConfigured;
    },
    version: () => Number(dataVersion.get()?.['data_version']) + ownChanges,
    users: () => db.prepare('SELECT * FROM user ORDER BY name').all().map(userOf),
    user,
    passwordOf(name) {
      const row = userByName.get(name);
      return row === undefined || row['disabled_at'] !== null ? undefined : String(row['password']);
    },
    addUser({ name, roles, desks, password }, author) {
      write(() => {
        if (user(name) !== undefined) throw taken(name);
        full('users', USERS_MAX, db.prepare('SELECT count(*) AS rows FROM user').get()?.['rows']);
        db.prepare(
          'INSERT INTO user (name, roles, desks, password, must_change, created_at) VALUES (?, ?, ?, ?, 1, ?)',
        ).run(name, JSON.stringify(roles), JSON.stringify(desks), password, now());
        entry(author, 'users.add', { user: name }, { roles, desks });
      });
    },
    changeUser(name, change, author) {
      write(() => {
        const before = wanted(name);
        const { roles = before.roles, desks = before.desks, password, disabled } = change;
        const disabledAt = disabled === undefined ? before.disabledAt : disabled ? now() : null;
        db.prepare('UPDATE user SET roles = ?, desks = ?, disabled_at = ? WHERE name = ?').run(
          JSON.stringify(roles),
          JSON.stringify(desks),
          disabledAt,
          name,
        );
        if (password !== undefined) {
          db.prepare('UPDATE user SET password = ?, must_change = ? WHERE name = ?').run(
            password.hash,
            password.mustChange ? 1 : 0,
            name,
          );
        }
        if (password !== undefined || disabled === true) dropSessionsOf.run('local', name);
        const parts = (of: User) => ({ roles: of.roles, desks: of.desks, disabled: of.disabledAt !== null });
        const action = password === undefined ? 'users.change' : 'users.password';
        entry(author, action, { user: name }, parts(wanted(name)), parts(before));
      });
    },
    keys: () => db.prepare('SELECT * FROM key ORDER BY created_at, id').all().map(keyOf),
    addKey({ name, scopes, desks, numbers, expiresAt }, author) {
      // Without the two letters of base64url that are none, so that an id is one word.
      const id = randomBytes(24).toString('base64url').replace(/[_-]/g, '').padEnd(12, '0').slice(0, 12);
      const secret = `rf_${id}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
      return write(() => {
        full('keys', KEYS_MAX, db.prepare('SELECT count(*) AS rows FROM key').get()?.['rows']);
        db.prepare(
          `INSERT INTO key (id, hash, name, scopes, desks, numbers, created_at, expires_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        ).run(id, hashOf(secret), name, JSON.stringify(scopes), JSON.stringify(desks), numbers, now(), expiresAt);
        entry(author, 'keys.add', { key: id }, { name, scopes, desks, numbers, expiresAt });
        return { key: keyOf(db.prepare('SELECT * FROM key WHERE id = ?').get(id)!), secret };
      });
    },
    revokeKey(id, author) {
      write(() => {
        const { changes } = db
          .prepare('UPDATE key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL')
          .run(now(), id);
        if (changes === 0) throw unknown('key that is in force', id);
        entry(author, 'keys.revoke', { key: id });
      });
    },
    beginSession({ name, provider, subject, roles = [], desks = [] }, author) {
      const token = randomBytes(SECRET_BYTES).toString('base64url');
      write(() => {
        const at = now();
        db.prepare('DELETE FROM session WHERE created_at < ? OR seen_at < ?').run(
          at - SESSION_LONGEST_MS,
          at - SESSION_IDLE_MS - SEEN_STEP_MS,
        );
        db.prepare(
          `DELETE FROM session WHERE hash IN
             (SELECT hash FROM session WHERE provider = ? AND name = ? ORDER BY seen_at DESC LIMIT -1 OFFSET ?)`,
        ).run(provider, name, SESSIONS_PER_USER_MAX - 1);
        full('sessions', SESSIONS_MAX, db.prepare('SELECT count(*) AS rows FROM session').get()?.['rows']);
        db.prepare(
          `INSERT INTO session (hash, name, provider, roles, desks, created_at, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        ).run(hashOf(token), name, provider, JSON.stringify(roles), JSON.stringify(desks), at, at);
        const person = { user: name, provider, ...(subject !== undefined && { subject }) };
        entry(author, 'signIn', person, provider === 'local' ? undefined : { roles, desks });
      });
      return token;
    },
    endSession(token) {
      write(() => dropSession.run(hashOf(token)));
    },
    endSessionsOf(name, author) {
      return write(() => {
        const ended = Number(db.prepare('DELETE FROM session WHERE name = ?').run(name).changes);
        entry(author, 'users.signOut', { user: name }, { sessions: ended });
        return ended;
      });
    },
    principalOfSession: (token) => principalOfSessionHash(hashOf(token)),
    principalOfKey: (secret) => (KEY_FORM.test(secret) ? principalOfKeyHash(hashOf(secret)) : undefined),
    renew(principal) {
      if (principal.kind === 'user') return principalOfSessionHash(principal.credential);
      return principal.kind === 'key' ? principalOfKeyHash(principal.credential) : principal;
    },
    audit(entries) {
      if (entries.length > 0) write(() => log.append(entries));
    },
    probe() {
      write(() => db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', ?)").run(now()));
    },
    auditPage: (before, limit) => log.page(before, limit),
    *auditRows(afterSeq = 0) {
      let seq = afterSeq;
      for (;;) {
        const rows = log.after(seq, 1_000);
        if (rows.length === 0) return;
        yield* rows;
        seq = rows.at(-1)!.seq;
      }
    },
    secret(name) {
      return write(() => {
        db.prepare('INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)').run(`secret.${name}`, randomBytes(32));
        return Buffer.from(
          db.prepare('SELECT value FROM meta WHERE name = ?').get(`secret.${name}`)!['value'] as Uint8Array,
        );
      });
    },
    now,
    async keepCopy() {
      if (path === ':memory:') return;
      const writing = `${copyOf(path)}.writing`;
      rmSync(writing, { force: true });
      await backup(db, writing);
      chmodSync(writing, 0o600);
      renameSync(writing, copyOf(path));
    },
    close: () => db.close(),
  };
}

/** The file cannot be written now: no room, a lock, a disk that fails. */
export function isStoreError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

function openDatabase(path: string): DatabaseSync {
  const onDisk = path !== ':memory:';
  if (onDisk && !existsSync(path)) {
    // Without the file everybody could connect again; where there was one, that is nothing to begin anew with.
    if (existsSync(copyOf(path))) throw damaged(path, 'it is gone');
    try {
      mkdirSync(dirname(path), { recursive: true });
    } catch (error) {
      throw new RingfenceError({
        code: 'data.folder',
        message: `The data folder ${dirname(path)} cannot be made: ${(error as Error).message}.`,
        hint: 'Give a folder that can be written with --data.',
        cause: error,
      });
    }
  }
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
    if (onDisk) chmodSync(path, 0o600);
    // FULL: what was answered as done survives a power cut, the audit entry with it.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    db.exec('BEGIN IMMEDIATE');
    const form = db.prepare('PRAGMA user_version').get()?.['user_version'];
    // Cut to nothing, or its log was: who makes it anew lets everybody in.
    if (form === 0 && onDisk && existsSync(copyOf(path))) throw damaged(path, 'it is empty');
    if (form === 0) db.exec(TABLES);
    db.exec('COMMIT');
    if (form !== 0 && form !== FORM) throw new Error(`it has form ${form}, this version knows form ${FORM}`);
    const problem = damageOf(db);
    if (problem !== undefined) throw damaged(path, problem);
    return db;
  } catch (error) {
    db?.close();
    if (error instanceof RingfenceError) throw error;
    if (DAMAGE.has(Number((error as { errcode?: unknown }).errcode))) throw damaged(path, (error as Error).message);
    throw new RingfenceError({
      code: 'access.unreadable',
      message: `The access file ${path} cannot be used: ${(error as Error).message}.`,
      hint: 'It holds the users and the audit log, so it is never made anew by itself.',
      cause: error,
    });
  }
}

/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const DAMAGE: ReadonlySet<number> = new Set([11, 26]);

/** What SQLite can see of a damage, and what it cannot: a row whose texts say nothing. Undefined where all is well. */
function damageOf(db: DatabaseSync): string | undefined {
  const found = db.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check'];
  if (found !== 'ok') return String(found).replaceAll('\n', ' ');
  for (const [table, rowOf] of [
    ['user', userOf],
    ['key', keyOf],
  ] as const) {
    for (const row of db.prepare(`SELECT * FROM ${table}`).all()) {
      try {
        rowOf(row);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        return `a row of the table ${table} cannot be read`;
      }
    }
  }
  return undefined;
}

function damaged(path: string, detail: string): RingfenceError {
  const copy = copyOf(path);
  const copied = statSync(copy, { throwIfNoEntry: false });
  return new RingfenceError({
    code: 'access.damaged',
    message: `The access file ${path} is damaged: ${detail}.`,
    hint: `It holds the users, the keys and the audit log, which no stream can bring back, so it is never made anew by itself. ${
      copied === undefined
        ? 'Restore it from a backup.'
        : `Stop every process that uses it, remove ${path}-wal and ${path}-shm, and put the copy of ${copied.mtime.toISOString()} in its place: cp ${copy} ${path}. What was changed since is not in it.`
    }`,
  });
}

/** What is stored and still known: a role that a later version dropped grants nothing. */
function listOf<T extends string>(stored: unknown, known: readonly T[]): T[] {
  const names = JSON.parse(String(stored)) as string[];
  return known.filter((name) => names.includes(name));
}

function userOf(row: Record<string, unknown>): User {
  return {
    name: String(row['name']),
    roles: listOf(row['roles'], ROLES),
    desks: listOf(row['desks'], DESKS),
    mustChangePassword: row['must_change'] === 1,
    createdAt: Number(row['created_at']),
    disabledAt: row['disabled_at'] === null ? null : Number(row['disabled_at']),
  };
}

function keyOf(row: Record<string, unknown>): Key {
  return {
    id: String(row['id']),
    name: String(row['name']),
    scopes: listOf(row['scopes'], SCOPES),
    desks: listOf(row['desks'], DESKS),
    numbers: row['numbers'] === 'full' ? 'full' : row['numbers'] === 'masked' ? 'masked' : 'own',
    createdAt: Number(row['created_at']),
    expiresAt: Number(row['expires_at']),
    revokedAt: row['revoked_at'] === null ? null : Number(row['revoked_at']),
  };
}

const unknown = (what: string, name: string): RingfenceError =>
  new RingfenceError({
    code: 'access.unknown',
    message: `There is no ${what} ${JSON.stringify(name)}.`,
    hint: '`ringfence users list` and `ringfence keys list` show what there is.',
  });
const taken = (name: string): RingfenceError =>
  new RingfenceError({
    code: 'access.taken',
    message: `There is a user ${JSON.stringify(name)} already.`,
    hint: 'Change it with `ringfence users change`, or choose another name: names are not used twice.',
  });

function full(what: string, max: number, rows: unknown): void {
  if (Number(rows) < max) return;
  throw new RingfenceError({
    code: 'access.full',
    message: `There are ${max} ${what}, which is the most there can be.`,
    hint: 'Many people sign in better through an identity provider; see `access.oidc` in the configuration.',
  });
}
