/**
 * Single-key shortcuts, the help that lists them, and the switch that turns them off (WCAG 2.1.4: speech input and
 * shaky hands type letters by accident). Whatever a key does, a visible button does too.
 */
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { messages } from './locale.ts';

const STORAGE_KEY = 'ringfence.shortcuts';

export const shortcutsShown = signal(false);
const enabled = signal(localStorage.getItem(STORAGE_KEY) !== 'off');

function chooseEnabled(next: boolean): void {
  localStorage.setItem(STORAGE_KEY, next ? 'on' : 'off');
  enabled.value = next;
}

export type Shortcut = 'j' | 'k' | 'x' | 'a' | 'e' | 's' | 'Enter' | 'Escape' | '/' | '?';

const LETTERS = ['j', 'k', 'x', 'a', 'e', 's', '/', '?'] as const;
const isLetter = (key: string): key is (typeof LETTERS)[number] => (LETTERS as readonly string[]).includes(key);

/** Calls `act` for a shortcut key that is pressed outside of fields and dialogs. Escape works in fields as well. */
export function useShortcuts(act: (key: Shortcut, event: KeyboardEvent) => void): void {
  const current = useRef(act);
  current.current = act;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (document.querySelector('dialog[open]') !== null) return;
      const target = event.target as HTMLElement;
      const inField = target.closest('input, select, textarea') !== null;
      const { key } = event;
      if (key === 'Escape') current.current(key, event);
      else if (inField) return;
      // Enter belongs to the link or button that has the focus.
      else if (key === 'Enter') target.closest('a, button, summary') === null && current.current(key, event);
      else if (enabled.value && isLetter(key)) current.current(key, event);
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  }, []);
}

export function ShortcutsDialog() {
  const t = messages.value.shortcuts;
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = shortcutsShown.value;
  useShortcuts((key) => {
    if (key === '?') shortcutsShown.value = true;
  });
  useEffect(() => {
    if (shown) dialog.current?.showModal();
    else dialog.current?.close();
  }, [shown]);
  const rows = [
    ['j', t.next],
    ['k', t.previous],
    ['Enter', t.open],
    ['Esc', t.close],
    ['x', t.choose],
    ['a', t.acknowledge],
    ['s', t.snooze],
    ['e', t.closeCase],
    ['/', t.search],
    ['?', t.help],
  ] as const;
  return (
    <dialog
      ref={dialog}
      class="shortcuts"
      aria-labelledby="shortcuts-heading"
      onClose={() => {
        shortcutsShown.value = false;
      }}
    >
      <header>
        <h2 id="shortcuts-heading">{t.heading}</h2>
        <button type="button" class="icon-button" aria-label={t.dismiss} onClick={() => dialog.current?.close()}>
          <Icon name="close" />
        </button>
      </header>
      <dl>
        {rows.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={enabled.value}
          onChange={(event) => chooseEnabled(event.currentTarget.checked)}
        />
        {t.enabled}
      </label>
    </dialog>
  );
}
