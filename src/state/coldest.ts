/**
 * Which blocks leave memory first: those whose keys were heard of longest ago, by their own clocks. Nothing is noted when a key is
 * touched, so the hot path pays nothing. A hand goes round the pages, as in the clock algorithm for pages of memory, and spills
 * what is older than a limit; the limit is the oldest eighth of a sample of all blocks, and is drawn anew when too little is
 * found. Which of two old keys goes first depends on where they lie in memory; no result does.
 */
import type { Arena } from './arena.ts';

/** The sample: so many blocks of so many pages, spread evenly. */
const SAMPLE_PAGES = 32;
const SAMPLE_OF_PAGE = 32;
const COLD_SHARE = 1 / 8;
/** Less than this of what the hand looks at: the limit is out of date. */
const LEAST_SHARE = 1 / 32;
/** Nor is it drawn anew more often than this. */
const LOOKED_MIN = 4_096;

export interface Coldest {
  /** Calls `spill` with one cold block after the other until it says that it is enough; false where there is nothing left. */
  sweep(spill: (address: number) => boolean): boolean;
}

/** @param touchedAt when the keys of a block were heard of last */
export function createColdest(arena: Arena, touchedAt: (address: number) => number): Coldest {
  let hand = 0;
  let limit = Number.NEGATIVE_INFINITY;

  const drawLimit = (): void => {
    const clocks: number[] = [];
    const pages = arena.pageCount();
    const stride = Math.max(1, Math.floor(pages / SAMPLE_PAGES));
    for (let page = hand % stride; page < pages; page += stride) {
      const places = arena.placesOf(page);
      const step = Math.max(1, Math.floor(places / SAMPLE_OF_PAGE));
      for (let place = 0; place < places; place += step) {
        const address = arena.blockAt(page, place);
        if (address !== 0) clocks.push(touchedAt(address));
      }
    }
    clocks.sort((a, b) => a - b);
    // Of a sample of nothing but free places: anything.
    limit = clocks[Math.floor(clocks.length * COLD_SHARE)] ?? Number.POSITIVE_INFINITY;
  };

  return {
    sweep(spill) {
      let looked = 0;
      let found = 0;
      let barren = 0;
      /** A whole round that finds nothing under a limit of now is the end. */
      let drawnNow = false;
      for (;;) {
        if (hand >= arena.pageCount()) hand = 0;
        let here = 0;
        const page = hand;
        for (let place = arena.placesOf(page) - 1; place >= 0; place--) {
          const address = arena.blockAt(page, place);
          if (address === 0) continue;
          looked++;
          if (touchedAt(address) > limit) continue;
          here++;
          if (spill(address)) return true;
        }
        hand++;
        found += here;
        if (here > 0) {
          barren = 0;
          drawnNow = false;
        } else barren++;
        const isRoundBarren = barren > arena.pageCount();
        if (isRoundBarren && drawnNow) return false;
        if (!isRoundBarren && (looked < LOOKED_MIN || found >= looked * LEAST_SHARE)) continue;
        drawLimit();
        drawnNow = true;
        barren = 0;
        looked = 0;
        found = 0;
      }
    },
  };
}
