/**
 * `users add|list|change|password|sign-out|disable|enable`: the people who sign in with a password of this installation. They write to
 * the access file of the data folder, and a running `serve` goes by it from the next request on.
 */
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { ROLES, type Role } from '../access/grants.ts';
import { hashPassword, oneTimePassword } from '../access/password.ts';
import { type AccessStore, type Author, openAccessStore, USER_NAME, type User } from '../access/store.ts';
import { grantProblem } from '../access/table.ts';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { type Config, loadConfig } from '../config.ts';
import { RingfenceError } from '../errors.ts';

/** Where users, keys, sessions and the audit log lie. */
export function accessFileOf(config: Pick<Config, 'data'>): string {
  return join(config.data, 'access.sqlite');
}

export interface AccessFlags {
  config?: string;
  data?: string;
  output: 'text' | 'json';
}

/** The options that say which installation is meant. */
export function withAccessFlags(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file of `serve`')
    .option('--data <dir>', 'data folder of `serve`')
    .addOption(new Option('--output <form>', 'text or json').choices(['text', 'json']).default('text'));
}

/** Opens the access file, does something with it, and closes it. */
export async function withStore<T>(flags: AccessFlags, use: (store: AccessStore) => T | Promise<T>): Promise<T> {
  const { data } = loadConfig({ file: flags.config, flags: { data: flags.data } });
  const store = openAccessStore(accessFileOf({ data }));
  try {
    return await use(store);
  } finally {
    store.close();
  }
}

/** The same for what only reads: a folder in which nobody was ever added is not given a file by it. */
export function accessFileExists(flags: AccessFlags): boolean {
  return existsSync(accessFileOf(loadConfig({ file: flags.config, flags: { data: flags.data } })));
}

/** Who runs the command, for the audit log. */
export const commandAuthor = (): Author => ({ who: { kind: 'command', id: userInfo().username } });

/** `--desk all`, the desks named, or those that go with the roles by themselves. */
export function desksOf(named: readonly (Desk | 'all')[] | undefined, roles: readonly Role[]): Desk[] {
  if (named?.includes('all')) return [...DESKS];
  if (named !== undefined) return DESKS.filter((desk) => named.includes(desk));
  if (roles.includes('retention')) return ['retention'];
  return roles.some((role) => role === 'analyst' || role === 'lead') ? [] : [...DESKS];
}

export const deskOption = (): Option =>
  new Option('--desk <desk...>', 'desks; all for every one').choices([...DESKS, 'all']);
const roleOption = (): Option => new Option('--role <role...>', 'roles').choices([...ROLES]);

function assertGrant(roles: readonly Role[], desks: readonly Desk[]): void {
  const problem = grantProblem(roles, desks);
  if (problem === undefined) return;
  throw new RingfenceError({
    code: 'users.grant',
    message: problem,
    hint: `Roles are ${ROLES.join(', ')}; desks are ${DESKS.join(', ')}, or all.`,
  });
}

const lineOf = ({ name, roles, desks, disabledAt, mustChangePassword }: User): string =>
  `${name.padEnd(24)} ${roles.join(',').padEnd(24)} ${desks.join(',').padEnd(26)} ${
    disabledAt !== null ? 'disabled' : mustChangePassword ? 'one-time password' : ''
  }`.trimEnd();

function show(flags: AccessFlags, users: User[]): void {
  process.stdout.write(
    flags.output === 'json' ? `${JSON.stringify(users)}\n` : users.map((user) => `${lineOf(user)}\n`).join(''),
  );
}

function showPassword(flags: AccessFlags, user: User, password: string): void {
  if (flags.output === 'json') {
    process.stdout.write(`${JSON.stringify({ ...user, oneTimePassword: password })}\n`);
    return;
  }
  // The password alone on standard output, so that it can be handed on; it is shown nowhere else, ever.
  process.stderr.write(`${lineOf(user)}\nThe one-time password follows; it has to be changed at the first sign-in.\n`);
  process.stdout.write(`${password}\n`);
}

export function usersCommand(): Command {
  const users = new Command('users').description('People who sign in with a password: add, list, change, disable.');
  const command = (name: string, description: string): Command =>
    withAccessFlags(users.command(name).description(description));

  command('add', 'Add a person and print a one-time password.')
    .argument('<name>', 'letters, digits, . _ @ -')
    .addOption(roleOption().makeOptionMandatory())
    .addOption(deskOption())
    .action(async (name: string, flags: AccessFlags & { role: Role[]; desk?: (Desk | 'all')[] }) => {
      if (!USER_NAME.test(name)) {
        throw new RingfenceError({
          code: 'users.name',
          message: `${JSON.stringify(name)} is no user name.`,
          hint: 'Use 1-64 letters, digits, dots, dashes, underscores or @, beginning with a letter or digit.',
        });
      }
      const roles = ROLES.filter((role) => flags.role.includes(role));
      const desks = desksOf(flags.desk, roles);
      assertGrant(roles, desks);
      const password = oneTimePassword();
      const hash = await hashPassword(password);
      await withStore(flags, (store) => {
        store.addUser({ name, roles, desks, password: hash }, commandAuthor());
        showPassword(flags, store.user(name)!, password);
      });
    });
  command('list', 'List everybody, the disabled too.').action(async (flags: AccessFlags) => {
    if (accessFileExists(flags)) await withStore(flags, (store) => show(flags, store.users()));
    else show(flags, []);
  });
  command('change', 'Give a person other roles or desks; holds from their next request on.')
    .argument('<name>')
    .addOption(roleOption())
    .addOption(deskOption())
    .action(async (name: string, flags: AccessFlags & { role?: Role[]; desk?: (Desk | 'all')[] }) => {
      await withStore(flags, (store) => {
        const before = store.user(name);
        const roles = ROLES.filter((role) => (flags.role ?? before?.roles ?? []).includes(role));
        const desks = flags.desk === undefined && before !== undefined ? before.desks : desksOf(flags.desk, roles);
        if (before !== undefined) assertGrant(roles, desks);
        store.changeUser(name, { roles, desks }, commandAuthor());
        show(flags, [store.user(name)!]);
      });
    });
  command('password', 'Print a new one-time password for a person; ends all their sessions.')
    .argument('<name>')
    .action(async (name: string, flags: AccessFlags) => {
      const password = oneTimePassword();
      const hash = await hashPassword(password);
      await withStore(flags, (store) => {
        store.changeUser(name, { password: { hash, mustChange: true } }, commandAuthor());
        showPassword(flags, store.user(name)!, password);
      });
    });
  command('sign-out', 'End all sessions of a person, also of one whom an identity provider vouches for (oidc:NAME).')
    .argument('<name>')
    .action(async (name: string, flags: AccessFlags) => {
      await withStore(flags, (store) => {
        const sessions = store.endSessionsOf(name, commandAuthor());
        process.stdout.write(
          flags.output === 'json' ? `${JSON.stringify({ name, sessions })}\n` : `${sessions} sessions ended\n`,
        );
      });
    });
  for (const [verb, disabled] of [
    ['disable', true],
    ['enable', false],
  ] as const) {
    command(
      verb,
      disabled ? 'End the sessions of a person and let them sign in no more.' : 'Let a person sign in again.',
    )
      .argument('<name>')
      .action(async (name: string, flags: AccessFlags) => {
        await withStore(flags, (store) => {
          store.changeUser(name, { disabled }, commandAuthor());
          show(flags, [store.user(name)!]);
        });
      });
  }
  return users;
}
