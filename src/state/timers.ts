/**
 * Event-time timers: which key wants to be looked at again, and when.
 *
 * A key has at most one valid entry; its time stands in the key's block as well. An entry whose key no longer names its
 * time is stale and is dropped when it comes up. A wake-up that moves later costs nothing: the earlier entry comes up, sees
 * that nothing is due, and is queued again. So the queue holds about one entry a key, and a record that only postpones a
 * silence ("seven days after the last call") does not touch it.
 *
 * A binary heap over typed arrays, ordered by time, then key type, then key: the order in which timers fire depends on
 * nothing else, so a restored queue fires in the same order as one that was never interrupted.
 */

export interface Timers {
  push(time: number, keyType: number, key: number): void;
  /** Time of the first entry, Infinity where the queue is empty. */
  nextAt(): number;
  /** Takes the first entry; its parts are in `popped`. */
  pop(): void;
  popped: { time: number; keyType: number; key: number };
  /** Calls `visit` with the entries that are due by `time`, in no order, until it says that it has enough. */
  dueBy(time: number, visit: (keyType: number, key: number) => boolean): void;
  size(): number;
  bytes(): number;
  clear(): void;
}

const CAPACITY_MIN = 1_024;
/** 20 bytes each; beyond this many something asks for timers without end. */
export const TIMERS_MAX = 200_000_000;

export function createTimers(): Timers {
  let times = new Float64Array(CAPACITY_MIN);
  let keys = new Float64Array(CAPACITY_MIN);
  let keyTypes = new Uint8Array(CAPACITY_MIN);
  let length = 0;
  const popped = { time: 0, keyType: 0, key: 0 };

  const before = (time: number, keyType: number, key: number, index: number): boolean => {
    const other = times[index]!;
    if (time !== other) return time < other;
    if (keyType !== keyTypes[index]!) return keyType < keyTypes[index]!;
    return key < keys[index]!;
  };
  const put = (index: number, time: number, keyType: number, key: number): void => {
    times[index] = time;
    keyTypes[index] = keyType;
    keys[index] = key;
  };

  return {
    popped,
    push(time, keyType, key) {
      if (length === times.length) {
        if (length >= TIMERS_MAX) throw new RangeError('the timer queue is full');
        const capacity = length * 2;
        const grownTimes = new Float64Array(capacity);
        grownTimes.set(times);
        times = grownTimes;
        const grownKeys = new Float64Array(capacity);
        grownKeys.set(keys);
        keys = grownKeys;
        const grownTypes = new Uint8Array(capacity);
        grownTypes.set(keyTypes);
        keyTypes = grownTypes;
      }
      let index = length++;
      while (index > 0) {
        const parent = (index - 1) >> 1;
        if (!before(time, keyType, key, parent)) break;
        put(index, times[parent]!, keyTypes[parent]!, keys[parent]!);
        index = parent;
      }
      put(index, time, keyType, key);
    },
    nextAt: () => (length === 0 ? Number.POSITIVE_INFINITY : times[0]!),
    pop() {
      popped.time = times[0]!;
      popped.keyType = keyTypes[0]!;
      popped.key = keys[0]!;
      length--;
      if (length === 0) return;
      const time = times[length]!;
      const keyType = keyTypes[length]!;
      const key = keys[length]!;
      let index = 0;
      for (;;) {
        let child = index * 2 + 1;
        if (child >= length) break;
        if (child + 1 < length && before(times[child + 1]!, keyTypes[child + 1]!, keys[child + 1]!, child)) child++;
        if (before(time, keyType, key, child)) break;
        put(index, times[child]!, keyTypes[child]!, keys[child]!);
        index = child;
      }
      put(index, time, keyType, key);
    },
    dueBy(time, visit) {
      // Below an entry that is not due nothing is.
      const open = [0];
      while (open.length > 0) {
        const index = open.pop()!;
        if (index >= length || times[index]! > time) continue;
        if (!visit(keyTypes[index]!, keys[index]!)) return;
        open.push(index * 2 + 1, index * 2 + 2);
      }
    },
    size: () => length,
    bytes: () => times.length * 17,
    clear() {
      length = 0;
    },
  };
}
