/**
 * The few pictures of the console, drawn in the colour of the text around them. Severity is a shape first: octagon,
 * triangle, circle read apart without any colour.
 */
import type { Severity } from '../alerts/alert.ts';

const PATHS = {
  critical: 'M5.2 1.2h5.6l4 4v5.6l-4 4H5.2l-4-4V5.2z',
  warning: 'M8 1.6 15.2 14.4H.8z',
  info: 'M8 1.4a6.6 6.6 0 1 1 0 13.2A6.6 6.6 0 0 1 8 1.4z',
} as const;

export function SeverityIcon({ severity }: { severity: Severity }) {
  return (
    <svg class={`severity-icon ${severity}`} viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d={PATHS[severity]} fill="currentColor" />
      {severity === 'info' ? (
        <path d="M8 7v4.4M8 4.4v.3" class="mark" />
      ) : (
        <path d={severity === 'critical' ? 'M8 4v4.6M8 11.4v.3' : 'M8 5.8v4M8 12v.3'} class="mark" />
      )}
    </svg>
  );
}

const STROKES = {
  live: 'M2.6 12.2a8 8 0 0 1 0-8.4M13.4 3.8a8 8 0 0 1 0 8.4M5.2 10.4a4.4 4.4 0 0 1 0-4.8M10.8 5.6a4.4 4.4 0 0 1 0 4.8M8 8v.01',
  connecting: 'M13.5 8A5.5 5.5 0 1 1 8 2.5',
  offline:
    'M2 2l12 12M5.2 10.4a4.4 4.4 0 0 1-.4-4M10.8 5.6a4.4 4.4 0 0 1 .5 3.6M2.6 12.2a8 8 0 0 1-.5-7.4M13.4 3.8a8 8 0 0 1 .4 7.6',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  up: 'M3.5 10 8 5.5l4.5 4.5',
  down: 'M3.5 6 8 10.5 12.5 6',
  next: 'M6 3.5 10.5 8 6 12.5',
  search: 'M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9M10.4 10.4l3.4 3.4',
  help: 'M5.6 5.9a2.4 2.4 0 1 1 3.4 2.2c-.7.3-1 .7-1 1.5M8 12v.01',
  sun: 'M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6M8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1',
  moon: 'M13.4 9.6A5.8 5.8 0 0 1 6.4 2.6a5.8 5.8 0 1 0 7 7z',
  system: 'M2 3h12v8H2zM5.5 13.5h5',
  arrowUp: 'M8 13V3.4M3.8 7.4 8 3.2l4.2 4.2',
  copy: 'M5.5 5.5h7v7h-7zM3.5 10.5v-7h7',
  check: 'M3 8.5l3.4 3.4L13 4.8',
} as const;

export function Icon({ name }: { name: keyof typeof STROKES }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={STROKES[name]} />
    </svg>
  );
}

export function Brand() {
  return (
    <svg class="brand-mark" viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <path d="M24.5 10.2A10.2 10.2 0 1 0 26.2 16M20 13.2A5 5 0 1 0 21 16" />
      <circle cx="25.4" cy="12.3" r="2.4" />
    </svg>
  );
}

export function StatusIcon({ status }: { status: 'firing' | 'resolved' }) {
  return (
    <svg class="status-icon" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
      {status === 'firing' ? <circle cx="8" cy="8" r="4.5" fill="currentColor" /> : <path d="M3 8.5l3.4 3.4L13 4.8" />}
    </svg>
  );
}
