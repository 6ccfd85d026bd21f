/** The calls that administrators make: people, keys, and whether the audit log is whole. */
import type { Static } from 'typebox';
import type { Role } from '../access/grants.ts';
import type { Desk } from '../alerts/alert.ts';
import type {
  AuditVerdictSchema,
  KeySecretSchema,
  KeysSchema,
  OneTimePasswordSchema,
  UsersSchema,
} from '../http/administration-schemas.ts';
import { get, send, sendJson } from './api.ts';

export interface UserView {
  name: string;
  roles: string[];
  desks: string[];
  mustChangePassword: boolean;
  createdAt: number;
  disabledAt: number | null;
}

export interface KeyView {
  id: string;
  name: string;
  scopes: string[];
  desks: string[];
  numbers: string;
  createdAt: number;
  expiresAt: number;
  revokedAt: number | null;
}

export async function getUsers(signal?: AbortSignal): Promise<UserView[]> {
  return ((await get('v1/users', signal)) as Static<typeof UsersSchema> & { users: UserView[] }).users;
}

export function addUser(
  name: string,
  roles: readonly Role[],
  desks: readonly Desk[],
): Promise<{ oneTimePassword: string }> {
  return sendJson('v1/users', 'POST', { name, roles, desks }) as Promise<Static<typeof OneTimePasswordSchema>>;
}

export async function changeUser(
  name: string,
  change: { roles?: readonly Role[]; desks?: readonly Desk[]; disabled?: boolean },
): Promise<void> {
  await sendJson(`v1/users/${encodeURIComponent(name)}`, 'PUT', change);
}

export function resetPassword(name: string): Promise<{ oneTimePassword: string }> {
  return send(`v1/users/${encodeURIComponent(name)}/password`, 'POST') as Promise<Static<typeof OneTimePasswordSchema>>;
}

export async function getKeys(signal?: AbortSignal): Promise<KeyView[]> {
  return ((await get('v1/keys', signal)) as Static<typeof KeysSchema> & { keys: KeyView[] }).keys;
}

export function addKey(wanted: {
  name: string;
  scopes: readonly string[];
  desks: readonly Desk[];
  numbers: string;
  days: number;
}): Promise<{ secret: string }> {
  return sendJson('v1/keys', 'POST', wanted) as Promise<Static<typeof KeySecretSchema>>;
}

export async function revokeKey(id: string): Promise<void> {
  await send(`v1/keys/${id}`, 'DELETE');
}

export type AuditVerdict = Static<typeof AuditVerdictSchema>;

export function verifyAudit(signal?: AbortSignal): Promise<AuditVerdict> {
  return get('v1/audit/verify', signal) as Promise<AuditVerdict>;
}
