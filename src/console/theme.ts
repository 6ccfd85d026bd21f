/**
 * Light and dark. The system decides until a person does; the choice is kept in this browser. All colours are written
 * once, as light-dark() pairs, so that switching is one attribute.
 */
import { computed, effect, signal } from '@preact/signals';

const STORAGE_KEY = 'ringfence.theme';
export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const systemDark = window.matchMedia('(prefers-color-scheme: dark)');
const systemIsDark = signal(systemDark.matches);
systemDark.addEventListener('change', (event) => {
  systemIsDark.value = event.matches;
});

export const theme = signal<Theme>(THEMES.find((known) => known === localStorage.getItem(STORAGE_KEY)) ?? 'system');

/** What is on the screen now; charts draw on a canvas and must be drawn again when it changes. */
export const shownTheme = computed(() =>
  theme.value === 'system' ? (systemIsDark.value ? 'dark' : 'light') : theme.value,
);

effect(() => {
  if (theme.value === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme.value;
});

export function chooseTheme(next: Theme): void {
  localStorage.setItem(STORAGE_KEY, next);
  theme.value = next;
}
