/** Values as alerts and views show them. */
import type { Value, ValueType } from '../rules/compile.ts';

/** To a millionth: sums are whole numbers of millionths, and their quotients need no more. */
export const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

/** Durations are shown in seconds, the base unit; what is not known is null. */
export function evidenceValue(value: Value, type: ValueType): number | string | null {
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'string') return value === '' ? null : value;
  if (!Number.isFinite(value)) return null;
  return rounded(type === 'duration' ? value / 1000 : value);
}
