/**
 * The bad-debt model, `models/arrears.yaml` beside the rules: how likely an account is not to pay what it owes, and what that
 * would cost. Like the model of the retention desk (model.ts) it is data: features in the language of the rules, a formula
 * that is fixed and explained here, and every figure of it in the file.
 *
 * ```
 * probability     PD = 1 / (1 + exp(-(intercept + sum of coefficient x value)))
 * expected loss   PD x exposure x loss given default
 * ```
 *
 * Each value is kept between 0 and the `most` of its input, and is 0 where it is not known: an account of which nothing bad is
 * known has the intercept alone. Where `applies` does not hold (prepaid, never billed) there is no score.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Reader, Scope } from '../state/operator.ts';
import type { ValueType } from './compile.ts';
import { parseForm, type RuleProblem, type SchemaNode } from './form.ts';
import { ruleOfModel } from './model.ts';
import { closed, expression, features, localized, params, type RuleSource } from './rule.ts';
import type { Contribution } from './valuation.ts';

export const DEBT_INPUTS_MAX = 16;

export const debtModelSchema = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z][a-z0-9-]*$', maxLength: 60, description: 'Stable name of the model.' }),
    version: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Goes up with every change.' }),
    description: Type.Optional(localized('What the coefficients come from.')),
    params: Type.Optional(params),
    features: Type.Optional(features),
    applies: expression('Which accounts have a score.'),
    exposure: expression('What would be lost at most, currency units.'),
    lossGivenDefault: Type.Number({
      minimum: 0,
      maximum: 1,
      description: 'Share of the exposure that is not recovered.',
    }),
    intercept: Type.Number({ description: 'b0: the log-odds of an account of which nothing bad is known.' }),
    inputs: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: '^[a-z][A-Za-z0-9]*$', maxLength: 40 }),
          title: localized('What a person calls it.'),
          value: expression('A number, 0 for nothing bad. Not known: 0.'),
          most: Type.Number({ exclusiveMinimum: 0, maximum: 1_000, description: 'The value counts up to here.' }),
          coefficient: Type.Number({
            minimum: 0,
            maximum: 20,
            description: 'What one unit of the value adds to the log-odds.',
          }),
        },
        closed,
      ),
      { minItems: 1, maxItems: DEBT_INPUTS_MAX },
    ),
  },
  { ...closed, title: 'Ringfence bad-debt model' },
);

export type DebtModel = Static<typeof debtModelSchema>;
const checker = Compile(debtModelSchema);

export const isDebtModelFile = (file: string): boolean => /^models\/arrears\.ya?ml$/.test(file);

/** Checks the form of the model and gives it as a rule without bands, so that its features are compiled like any others. */
export function parseDebtModel(
  file: string,
  text: string,
): { model: DebtModel; source: RuleSource } | { problems: RuleProblem[] } {
  const parsed = parseForm<DebtModel>(file, text, { checker, schema: debtModelSchema as SchemaNode });
  if ('problems' in parsed) return parsed;
  const { value: model, positionOf } = parsed;
  const { id, version, params, features } = model;
  const about = { id: `arrears.model-${id}`, version, catalogue: 'A00', desk: 'arrears', key: 'account' } as const;
  return { model, source: { file, text, positionOf, rule: ruleOfModel({ ...about, params, features }) } };
}

export interface DebtScore {
  /** Of the bound account; NaN where the model does not apply to it. */
  probability: Reader;
  /** Currency units. */
  expectedLoss: Reader;
  /** The intercept and each coefficient times its value; they add up to the log-odds. */
  contributions(scope: Scope): Contribution[];
  /** Names that rules of key account may use, with their types and units. */
  names: ReadonlyMap<string, { type: ValueType; unit: string; read: Reader }>;
}

export interface DebtReaders {
  applies(scope: Scope): boolean;
  exposure: Reader;
  /** In the order of the model's inputs. */
  values: readonly Reader[];
}

export function createDebtScore(model: DebtModel, readers: DebtReaders): DebtScore {
  const { inputs, intercept, lossGivenDefault } = model;
  const contributionOf = (scope: Scope, index: number): number => {
    const { coefficient, most } = inputs[index]!;
    const value = readers.values[index]!(scope);
    // A ratio over nothing is as high as it counts; what is not known is nothing.
    return value > 0 ? coefficient * Math.min(value, most) : 0;
  };
  const probability: Reader = (scope) => {
    if (!readers.applies(scope)) return Number.NaN;
    let odds = intercept;
    for (let index = 0; index < inputs.length; index++) odds += contributionOf(scope, index);
    return 1 / (1 + Math.exp(-odds));
  };
  const expectedLoss: Reader = (scope) => probability(scope) * Math.max(0, readers.exposure(scope)) * lossGivenDefault;
  return {
    probability,
    expectedLoss,
    contributions: (scope) => [
      { name: 'intercept', value: intercept },
      ...inputs.map(({ name }, index) => ({ name, value: contributionOf(scope, index) })),
    ],
    names: new Map<string, { type: ValueType; unit: string; read: Reader }>([
      ['debt.probability', { type: 'number', unit: 'share', read: probability }],
      ['debt.expectedLoss', { type: 'number', unit: 'currency', read: expectedLoss }],
    ]),
  };
}
