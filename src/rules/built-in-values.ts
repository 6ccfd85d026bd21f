/** Values that every rule of a key may use without a feature of its own: made when a rule first mentions one. */
import { DESKS, type Desk } from '../alerts/alert.ts';
import { clockOf, firstSeenOf } from '../state/block.ts';
import type { Reader, Scope } from '../state/operator.ts';
import type { Environment, Value } from './compile.ts';
import type { CompiledFeature } from './compiled-rule.ts';
import { LEDGER_GROWS, LEDGER_NAMES, LEDGER_VALUES } from './ledger-values.ts';
import { parameterBinding, type RuleDraft } from './rule-draft.ts';
import { always, type SetDraft } from './set-draft.ts';
import { REVENUE_TYPES, type SharedOperators } from './shared-operators.ts';
import { looksForMs } from './valuation.ts';

const TICKET_NAMES = ['open', 'oldestOpenedAt', 'oldestAge'];
const MODEL_GROUPS = ['lifecycle.', 'value.', 'rfm.', 'churn.'];

/** Those that change while nothing happens. */
const GROWS_WITH_TIME: ReadonlySet<string> = new Set([
  'now',
  'knownFor',
  ...LEDGER_GROWS.map((name) => `ledger.${name}`),
  'tickets.oldestAge',
  'debt.probability',
  'debt.expectedLoss',
]);

export interface BuiltInValues {
  /** Those that the rule mentions. */
  mentioned: ReadonlyMap<string, CompiledFeature>;
  /** What conditions, timers and texts of the rule may name: features, built-in values, the record. */
  environment: Environment;
  growWithTime(): boolean;
  /** Adds the records that change what the rule mentions to what makes it look. */
  addTriggers(): void;
}

export function builtInValues(draft: RuleDraft, set: SetDraft, shared: SharedOperators): BuiltInValues {
  const { rule, compiled, features, isModel, recordEnvironment } = draft;
  const { key } = rule;
  const mentioned = new Map<string, CompiledFeature>();

  const make = (name: string): CompiledFeature | undefined => {
    const plain = { window: '', entry: undefined };
    if (name === 'now') return { ...plain, name, unit: 'time', type: 'time', read: (scope) => scope.now };
    if (name === 'knownFor')
      return { ...plain, name, unit: 's', type: 'duration', read: (scope) => scope.now - firstSeenOf(scope.cursor) };
    if (name === 'lastSeenAt')
      return { ...plain, name, unit: 'time', type: 'time', read: (scope) => clockOf(scope.cursor) };
    const [group, value] = name.split('.') as [string, string | undefined];
    if (group === 'ledger' && key === 'account' && value !== undefined && Object.hasOwn(LEDGER_VALUES, value)) {
      const { part, unit, type, read } = LEDGER_VALUES[value]!;
      const { operator, entry } = shared[part]();
      return { name, window: '', entry, unit, type, read: read(operator as never) };
    }
    if (group === 'tickets' && key === 'subscriber' && value !== undefined && TICKET_NAMES.includes(value)) {
      const { operator: own, entry } = shared.tickets();
      const common = { name, window: '', entry };
      if (value === 'open') return { ...common, unit: 'count', type: 'number', read: own.open };
      if (value === 'oldestOpenedAt') return { ...common, unit: 'time', type: 'time', read: own.oldestOpenedAt };
      return { ...common, unit: 's', type: 'duration', read: (scope) => scope.now - own.oldestOpenedAt(scope) };
    }
    if (group === 'score' && key === 'subscriber' && (DESKS as readonly (string | undefined)[]).includes(value)) {
      const { operator, entry } = shared.score;
      return {
        name,
        window: '',
        entry,
        unit: 'none',
        type: 'number',
        read: (scope) => operator.read(scope, value as Desk),
      };
    }
    if (name === 'balance' && key === 'subscriber') {
      const { operator, entry } = shared.balance();
      return { name, window: '', unit: 'currency', type: 'number', read: operator.value, entry };
    }
    if (key === 'subscriber' && !isModel && MODEL_GROUPS.some((prefix) => name.startsWith(prefix))) {
      // Made by the model, whose own features come first.
      const found = set.valuation?.names.get(name);
      if (found === undefined) return undefined;
      compiled.reachMs = Math.max(compiled.reachMs, looksForMs(set.valuation!.model));
      return { name, window: '', entry: shared.revenueEntry(), ...found };
    }
    if (key === 'account' && !isModel && group === 'debt') {
      const found = set.debt?.names.get(name);
      return found === undefined ? undefined : { name, window: '', entry: shared.ledger().entry, ...found };
    }
    return undefined;
  };
  const lookUp = (name: string): CompiledFeature | undefined => {
    let found = features.get(name) ?? mentioned.get(name);
    if (found === undefined) {
      found = make(name);
      if (found !== undefined) mentioned.set(name, found);
    }
    return found;
  };

  const currencyPerSdr = parameterBinding(set.options.currencyPerSdr ?? 1);
  const once = new Map<string, (scope: Scope) => Value>();
  return {
    mentioned,
    environment: {
      resolve: (name) => {
        const feature = lookUp(name);
        if (feature === undefined) return name === 'currencyPerSdr' ? currencyPerSdr : recordEnvironment.resolve(name);
        let evaluate = once.get(name);
        if (evaluate === undefined) {
          evaluate =
            feature.type === 'text' || feature.type === 'boolean' ? feature.read : onceALook(feature.read as Reader);
          once.set(name, evaluate);
        }
        return { type: feature.type, evaluate };
      },
      names: () => [
        ...features.keys(),
        'now',
        'knownFor',
        'lastSeenAt',
        'currencyPerSdr',
        ...(key === 'account' ? LEDGER_NAMES.map((name) => `ledger.${name}`) : []),
        ...(key === 'account' && !isModel ? [...(set.debt?.names.keys() ?? [])] : []),
        ...(key === 'subscriber' ? [...TICKET_NAMES.map((name) => `tickets.${name}`), 'balance'] : []),
        ...(key === 'subscriber' && !isModel ? [...(set.valuation?.names.keys() ?? [])] : []),
        ...recordEnvironment.names(),
      ],
      ...set.functions,
    },
    growWithTime: () => [...mentioned.keys()].some((name) => GROWS_WITH_TIME.has(name)),
    addTriggers() {
      const { keyType } = compiled;
      const names = [...mentioned.keys()];
      const mentions = (...prefixes: string[]): boolean =>
        names.some((name) => prefixes.some((prefix) => name.startsWith(prefix)));
      const { triggers } = draft;
      if (mentions('ledger.', 'debt.')) triggers.add(set.stepOf(keyType, ['invoice', 'payment'], '', always));
      if (mentions('tickets.')) triggers.add(set.stepOf(keyType, ['care'], '', always));
      if (mentioned.has('balance')) triggers.add(set.stepOf(keyType, ['topup', 'transfer'], '', always));
      if (mentions(...MODEL_GROUPS)) triggers.add(set.stepOf(keyType, [...REVENUE_TYPES], '', always));
    },
  };
}

/**
 * Two bands, a timer and a derived feature may ask for the same window in one look at a key, and scanning it is what costs. The
 * value is kept in typed memory, because a number in a closure's variable would be allocated anew on every write.
 */
function onceALook(read: Reader): Reader {
  const kept = new Float64Array(2);
  return (scope) => {
    if (kept[0] === scope.look) return kept[1]!;
    const value = read(scope);
    kept[0] = scope.look;
    kept[1] = value;
    return value;
  };
}
