/** What an alert must say for a case to take it, and which key it gathers under. */
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { type AlertData, DESKS, SEVERITIES } from '../alerts/alert.ts';
import type { CaseKey } from './case-event.ts';

const keySchema = Type.Object({
  type: Type.String({ maxLength: 4_096 }),
  value: Type.String({ maxLength: 4_096 }),
});
const placeable = Compile(
  Type.Object({
    alertId: Type.String({ minLength: 1, maxLength: 128 }),
    desk: Type.Enum([...DESKS]),
    ruleId: Type.String({ minLength: 1 }),
    severity: Type.Enum([...SEVERITIES]),
    status: Type.Enum(['firing', 'resolved']),
    score: Type.Number(),
    key: keySchema,
    group: Type.Optional(keySchema),
    servedMsisdn: Type.Optional(Type.String()),
    value: Type.Optional(Type.Object({ tier: Type.Optional(Type.String()) })),
  }),
);
/** Whether an alert says all that its case needs to know; anybody may publish to ALERTS. */
export const isPlaceable = (alert: unknown): alert is AlertData => placeable.Check(alert);

/** The account behind the alert; a subscriber without an account is one of its own; else what the rule groups by. */
export function caseKeyOf(alert: AlertData): CaseKey {
  const { group, servedMsisdn, key } = alert;
  if (servedMsisdn !== undefined && (group === undefined || group.value === servedMsisdn))
    return { type: 'subscriber', value: servedMsisdn };
  return group ?? key;
}
