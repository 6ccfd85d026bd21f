/**
 * What is planned, in time order: a binary heap on (time, order of planning), so that equal times come out as they
 * were put in and a seed always gives the same feed.
 */

/** A million subscribers have about half a million payments planned; above this something plans without end. */
export const AGENDA_ITEMS_MAX = 20_000_000;

export interface Agenda<Item> {
  add(at: number, item: Item): void;
  /** Time of the next item, Infinity where nothing is planned. */
  nextAt(): number;
  /** Removes and returns the next item; only to be called when `nextAt()` is finite. */
  take(): Item;
}

export function createAgenda<Item>(): Agenda<Item> {
  const heap: { at: number; order: number; item: Item }[] = [];
  let order = 0;

  const before = (one: { at: number; order: number }, other: { at: number; order: number }): boolean =>
    one.at < other.at || (one.at === other.at && one.order < other.order);

  return {
    add(at, item) {
      if (heap.length >= AGENDA_ITEMS_MAX) throw new Error(`agenda is full: ${AGENDA_ITEMS_MAX} items`);
      const entry = { at, order: order++, item };
      let hole = heap.length;
      heap.push(entry);
      while (hole > 0) {
        const parent = (hole - 1) >> 1;
        if (!before(entry, heap[parent])) break;
        heap[hole] = heap[parent];
        hole = parent;
      }
      heap[hole] = entry;
    },
    nextAt: () => (heap.length === 0 ? Number.POSITIVE_INFINITY : heap[0].at),
    take() {
      const top = heap[0];
      const last = heap.pop();
      if (last !== undefined && heap.length > 0) {
        let hole = 0;
        for (;;) {
          let child = 2 * hole + 1;
          if (child >= heap.length) break;
          if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
          if (!before(heap[child], last)) break;
          heap[hole] = heap[child];
          hole = child;
        }
        heap[hole] = last;
      }
      return top.item;
    },
  };
}
