/**
 * Time of a simulated world. The real code runs unchanged: while a world lives, the timers and clocks of Node are those here, and
 * a process of the world is what called them. Whatever happens is an event with a time, run one after the other; an
 * event is over when no promise is left to be resolved, so what a run does depends on its seed alone.
 */

/** A process of the simulated world. When it dies, whatever it had waited for never comes. */
export interface SimProcess {
  alive: boolean;
  /** What its wall clock is ahead of the true time. */
  clockAheadMs: number;
  /** Counts every event of the process and everything that it asks of the world; where it may die. */
  step(part?: 'disk'): void;
  /** Something threw where nobody catches: the end of a real process. */
  failed(error: unknown): void;
}

interface Event {
  at: number;
  order: number;
  owner: SimProcess | undefined;
  run: (() => void) | undefined;
}

export interface SimClock {
  /** True time, Unix epoch ms. */
  now(): number;
  /** Runs once after so many ms; without an owner it happens whatever dies. Returns the function that calls it off. */
  after(delayMs: number, run: () => void, owner?: SimProcess): () => void;
  /** Runs what a process does by itself, as if an event had begun. */
  as(owner: SimProcess, run: () => void): void;
  /** Lets events happen until the condition holds; false where it does not within so many ms. */
  until(condition: () => boolean, limitMs: number): Promise<boolean>;
  events(): number;
  /** Gives Node its own timers and clocks back. */
  remove(): void;
}

const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  clearImmediate: globalThis.clearImmediate,
  dateNow: Date.now,
};
const settled = (): Promise<void> => new Promise((resolve) => real.setImmediate(resolve));

/** @param lookMs what every look at the monotonic clock costs: a slow machine is one where looking shows that time has passed. */
export function createClock(begin: number, lookMs: number): SimClock {
  const heap: Event[] = [];
  let time = begin;
  let orders = 0;
  let events = 0;
  let current: SimProcess | undefined;

  const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
  const push = (event: Event): void => {
    let at = heap.length;
    heap.push(event);
    for (let parent = (at - 1) >> 1; at > 0 && before(event, heap[parent]!); parent = (at - 1) >> 1) {
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  };
  const pop = (): Event | undefined => {
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  };
  const schedule = (delayMs: number, owner: SimProcess | undefined, run: () => void): Event => {
    const event = { at: time + Math.max(0, delayMs), order: orders++, owner, run };
    push(event);
    return event;
  };

  /** What setTimeout and its like give back. */
  interface Handle {
    event: Event;
    ref(): Handle;
    unref(): Handle;
  }
  const handleOf = (event: Event): Handle => {
    const handle: Handle = { event, ref: () => handle, unref: () => handle };
    return handle;
  };
  const cancel = (handle: unknown): boolean => {
    const event = (handle as Partial<Handle> | undefined)?.event;
    if (event === undefined) return false;
    event.run = undefined;
    return true;
  };
  type Callback = (...args: unknown[]) => void;
  const node = globalThis as unknown as Record<string, unknown>;
  node['setTimeout'] = (run: Callback, delayMs = 1, ...args: unknown[]): unknown =>
    current === undefined
      ? real.setTimeout(run, delayMs, ...args)
      : handleOf(schedule(Math.max(1, delayMs), current, () => run(...args)));
  node['setInterval'] = (run: Callback, delayMs = 1, ...args: unknown[]): unknown => {
    if (current === undefined) return real.setInterval(run, delayMs, ...args);
    const owner = current;
    const handle = handleOf(schedule(delayMs, owner, again));
    function again(): void {
      handle.event = schedule(delayMs, owner, again);
      run(...args);
    }
    return handle;
  };
  node['setImmediate'] = (run: Callback, ...args: unknown[]): unknown =>
    current === undefined ? real.setImmediate(run, ...args) : handleOf(schedule(0, current, () => run(...args)));
  node['clearTimeout'] = (handle: unknown): void => {
    if (!cancel(handle)) real.clearTimeout(handle as NodeJS.Timeout);
  };
  node['clearInterval'] = node['clearTimeout'];
  node['clearImmediate'] = (handle: unknown): void => {
    if (!cancel(handle)) real.clearImmediate(handle as NodeJS.Immediate);
  };
  Date.now = () => (current === undefined ? real.dateNow() : Math.floor(time + current.clockAheadMs));
  performance.now = () => {
    if (current === undefined) return real.dateNow();
    time += lookMs;
    return time - begin;
  };

  const as = (owner: SimProcess | undefined, run: () => void): void => {
    if (owner !== undefined) {
      owner.step();
      if (!owner.alive) return;
    }
    current = owner;
    try {
      run();
    } catch (error) {
      if (owner === undefined) throw error;
      owner.failed(error);
    }
  };

  return {
    now: () => time,
    after(delayMs, run, owner) {
      const event = schedule(delayMs, owner, run);
      return () => {
        event.run = undefined;
      };
    },
    as,
    async until(condition, limitMs) {
      const limit = time + limitMs;
      while (!condition()) {
        const event = pop();
        if (event === undefined || event.at > limit) {
          if (event !== undefined) push(event);
          return false;
        }
        if (event.run === undefined || event.owner?.alive === false) continue;
        time = Math.max(time, event.at);
        events++;
        as(event.owner, event.run);
        await settled();
        current = undefined;
      }
      return true;
    },
    events: () => events,
    remove() {
      Object.assign(globalThis, {
        setTimeout: real.setTimeout,
        clearTimeout: real.clearTimeout,
        setInterval: real.setInterval,
        clearInterval: real.clearInterval,
        setImmediate: real.setImmediate,
        clearImmediate: real.clearImmediate,
      });
      Date.now = real.dateNow;
      // The own property hid the one of the prototype.
      delete (performance as { now?: unknown }).now;
    },
  };
}
