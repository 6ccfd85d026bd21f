/**
 * Who is signed in, and so which pages and desks there are. Where nobody has to sign in, everything is.
 *
 * Signing in and out loads the page anew: what was on the screen of one person must not stay in the memory of the next.
 */
import { signal } from '@preact/signals';
import { DESKS, type Desk } from '../alerts/alert.ts';
import type { SessionView } from '../http/schemas.ts';
import { ApiError, getSession, onSessionLost, signOut } from './api.ts';

/** Undefined until the server has said. */
export const session = signal<SessionView | undefined>(undefined);

/** A server that starts again is asked until it answers. */
const RETRY_MS = 1_000;

export async function loadSession(): Promise<void> {
  for (;;) {
    try {
      session.value = await getSession();
      return;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

onSessionLost(() => {
  // The page for signing in says the rest; who was not signed in has lost nothing.
  const before = session.peek();
  if (before?.signIn === 'open' || before?.person) location.reload();
});

/** Whether the one who is signed in may use an operation of the API, by its id. */
export function may(operation: string): boolean {
  return session.value?.may.includes(operation) ?? false;
}

export function ownDesks(): readonly Desk[] {
  const view = session.value;
  if (view === undefined || !may('listAlerts')) return [];
  return view.signIn === 'open' ? DESKS : DESKS.filter((desk) => view.person?.desks.includes(desk));
}

export async function leave(): Promise<void> {
  await signOut();
  location.reload();
}
