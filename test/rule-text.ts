/** The text of a small right rule, into which tests put one thing that is wrong. */
import { expect } from 'vitest';

/** What every such rule begins with; parameters, features, bands and the rest follow. */
const HEAD = `id: fraud.burst
version: 1
catalogue: F90
status: test
desk: fraud
title: { en: Burst, zh-CN: 突增 }
fraudType: irsf
enabler: subscription
key: subscriber
on: voice
where: direction == 'mo'
`;
export const ruleText = (rest: string): string => HEAD + rest;

/** The text with one piece changed. ¦ in `to` marks where the error must point at, and is taken out. */
export function changeText(text: string, from: string, to: string): { text: string; line: number; column: number } {
  expect(text).toContain(from);
  const changed = text.replace(from, () => to.replace('¦', ''));
  return { text: changed, ...placeOf(to, changed) };
}

/** Line and column of the place that ¦ marks in a piece of the text. */
export function placeOf(marked: string, text: string): { line: number; column: number } {
  const at = text.indexOf(marked.replace('¦', ''));
  expect(at, marked).toBeGreaterThanOrEqual(0);
  const before = text.slice(0, at + marked.indexOf('¦')).split('\n');
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
