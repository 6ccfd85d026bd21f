/** Slugs of alerts in the reader's language. Rules may bring new ones: a slug without a name is shown as it is. */
import { messages } from './locale.ts';
import type { Messages } from './messages.ts';

type SlugCatalogue =
  | 'letterReasons'
  | 'keyTypes'
  | 'tiers'
  | 'stages'
  | 'worth'
  | 'scoreParts'
  | 'fraudTypes'
  | 'enablers'
  | 'words'
  | 'actions';

function nameOf(catalogue: SlugCatalogue, slug: string): string {
  const names: Messages[SlugCatalogue] = messages.value[catalogue];
  return Object.hasOwn(names, slug) ? (names as Record<string, string>)[slug]! : slug;
}

export const letterReasonName = (slug: string): string => nameOf('letterReasons', slug);
export const keyTypeName = (slug: string): string => nameOf('keyTypes', slug);
export const tierName = (slug: string): string => nameOf('tiers', slug);
/** Figures of the customer value, scores, and what they are made of. */
export const worthName = (slug: string): string => nameOf('worth', slug);
export const scorePartName = (slug: string): string => nameOf('scoreParts', slug);
export const stageName = (slug: string): string => nameOf('stages', slug);
export const fraudTypeName = (slug: string): string => nameOf('fraudTypes', slug);
export const enablerName = (slug: string): string => nameOf('enablers', slug);
/** What a rule's value says where it is no number: yes or no, the tier of a customer, its stage. */
export function wordName(slug: string): string {
  const found = (['words', 'tiers', 'stages'] as const).find((catalogue) =>
    Object.hasOwn(messages.value[catalogue], slug),
  );
  return found === undefined ? slug : nameOf(found, slug);
}
export const actionName = (slug: string): string => nameOf('actions', slug);
