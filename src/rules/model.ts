/**
 * The model file, `models/retention.yaml` beside the rules: what a subscriber is worth, in which stage of its life it is, how
 * likely it is to leave, and whether an offer pays. It is data like a rule: features in the same language (and shared with
 * the rules that write them the same), formulas that are fixed and explained here, and every figure of them in the file.
 *
 * ```
 * life cycle   churned > dormant > acquisition > decline > growth > mature: the first that holds; a change needs
 *              `evaluations` days running
 * value        V = margin x monthly revenue x months that are still expected
 * churn        p = 1 / (1 + exp(-(intercept + sum of coefficient x ln(ratio))))
 * save         EV = p g (V - d) - (1 - p) psi d - c
 * monitor      each subscriber has one forecast in `horizon`, on a day of its own; at its end it has left or not
 * ```
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { parseForm, type RuleProblem, type SchemaNode } from './form.ts';
import { closed, duration, expression, features, localized, params, type Rule, type RuleSource } from './rule.ts';

/** Inputs of the churn formula; each is worked out whenever a rule asks for the probability. */
export const MODEL_INPUTS_MAX = 32;
const TIERS_MAX = 8;

const share = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });
const months = (description: string) => Type.Number({ minimum: 0, maximum: 600, description });

export const modelSchema = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z][a-z0-9-]*$', maxLength: 60, description: 'Stable name of the model.' }),
    version: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Goes up with every change.' }),
    description: Type.Optional(localized('What the coefficients come from.')),
    params: Type.Optional(params),
    features: Type.Optional(features),
    lifecycle: Type.Object(
      {
        tenure: expression('How long the subscription has existed, a duration; not known: no acquisition.'),
        lastUsageAt: expression('Newest sign of life beside revenue, a time.'),
        signals: expression('Number of different warnings (C01 to C05) that are on.'),
        acquisitionFor: duration('Tenure up to which a subscriber is new.'),
        growthLeast: Type.Number({ minimum: 0, maximum: 10, description: 'Rise of the value of 30 days, as a share.' }),
        declineLeast: share('Fall of the value of 30 days, as a share.'),
        windows: Type.Integer({ minimum: 1, maximum: 2, description: 'How many times running it must rise or fall.' }),
        signalsLeast: Type.Integer({ minimum: 1, maximum: 10, description: 'So many warnings are a decline too.' }),
        dormantAfter: duration('Without any sign of life.'),
        churnedAfter: duration('Without a revenue event, where nobody has to cancel (prepaid).'),
        portOutGrace: duration('After asking for a port-out the old card may still be used for so long.'),
        evaluations: Type.Integer({ minimum: 1, maximum: 15, description: 'Days running that a new stage must show.' }),
      },
      { ...closed, description: 'Thresholds of the stages.' },
    ),
    rfm: Type.Object(
      {
        fallOver: Type.String({
          pattern: '^[4-7]0d$',
          description: 'Over how many days `rfm.fall` compares: 40d, 50d, 60d or 70d.',
        }),
      },
      closed,
    ),
    value: Type.Object(
      {
        margin: share('What is left of revenue after the cost of serving it.'),
        lifeMonthsPrepaid: months('Months that are still expected of a prepaid subscriber.'),
        lifeMonthsPostpaid: months('Months that are still expected of a postpaid subscriber.'),
        lifeMonthsPerTenureYear: months('So many more for every year that it has stayed.'),
        lifeMonthsMost: months('Never more than this.'),
        tiers: Type.Array(
          Type.Object(
            {
              name: Type.String({ pattern: '^[a-z][A-Za-z0-9]*$', maxLength: 20 }),
              decileLeast: Type.Integer({ minimum: 1, maximum: 10 }),
            },
            closed,
          ),
          {
            minItems: 1,
            maxItems: TIERS_MAX,
            description: 'From the highest; the first whose decile is reached counts.',
          },
        ),
      },
      { ...closed, description: 'Value = margin x monthly revenue x expected remaining life.' },
    ),
    churn: Type.Object(
      {
        intercept: Type.Number({ description: 'b0: the log-odds of an ordinary subscriber.' }),
        limit: Type.Number({
          exclusiveMinimum: 0,
          maximum: 20,
          description: 'No logarithm counts for more than this, either way.',
        }),
        monitor: Type.Optional(
          Type.Object(
            {
              horizon: Type.String({
                pattern: '^([7-9]|[1-9][0-9]|1[0-7][0-9]|180)d$',
                description: 'When a forecast is compared with what became of it: 7d to 180d.',
              }),
              quietFor: duration(
                'Who has nobody to cancel with (prepaid) has left when there was no revenue for so long then.',
              ),
            },
            { ...closed, description: 'How the formula is watched; without it, it is not.' },
          ),
        ),
        inputs: Type.Array(
          Type.Object(
            {
              name: Type.String({ pattern: '^[a-z][A-Za-z0-9]*$', maxLength: 40 }),
              catalogue: Type.Optional(Type.String({ pattern: '^[A-Z][0-9]{2}$' })),
              title: localized('What a person calls it.'),
              ratio: expression('x is its natural logarithm: 1 is ordinary. Not known: x is 0.'),
              coefficient: Type.Number({ minimum: -20, maximum: 20 }),
            },
            closed,
          ),
          { minItems: 1, maxItems: MODEL_INPUTS_MAX },
        ),
      },
      { ...closed, description: 'The logistic formula of the churn probability.' },
    ),
    save: Type.Object(
      {
        effect: share('g: share of the subscribers about to leave whom the offer keeps.'),
        offerCost: Type.Number({ minimum: 0, description: 'd: cost of the offer, currency units.' }),
        spillover: share('psi: share of those who would have stayed and take the offer anyway.'),
        contactCost: Type.Number({ minimum: 0, description: 'c: cost of the contact, currency units.' }),
      },
      { ...closed, description: 'Parameters of the expected value of an attempt to keep a subscriber.' },
    ),
  },
  { ...closed, title: 'Ringfence model' },
);

export type Model = Static<typeof modelSchema>;
const checker = Compile(modelSchema);

export const isModelFile = (file: string): boolean => file.startsWith('models/');

/** Checks the form of the model and gives it as a rule without bands, so that its features are compiled like any others. */
export function parseModel(
  file: string,
  text: string,
): { model: Model; source: RuleSource } | { problems: RuleProblem[] } {
  const parsed = parseForm<Model>(file, text, { checker, schema: modelSchema as SchemaNode });
  if ('problems' in parsed) return parsed;
  const { value: model, positionOf } = parsed;
  const { id, version, params, features } = model;
  const about = {
    id: `retention.model-${id}`,
    version,
    catalogue: 'C00',
    desk: 'retention',
    key: 'subscriber',
  } as const;
  return {
    model,
    source: { file, text, positionOf, rule: ruleOfModel({ ...about, params, features, evaluateEvery: '1d' }) },
  };
}

/** A model as the rule without bands that it is compiled as. */
export function ruleOfModel(about: {
  id: string;
  version: number;
  catalogue: string;
  desk: Rule['desk'];
  key: Rule['key'];
  params: Rule['params'] | undefined;
  features: Rule['features'] | undefined;
  evaluateEvery?: string;
}): Rule {
  const { params, features, ...rest } = about;
  const nothing = { en: '', 'zh-CN': '' };
  return {
    ...rest,
    status: 'stable',
    title: nothing,
    ...(params === undefined ? {} : { params }),
    ...(features === undefined ? {} : { features }),
    bands: [],
    reason: nothing,
    suppress: { for: '1d' },
    tests: [],
  };
}
