/** The sentence of an alert in both languages: why it fires, that it is over, or why it ended although nothing has changed. */
import type { CompiledBand } from '../rules/compiled-rule.ts';
import type { Scope } from '../state/operator.ts';
import type { LocalizedText } from './alert.ts';

export const firingReason = (band: CompiledBand, scope: Scope): LocalizedText => ({
  en: band.reason.en(scope),
  'zh-CN': band.reason['zh-CN'](scope),
});

/**
 * Says first that it is over and since when, because the values that follow are those of now. A sentence about a record has none
 * then, and is left out.
 * @param heldAt when the condition last held, as people there write it
 */
export function resolvedReason(band: CompiledBand, scope: Scope, heldAt: string): LocalizedText {
  if (band.saysRecord) return { en: `over, last true ${heldAt}`, 'zh-CN': `已解除，最后成立于${heldAt}` };
  const now = firingReason(band, scope);
  return {
    en: `over, last true ${heldAt}; now: ${now.en}`,
    'zh-CN': `已解除，最后成立于${heldAt}；目前：${now['zh-CN']}`,
  };
}

/** Why an alert was resolved although nothing of the subscriber's has changed. */
export const DEPARTED = {
  removed: { en: 'the rule was removed', 'zh-CN': '规则已被移除' },
  off: { en: 'the rule was switched off', 'zh-CN': '规则已停用' },
  otherKey: { en: 'the rule now groups by another key', 'zh-CN': '规则已改为按其他对象分组' },
  nowLive: { en: 'the draft rule went live', 'zh-CN': '草案规则已转为正式' },
  nowDraft: { en: 'the rule became a draft', 'zh-CN': '规则已转为草案' },
} satisfies Record<string, LocalizedText>;

/** `last` is the sentence that the alert would have had. */
export const departedReason = (cause: LocalizedText, last: LocalizedText): LocalizedText => ({
  en: `resolved because ${cause.en}; ${last.en}`,
  'zh-CN': `因${cause['zh-CN']}而解除；${last['zh-CN']}`,
});
