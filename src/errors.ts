/**
 * Errors that a person has to act on. Each has a stable code, a sentence that says what is wrong, and a hint that
 * says what to do next. Bad records are not errors: they are values that travel to the dead-letter stream. Bugs are
 * plain exceptions: they stop the process.
 */

/** Exit codes of the command line; they are part of the public contract. */
export const ExitCode = { ok: 0, findings: 1, ruleWrong: 2, environmentWrong: 3 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

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
