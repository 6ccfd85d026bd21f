/**
 * Keys with blocks and a scope to look at them, as the engine has them, for tests of single operators. What happens to a key
 * here is what `apply` does around an operator: the clock moves on, the block is bound, the record stands in the scope.
 */
import { BLANK_RECORD, type UsageRecord } from '../src/record/usage-record.ts';
import { type Arena, createArena } from '../src/state/arena.ts';
import { type Blocks, clockOf, createBlocks, type Segments, setClock } from '../src/state/block.ts';
import { blankScope, type Operator, type Scope } from '../src/state/operator.ts';

export interface KeyState {
  arena: Arena;
  blocks: Blocks;
  scope: Scope;
  /** Takes a record into the operators of one key. */
  apply(key: number, fields: Partial<UsageRecord>, ...operators: Operator[]): void;
  /** The same with a record that other keys have seen already. */
  applySame(key: number, record: Scope['record'], ...operators: Operator[]): void;
  /** Binds a key as of `now`, at least its clock; without it as of its clock. False where it has no block. */
  look(key: number, now?: number): boolean;
}

export function createKeyState(): KeyState {
  const arena = createArena();
  const blocks = createBlocks(arena);
  const addresses = new Map<number, number>();
  blocks.onMove((_keyType, key, address) => addresses.set(key, address));
  const { cursor } = blocks;
  const segments: Segments = {
    f64: cursor.f64,
    u32: cursor.u32,
    find(subscriber, operator) {
      const address = addresses.get(subscriber);
      return address === undefined ? 0 : blocks.peek(address, operator, segments);
    },
  };
  const scope = blankScope(cursor, segments);
  const applySame: KeyState['applySame'] = (key, record, ...operators) => {
    let address = addresses.get(key);
    if (address === undefined) {
      address = blocks.create(0, key, record.eventTime);
      addresses.set(key, address);
    }
    blocks.bind(address);
    if (record.eventTime > clockOf(cursor)) setClock(cursor, record.eventTime);
    scope.record = record;
    scope.subscriber = key;
    scope.now = clockOf(cursor);
    scope.look++;
    for (const operator of operators) operator.update(scope, blocks);
  };
  return {
    arena,
    blocks,
    scope,
    applySame,
    apply: (key, fields, ...operators) => applySame(key, { ...BLANK_RECORD, ...fields }, ...operators),
    look(key, now = 0) {
      const address = addresses.get(key);
      if (address === undefined) return false;
      blocks.bind(address);
      scope.record = BLANK_RECORD;
      scope.now = Math.max(now, clockOf(cursor));
      scope.look++;
      return true;
    },
  };
}
