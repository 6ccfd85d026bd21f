/** `keys add|list|revoke`: keys with which programs use the API. Each has scopes, desks and an end. */
import { Command, Option } from 'commander';
import { SCOPES, type Scope } from '../access/grants.ts';
import { KEY_LIFE_DAYS_MAX, KEY_NAME_CHARACTERS_MAX, type Key } from '../access/store.ts';
import type { Desk } from '../alerts/alert.ts';
import { RingfenceError } from '../errors.ts';
import {
  type AccessFlags,
  accessFileExists,
  commandAuthor,
  deskOption,
  desksOf,
  withAccessFlags,
  withStore,
} from './users.ts';

const DAY_MS = 86_400_000;
const LIFE_DAYS_DEFAULT = 90;

function lineOf({ id, name, scopes, desks, numbers, expiresAt, revokedAt }: Key): string {
  const end =
    revokedAt !== null
      ? `revoked ${new Date(revokedAt).toISOString().slice(0, 10)}`
      : `${expiresAt <= Date.now() ? 'expired' : 'until'} ${new Date(expiresAt).toISOString().slice(0, 10)}`;
  return `${id} ${name.padEnd(20)} ${scopes.join(',')} desks ${desks.join(',')} numbers ${numbers} ${end}`;
}

export function keysCommand(): Command {
  const keys = new Command('keys').description('Keys with which programs use the API: add, list, revoke.');
  withAccessFlags(keys.command('add').description('Make a key and print it, once.'))
    .argument('<name>', 'what the key is for')
    .addOption(new Option('--scope <scope...>', 'what it may do').choices([...SCOPES]).makeOptionMandatory())
    .addOption(deskOption())
    .addOption(
      new Option('--numbers <view>', 'how much of numbers it is given')
        .choices(['full', 'masked', 'own'])
        .default('masked'),
    )
    .option('--days <n>', `days until it expires, at most ${KEY_LIFE_DAYS_MAX}`, String(LIFE_DAYS_DEFAULT))
    .action(
      async (
        name: string,
        flags: AccessFlags & { scope: Scope[]; desk?: (Desk | 'all')[]; numbers: Key['numbers']; days: string },
      ) => {
        const days = Number(flags.days);
        if (!(days > 0 && days <= KEY_LIFE_DAYS_MAX) || name === '' || name.length > KEY_NAME_CHARACTERS_MAX) {
          throw new RingfenceError({
            code: 'keys.value',
            message: `A key has a name of at most ${KEY_NAME_CHARACTERS_MAX} characters and lives for 1 to ${KEY_LIFE_DAYS_MAX} days.`,
            hint: 'Make a new key before the old one expires, and revoke the old one then.',
          });
        }
        await withStore(flags, (store) => {
          const { key, secret } = store.addKey(
            {
              name,
              scopes: SCOPES.filter((scope) => flags.scope.includes(scope)),
              desks: desksOf(flags.desk ?? ['all'], []),
              numbers: flags.numbers,
              expiresAt: Date.now() + days * DAY_MS,
            },
            commandAuthor(),
          );
          if (flags.output === 'json') process.stdout.write(`${JSON.stringify({ ...key, secret })}\n`);
          else {
            process.stderr.write(`${lineOf(key)}\nThe key follows; it is shown nowhere else.\n`);
            process.stdout.write(`${secret}\n`);
          }
        });
      },
    );
  withAccessFlags(
    keys.command('list').description('List all keys, the revoked too; never the keys themselves.'),
  ).action(async (flags: AccessFlags) => {
    const found = accessFileExists(flags) ? await withStore(flags, (store) => store.keys()) : [];
    process.stdout.write(
      flags.output === 'json' ? `${JSON.stringify(found)}\n` : found.map((key) => `${lineOf(key)}\n`).join(''),
    );
  });
  withAccessFlags(keys.command('revoke').description('End a key; the next request with it is refused.'))
    .argument('<id>')
    .action(async (id: string, flags: AccessFlags) => {
      await withStore(flags, (store) => {
        store.revokeKey(id, commandAuthor());
        const key = store.keys().find((one) => one.id === id)!;
        process.stdout.write(flags.output === 'json' ? `${JSON.stringify(key)}\n` : `${lineOf(key)}\n`);
      });
    });
  return keys;
}
