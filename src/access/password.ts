/**
 * Passwords of local users, kept as scrypt hashes (RFC 7914) with the figures that OWASP gives for it: 32 MiB and three
 * passes. A hash carries its figures, so that they can be raised later without making anybody's password void.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

const COST = 32_768;
const BLOCK_SIZE = 8;
const PASSES = 3;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
export const PASSWORD_CHARACTERS_MIN = 12;
export const PASSWORD_CHARACTERS_MAX = 256;
/** Hashes that are worked out at once: each takes 32 MiB and a thread that checkpoints need too. */
const HASHES_AT_ONCE_MAX = 2;
/** Sign-ins that may wait for their turn. */
export const HASHES_WAITING_MAX = 64;

/** `scrypt$cost$blockSize$passes$salt$key`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, salt, { N: COST, r: BLOCK_SIZE, p: PASSES });
  return ['scrypt', COST, BLOCK_SIZE, PASSES, salt.toString('base64url'), key.toString('base64url')].join('$');
}

export async function passwordMatches(password: string, stored: string): Promise<boolean> {
  const [, cost, blockSize, passes, salt = '', key = ''] = stored.split('$');
  const expected = Buffer.from(key, 'base64url');
  const options = { N: Number(cost), r: Number(blockSize), p: Number(passes) };
  const found = await derive(password, Buffer.from(salt, 'base64url'), options);
  return found.length === expected.length && timingSafeEqual(found, expected);
}

/** What is compared where there is no such user, so that the answer takes as long. */
export const NO_PASSWORD = `scrypt$${COST}$${BLOCK_SIZE}$${PASSES}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** 100 bits in letters and digits that cannot be mistaken for each other. */
export function oneTimePassword(): string {
  const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789ACDEFGHJKLMNPQRTUVWXYZ';
  const letters: string[] = [];
  // Bytes beyond a whole multiple would prefer the first letters.
  const limit = 256 - (256 % alphabet.length);
  while (letters.length < 20) {
    for (const byte of randomBytes(32))
      if (byte < limit && letters.length < 20) letters.push(alphabet[byte % alphabet.length]!);
  }
  return letters.join('').replace(/(.{5})(?=.)/g, '$1-');
}

/** Why a password will not do, as the rest of a sentence; undefined where it will. Length counts, composition does not. */
export function passwordProblem(password: string, name: string): string | undefined {
  const { length } = [...password];
  if (length < PASSWORD_CHARACTERS_MIN) return `needs at least ${PASSWORD_CHARACTERS_MIN} characters`;
  if (length > PASSWORD_CHARACTERS_MAX) return `may have at most ${PASSWORD_CHARACTERS_MAX} characters`;
  if (new Set(password).size < 5) return 'needs more different characters';
  if (password.toLowerCase().includes(name.toLowerCase())) return 'must not contain the name';
  return undefined;
}

let running = 0;
const waiting: (() => void)[] = [];

/** True where a further sign-in would wait behind too many others. */
export const hashingIsBusy = (): boolean => waiting.length >= HASHES_WAITING_MAX;

async function derive(password: string, salt: Buffer, options: ScryptOptions): Promise<Buffer> {
  if (running >= HASHES_AT_ONCE_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    return await new Promise((resolve, reject) => {
      // One spelling of what looks the same, so that every keyboard's é is the same é.
      scrypt(password.normalize('NFKC'), salt, KEY_BYTES, { ...options, maxmem: 256 * 1024 * 1024 }, (error, key) =>
        error === null ? resolve(key) : reject(error),
      );
    });
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}
