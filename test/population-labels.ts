/** The truth about a feed as `replay --labels` reads it. */
import { DESKS, type Desk } from '../src/alerts/alert.ts';
import type { PlantedCase } from '../src/feed/planted-case.ts';
import type { Population } from '../src/feed/population.ts';

const LABEL_COLUMNS = { fraud: 'fraud', arrears: 'arrears', retention: 'churn' } as const;

/**
 * The labels of a feed as CSV lines for `replay --labels`: every subscriber, 1 in the column of each desk that has a case
 * of it, and the catalogue ids. Yields the header first; lines carry their line feed.
 */
export function* labelLines(
  subscribers: Iterable<string>,
  labels: readonly PlantedCase[],
  desks: readonly Desk[] = DESKS,
): Generator<string, void, undefined> {
  const casesOf = new Map<string, PlantedCase[]>();
  for (const label of labels) {
    const cases = casesOf.get(label.servedMsisdn);
    if (cases === undefined) casesOf.set(label.servedMsisdn, [label]);
    else cases.push(label);
  }
  yield `servedMsisdn,${desks.map((desk) => LABEL_COLUMNS[desk]).join(',')},catalogue\n`;
  for (const msisdn of subscribers) {
    const cases = casesOf.get(msisdn) ?? [];
    const columns = desks.map((desk) => (cases.some((label) => label.desk === desk) ? 1 : 0));
    yield `${msisdn},${columns.join(',')},${cases.map((label) => label.catalogue).join(' ')}\n`;
  }
}

export function* allNumbers(of: Pick<Population, 'subscribers' | 'msisdn'>): Generator<string, void, undefined> {
  for (let index = 0; index < of.subscribers; index++) yield of.msisdn(index);
}
