/**
 * The panes of a window as a chart needs them: all of them. The engine lists only those in which something happened, so
 * the quiet ones between, before and after are put back; without them two calls an hour apart would stand side by side.
 */
export interface Pane {
  startAt: number;
  value: number;
}

/** As rules allow at most. */
const PANES_MAX = 1_024;
const UNIT_SEC: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** Length of a window as a rule writes it (`90s`, `1h`, `14d`); undefined where it is written in another way. */
export function windowSec(window: string): number | undefined {
  const match = /^(\d+)([smhdw])$/.exec(window);
  return match === null ? undefined : Number(match[1]) * UNIT_SEC[match[2]!]!;
}

/**
 * @param listed panes in which something happened, in any order
 * @param clockAt the subscriber's clock: its window ends with the pane of that time, or before it where the rule says so
 */
export function wholeWindow(
  listed: readonly Pane[],
  window: string,
  paneSec: number | undefined,
  clockAt: number,
): Pane[] {
  const known = [...listed].sort((a, b) => a.startAt - b.startAt);
  const [first, last] = [known[0], known.at(-1)];
  const lengthSec = windowSec(window);
  if (first === undefined || last === undefined || lengthSec === undefined || !paneSec) return known;
  const paneMs = paneSec * 1_000;
  const panes = Math.round(lengthSec / paneSec);
  const spanned = Math.round((last.startAt - first.startAt) / paneMs) + 1;
  if (panes > PANES_MAX || spanned > panes) return known;
  // The latest end at which every listed pane still lies inside.
  const endAt = Math.max(
    last.startAt,
    Math.min(Math.floor(clockAt / paneMs) * paneMs, first.startAt + (panes - 1) * paneMs),
  );
  const values = new Map(known.map((pane) => [pane.startAt, pane.value]));
  return Array.from({ length: panes }, (_, at) => {
    const startAt = endAt - (panes - 1 - at) * paneMs;
    return { startAt, value: values.get(startAt) ?? 0 };
  });
}
