/**
 * Begins a feature anew: forwarded calls since forwarding was set, the first roaming since the number was activated. What the
 * operator remembers of the key is removed when the record arrives that says so; the next one that it takes finds nothing.
 */
import type { Operator } from './operator.ts';

/** @param target Id of the operator whose segment is removed. */
export function createReset(target: number): Operator {
  return {
    id: target,
    signature: `reset|${target}`,
    unitsMax: 0,
    retentionMs: 0,
    lateAfterMs: 0,
    onArrival: false,
    update: (_scope, blocks) => blocks.remove(target),
  };
}
