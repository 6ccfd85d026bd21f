/** The sentences about rules in the language of the page, and names in them. */
import { computed } from '@preact/signals';
import { format, locale } from './locale.ts';
import type { HistoryEntry } from './rule-api.ts';
import { ruleMessages } from './rule-messages.ts';
import { ruleMessagesZhCn } from './rule-messages-zh-cn.ts';

export const ruleText = computed(() => (locale.value === 'zh-CN' ? ruleMessagesZhCn : ruleMessages));

export function statusName(status: string): string {
  const names: Record<string, string> = ruleText.value.statuses;
  return Object.hasOwn(names, status) ? names[status]! : status;
}

/** Who did something; a process is named by what it did. */
export function authorName({ by, origin }: Pick<HistoryEntry, 'by' | 'origin'>): string {
  const { origins, unnamed } = ruleText.value;
  if (by.kind === 'process' && Object.hasOwn(origins, origin)) return origins[origin as keyof typeof origins];
  return by.id === '' ? unnamed : by.id;
}

export const share = (ratio: number): string => format.value.percent(ratio);
