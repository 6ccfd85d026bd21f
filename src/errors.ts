/**
 * Errors that a person has to act on. Each has a stable code, a sentence that says what is wrong, and a hint that
 * says what to do next. Bad records are not errors: they are values that travel to the dead-letter stream. Bugs are
 * plain exceptions: they stop the process.
 */

/** Exit codes of the command line; they are part of the public contract. */
export const ExitCode = { ok: 0, findings: 1, ruleWrong: 2, environmentWrong: 3 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What a disk says that is full, broken, read-only or beyond a limit: it passes, or somebody repairs it. */
const DISK_TROUBLE: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EDQUOT',
  'EFBIG',
  'EIO',
  'EROFS',
  'EACCES',
  'EPERM',
  'EMFILE',
  'ENFILE',
]);
/** The same in the words of SQLite, and busy: another process has the file. Its result codes 5, 8, 10, 13 and 14. */
const SQLITE_TROUBLE: ReadonlySet<number> = new Set([5, 8, 10, 13, 14]);

/** Whether writing failed for want of a disk, so that trying again later may succeed. */
export function isDiskTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code = '', errcode = 0 } = error as { code?: string; errcode?: number };
  return DISK_TROUBLE.has(code) || (code === 'ERR_SQLITE_ERROR' && SQLITE_TROUBLE.has(errcode & 0xff));
}

/** What a disk says of a file that it has and cannot give back, a folder in its place included: damage like any other. */
const UNREADABLE: ReadonlySet<string> = new Set(['EIO', 'EBADMSG', 'EISDIR']);

/** What a read that failed says of the file, where another copy of its content may be used instead; rethrows anything else. */
export function unreadable(error: unknown): string {
  const { code = '' } = error as { code?: string };
  if (!(error instanceof Error) || !UNREADABLE.has(code)) throw error;
  return `it cannot be read (${code})`;
}

export class RingfenceError extends Error {
  /** Stable, lower-case, dotted: `config.unknown-key`. Documents and tests refer to it. */
  readonly code: string;
  /** What the reader should do now, as a sentence. */
  readonly hint: string;
  readonly exitCode: ExitCode;

  constructor(options: { code: string; message: string; hint: string; exitCode?: ExitCode; cause?: unknown }) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RingfenceError';
    this.code = options.code;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? ExitCode.environmentWrong;
  }
}
