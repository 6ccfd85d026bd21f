/**
 * Who may sign in and which programs may ask: people with their roles and desks, keys with their scopes and their end. A
 * password or key that was made here is shown once, in a dialog that somebody has to close.
 */
import { useEffect, useState } from 'preact/hooks';
import { NUMBER_VIEWS, type NumberView, ROLES, type Role, SCOPES, type Scope } from '../access/grants.ts';
import { DESKS, type Desk } from '../alerts/alert.ts';
import {
  addKey,
  addUser,
  changeUser,
  getKeys,
  getUsers,
  type KeyView,
  resetPassword,
  revokeKey,
  type UserView,
} from './admin-api.ts';
import { ApiError } from './api.ts';
import { CopyButton } from './copy-button.tsx';
import { CloseButton, Dialog } from './dialog.tsx';
import { Icon } from './icons.tsx';
import { format, messages, now } from './locale.ts';
import { NameField } from './name-field.tsx';
import { session } from './session.ts';

const KEY_DAYS = [7, 30, 90, 180, 366];
const KEY_DAYS_DEFAULT = 90;
const DAY_MS = 86_400_000;

interface Made {
  /** Whose password, or what the key is for. */
  name: string;
  kind: 'password' | 'key';
  secret: string;
}

/** The last column holds what can be done with the row. */
function TableHead({ names }: { names: readonly string[] }) {
  return (
    <thead>
      <tr>
        {names.map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
        <th scope="col">
          <span class="visually-hidden">{messages.value.admin.actions}</span>
        </th>
      </tr>
    </thead>
  );
}

export function AdminPage() {
  const t = messages.value.admin;
  const [users, setUsers] = useState<readonly UserView[]>([]);
  const [keys, setKeys] = useState<readonly KeyView[]>([]);
  const [failure, setFailure] = useState('');
  const [made, setMade] = useState<Made>();
  const [editing, setEditing] = useState<UserView>();
  /** A form begins anew when it has made somebody or something, and never while it is filled in: lists may come later than that. */
  const [peopleAdded, setPeopleAdded] = useState(0);
  const [keysMade, setKeysMade] = useState(0);
  const read = async (signal?: AbortSignal): Promise<void> => {
    const [people, programs] = await Promise.all([getUsers(signal), getKeys(signal)]);
    setUsers(people);
    setKeys(programs);
  };
  /** Does something, says what went wrong, and shows how it is then. */
  const act = async (change: () => Promise<Made | undefined>): Promise<boolean> => {
    try {
      setMade(await change());
      setFailure('');
      await read();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
      return false;
    }
  };
  useEffect(() => {
    const stopped = new AbortController();
    read(stopped.signal).catch((error: unknown) => {
      if (stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
    });
    return () => stopped.abort();
  }, []);
  return (
    <div class="admin">
      <h1 class="visually-hidden">{t.heading}</h1>
      {failure !== '' && (
        <p class="banner" role="alert">
          <Icon name="offline" />
          {t.failed(failure)}
        </p>
      )}
      <section aria-labelledby="admin-people">
        <h2 id="admin-people">{t.people}</h2>
        <table class="data">
          <TableHead names={[t.name, t.roles, t.desks, t.state, t.since]} />
          <tbody>
            {users.map((user) => (
              <UserRow
                key={user.name}
                user={user}
                onAct={(change) => void act(change)}
                onEdit={() => setEditing(user)}
              />
            ))}
          </tbody>
        </table>
        <GrantForm
          key={peopleAdded}
          title={t.addPerson}
          onGrant={(name, roles, desks) =>
            act(async () => {
              const { oneTimePassword } = await addUser(name, roles, desks);
              setPeopleAdded((count) => count + 1);
              return { name, kind: 'password', secret: oneTimePassword };
            })
          }
        />
      </section>
      <section aria-labelledby="admin-keys">
        <h2 id="admin-keys">{t.keys}</h2>
        <table class="data">
          <TableHead names={[t.keyFor, t.scopes, t.desks, t.numbers, t.ends]} />
          <tbody>
            {keys.length === 0 && (
              <tr>
                <td colSpan={6}>{t.noKeys}</td>
              </tr>
            )}
            {keys.map((key) => (
              <KeyRow key={key.id} found={key} onAct={(change) => void act(change)} />
            ))}
          </tbody>
        </table>
        <KeyForm
          key={keysMade}
          onMake={(wanted) =>
            act(async () => {
              const { secret } = await addKey(wanted);
              setKeysMade((count) => count + 1);
              return { name: wanted.name, kind: 'key', secret };
            })
          }
        />
      </section>
      {editing !== undefined && (
        <EditDialog
          user={editing}
          onClose={() => setEditing(undefined)}
          onGrant={async (roles, desks) => {
            const done = await act(async () => {
              await changeUser(editing.name, { roles, desks });
              return undefined;
            });
            setEditing(undefined);
            return done;
          }}
        />
      )}
      {made !== undefined && <SecretDialog made={made} onClose={() => setMade(undefined)} />}
    </div>
  );
}

type Change = () => Promise<Made | undefined>;

function UserRow({ user, onAct, onEdit }: { user: UserView; onAct(change: Change): void; onEdit(): void }) {
  const t = messages.value.admin;
  const { name, roles, desks, disabledAt, mustChangePassword, createdAt } = user;
  const isOwn = session.value?.person?.name === name;
  const setDisabled = (disabled: boolean): void =>
    onAct(async () => {
      await changeUser(name, { disabled });
      return undefined;
    });
  return (
    <tr class={disabledAt === null ? '' : 'muted'}>
      <th scope="row">
        <bdi>{name}</bdi>
      </th>
      <td>{format.value.list(roles.map((role) => t.roleNames[role as Role]))}</td>
      <td>{format.value.list(desks.map((desk) => messages.value.nav[desk as Desk]))}</td>
      <td>{disabledAt !== null ? t.disabled : mustChangePassword ? t.oneTime : t.active}</td>
      <td>{format.value.day(createdAt)}</td>
      <td class="row-actions">
        <button type="button" class="button" onClick={onEdit}>
          {t.edit}
        </button>
        <button
          type="button"
          class="button"
          onClick={() =>
            onAct(async () => ({ name, kind: 'password', secret: (await resetPassword(name)).oneTimePassword }))
          }
        >
          {t.newPassword}
        </button>
        {!isOwn && (
          <button type="button" class="button" onClick={() => setDisabled(disabledAt === null)}>
            {disabledAt === null ? t.disable : t.enable}
          </button>
        )}
      </td>
    </tr>
  );
}

function KeyRow({ found, onAct }: { found: KeyView; onAct(change: Change): void }) {
  const t = messages.value.admin;
  const { id, name, scopes, desks, numbers, expiresAt, revokedAt } = found;
  const isOver = revokedAt !== null || expiresAt <= now.value;
  return (
    <tr class={isOver ? 'muted' : ''}>
      <th scope="row">
        <bdi>{name}</bdi> <code class="muted">{id}</code>
      </th>
      <td>
        {scopes.map((scope) => (
          <span key={scope} class="scope" title={scope}>
            {t.scopeNames[scope as Scope]}
          </span>
        ))}
      </td>
      <td>{format.value.list(desks.map((desk) => messages.value.nav[desk as Desk]))}</td>
      <td>{t.numberViews[numbers as 'full']}</td>
      <td>{revokedAt !== null ? t.revokedOn(format.value.day(revokedAt)) : format.value.day(expiresAt)}</td>
      <td class="row-actions">
        {!isOver && (
          <button
            type="button"
            class="button"
            onClick={() =>
              onAct(async () => {
                await revokeKey(id);
                return undefined;
              })
            }
          >
            {t.revoke}
          </button>
        )}
      </td>
    </tr>
  );
}

/** Boxes of which any may be ticked. */
function Boxes<T extends string>(props: {
  legend: string;
  all: readonly T[];
  chosen: readonly T[];
  nameOf(value: T): string;
  onChange(chosen: T[]): void;
}) {
  const { legend, all, chosen, nameOf, onChange } = props;
  return (
    <fieldset class="boxes">
      <legend>{legend}</legend>
      {all.map((value) => (
        <label key={value} class="check">
          <input
            type="checkbox"
            value={value}
            checked={chosen.includes(value)}
            onChange={(event) => {
              const { checked } = event.currentTarget;
              onChange(all.filter((one) => (one === value ? checked : chosen.includes(one))));
            }}
          />
          {nameOf(value)}
        </label>
      ))}
    </fieldset>
  );
}

function GrantBoxes(props: {
  roles: readonly Role[];
  desks: readonly Desk[];
  onChange(roles: readonly Role[], desks: readonly Desk[]): void;
}) {
  const t = messages.value.admin;
  const { roles, desks, onChange } = props;
  return (
    <>
      <Boxes
        legend={t.roles}
        all={ROLES}
        chosen={roles}
        nameOf={(role) => t.roleNames[role]}
        onChange={(next) => onChange(next, desks)}
      />
      <Boxes
        legend={t.desks}
        all={DESKS}
        chosen={desks}
        nameOf={(desk) => messages.value.nav[desk]}
        onChange={(next) => onChange(roles, next)}
      />
    </>
  );
}

function GrantForm(props: {
  title: string;
  onGrant(name: string, roles: readonly Role[], desks: readonly Desk[]): Promise<boolean>;
}) {
  const t = messages.value.admin;
  const [name, setName] = useState('');
  const [roles, setRoles] = useState<readonly Role[]>([]);
  const [desks, setDesks] = useState<readonly Desk[]>([]);
  return (
    <details class="admin-form">
      <summary class="button">{props.title}</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void props.onGrant(name.trim(), roles, desks);
        }}
      >
        <NameField
          id="person-name"
          label={t.name}
          form={{ pattern: '[A-Za-z0-9][A-Za-z0-9._@\\-]*', wrong: t.wrongName }}
          value={name}
          onInput={setName}
        />
        <GrantBoxes
          roles={roles}
          desks={desks}
          onChange={(nextRoles, nextDesks) => {
            setRoles(nextRoles);
            setDesks(nextDesks);
          }}
        />
        <div class="button-group">
          <button
            type="submit"
            class="button primary"
            disabled={name.trim() === '' || roles.length === 0 || desks.length === 0}
          >
            {props.title}
          </button>
        </div>
      </form>
    </details>
  );
}

function EditDialog(props: {
  user: UserView;
  onClose(): void;
  onGrant(roles: readonly Role[], desks: readonly Desk[]): Promise<boolean>;
}) {
  const t = messages.value.admin;
  const [roles, setRoles] = useState(props.user.roles as readonly Role[]);
  const [desks, setDesks] = useState(props.user.desks as readonly Desk[]);
  return (
    <Dialog id="edit-heading" title={t.editPerson(props.user.name)} onClose={props.onClose}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          void props.onGrant(roles, desks);
        }}
      >
        <GrantBoxes
          roles={roles}
          desks={desks}
          onChange={(nextRoles, nextDesks) => {
            setRoles(nextRoles);
            setDesks(nextDesks);
          }}
        />
        <div class="button-group">
          <CloseButton label={messages.value.cases.cancel} />
          <button type="submit" class="button primary" disabled={roles.length === 0 || desks.length === 0}>
            {t.save}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function KeyForm(props: { onMake(wanted: Parameters<typeof addKey>[0]): Promise<boolean> }) {
  const t = messages.value.admin;
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<readonly Scope[]>([]);
  const [desks, setDesks] = useState<readonly Desk[]>(DESKS);
  const [numbers, setNumbers] = useState<NumberView>('masked');
  const [days, setDays] = useState(KEY_DAYS_DEFAULT);
  return (
    <details class="admin-form">
      <summary class="button">{t.makeKey}</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void props.onMake({ name: name.trim(), scopes, desks, numbers, days });
        }}
      >
        <NameField id="key-name" label={t.keyFor} value={name} onInput={setName} />
        <Boxes
          legend={t.scopes}
          all={SCOPES}
          chosen={scopes}
          nameOf={(scope) => t.scopeNames[scope]}
          onChange={setScopes}
        />
        <Boxes
          legend={t.desks}
          all={DESKS}
          chosen={desks}
          nameOf={(desk) => messages.value.nav[desk]}
          onChange={setDesks}
        />
        <div class="field">
          <label for="key-numbers">{t.numbers}</label>
          <select
            id="key-numbers"
            value={numbers}
            onChange={(event) => setNumbers(event.currentTarget.value as 'full')}
          >
            {NUMBER_VIEWS.map((view) => (
              <option key={view} value={view}>
                {t.numberViews[view]}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="key-days">{t.expiresIn}</label>
          <select id="key-days" value={String(days)} onChange={(event) => setDays(Number(event.currentTarget.value))}>
            {KEY_DAYS.map((count) => (
              <option key={count} value={count}>
                {format.value.span(count * DAY_MS)}
              </option>
            ))}
          </select>
        </div>
        <div class="button-group">
          <button
            type="submit"
            class="button primary"
            disabled={name.trim() === '' || scopes.length === 0 || desks.length === 0}
          >
            {t.makeKey}
          </button>
        </div>
      </form>
    </details>
  );
}

function SecretDialog({ made, onClose }: { made: Made; onClose(): void }) {
  const t = messages.value.admin;
  return (
    <Dialog
      id="secret-heading"
      title={made.kind === 'password' ? t.passwordOf(made.name) : t.keyOf(made.name)}
      onClose={onClose}
    >
      <div class="dialog-body">
        <p>{made.kind === 'password' ? t.passwordOnce : t.keyOnce}</p>
        <p class="secret">
          <code>{made.secret}</code> <CopyButton text={made.secret} />
        </p>
        <div class="button-group">
          <CloseButton label={t.noted} primary />
        </div>
      </div>
    </Dialog>
  );
}
