/** The value of a rule as people call it; its name, which conditions use, is there to point at. */
import { format } from './locale.ts';
import { featureTitle } from './rule-names.ts';
import { wordName } from './slugs.ts';

export function FeatureName({ ruleId, feature }: { ruleId: string; feature: string }) {
  const title = featureTitle(ruleId, feature);
  return title === undefined ? <code>{feature}</code> : <span title={feature}>{title}</span>;
}

export const windowText = (window: string): string =>
  window === 'shift' ? wordName(window) : format.value.duration(window);

/** By convention a value whose name ends in `At` is a time. */
export function valueText(feature: string, value: number | string | null, unit: string): string {
  if (typeof value === 'string') return wordName(value);
  return format.value.value(value, unit === 'none' && feature.endsWith('At') ? 'time' : unit);
}

/** The same where only text can stand; rules that share a value share its title. */
export const featureText = ({ ruleIds, feature }: { ruleIds: readonly string[]; feature: string }): string =>
  featureTitle(ruleIds[0] ?? '', feature) ?? feature;
