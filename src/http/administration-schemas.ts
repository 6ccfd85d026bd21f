/** Shapes of what administrators ask and are answered. */
import { Type } from 'typebox';
import { NUMBER_VIEWS, ROLES, SCOPES } from '../access/grants.ts';
import { KEY_LIFE_DAYS_MAX, KEY_NAME_CHARACTERS_MAX, USER_NAME } from '../access/store.ts';
import { DESKS } from '../alerts/alert.ts';

const closed = { additionalProperties: false } as const;
const nullableTime = Type.Union([Type.Integer(), Type.Null()]);
const userName = Type.String({ pattern: USER_NAME.source, description: 'Letters, digits and . _ @ -' });
const roles = Type.Array(Type.Enum([...ROLES], { type: 'string' }), { maxItems: ROLES.length, uniqueItems: true });
const desks = Type.Array(Type.Enum([...DESKS], { type: 'string' }), { maxItems: DESKS.length, uniqueItems: true });

export const UserSchema = Type.Object(
  {
    name: Type.String(),
    roles: Type.Array(Type.String()),
    desks: Type.Array(Type.String()),
    mustChangePassword: Type.Boolean({ description: 'Has a one-time password that is not changed yet.' }),
    createdAt: Type.Integer(),
    disabledAt: nullableTime,
  },
  { $id: 'User' },
);
export const UsersSchema = Type.Object({ users: Type.Array(Type.Ref('User')) }, { $id: 'Users' });
export const NewUserSchema = Type.Object({ name: userName, roles, desks }, { $id: 'NewUser', ...closed });
export const UserChangeSchema = Type.Object(
  { roles: Type.Optional(roles), desks: Type.Optional(desks), disabled: Type.Optional(Type.Boolean()) },
  { $id: 'UserChange', ...closed },
);
export const OneTimePasswordSchema = Type.Object(
  {
    user: Type.Ref('User'),
    oneTimePassword: Type.String({ description: 'Shown nowhere else; has to be changed at the first sign-in.' }),
  },
  { $id: 'OneTimePassword' },
);
export const KeySchema = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    scopes: Type.Array(Type.String()),
    desks: Type.Array(Type.String()),
    numbers: Type.String(),
    createdAt: Type.Integer(),
    expiresAt: Type.Integer(),
    revokedAt: nullableTime,
  },
  { $id: 'Key', description: 'What a key may do; never the key itself.' },
);
export const KeysSchema = Type.Object({ keys: Type.Array(Type.Ref('Key')) }, { $id: 'Keys' });
export const NewKeySchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: KEY_NAME_CHARACTERS_MAX, pattern: '^[^\\u0000-\\u001f\\u007f]+$' }),
    scopes: Type.Array(Type.Enum([...SCOPES], { type: 'string' }), {
      minItems: 1,
      maxItems: SCOPES.length,
      uniqueItems: true,
    }),
    desks: Type.Optional(desks),
    numbers: Type.Enum([...NUMBER_VIEWS], {
      type: 'string',
      description: 'How much of subscriber numbers it is given.',
    }),
    days: Type.Integer({ minimum: 1, maximum: KEY_LIFE_DAYS_MAX, description: 'Days until it expires.' }),
  },
  { $id: 'NewKey', ...closed },
);
export const KeySecretSchema = Type.Object(
  { key: Type.Ref('Key'), secret: Type.String({ description: 'The key itself; shown nowhere else.' }) },
  { $id: 'KeySecret' },
);
export const AuditVerdictSchema = Type.Object(
  {
    entries: Type.Integer({ description: 'Entries that are whole.' }),
    lastHash: Type.String(),
    broken: Type.Optional(Type.Object({ seq: Type.Integer(), detail: Type.String() })),
  },
  { $id: 'AuditVerdict', description: '`broken` where an entry was changed, removed or put in later.' },
);

export const NameParamsSchema = Type.Object({ name: userName });
export const KeyParamsSchema = Type.Object({ keyId: Type.String({ pattern: '^[A-Za-z0-9]{12}$' }) });
