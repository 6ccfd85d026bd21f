/**
 * Logs: JSON lines on standard error (standard output belongs to data). A message is a constant lower-case sentence,
 * everything that varies is a field. Values that identify a person or open a door are cut out here, whoever logs them.
 */
import { type Logger, pino } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type Log = Logger;

/** Keys whose value never reaches a log, at the top of an entry or one level below. */
const SECRET_KEYS = [
  'password',
  'pass',
  'token',
  'secret',
  'apiKey',
  'credentials',
  'authorization',
  'cookie',
  'seed',
  'servedMsisdn',
  'servedImsi',
  'servedImei',
  'msisdn',
  'otherNumber',
  'accountId',
  'instrumentId',
];

/**
 * A logger at a level.
 * @param options.destination for tests: a stream that receives the lines in place of standard error.
 */
export function createLog(options: { level: LogLevel; destination?: { write(line: string): void } }): Log {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]), censor: '[redacted]' },
    },
    // Synchronous, so that the last line before a crash is there; logs are rare, records are never logged.
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
}
