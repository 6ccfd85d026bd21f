/** Rows of a list gathered by what they have in common: each group is one row that says how many it holds, and shows them when asked. */
import { type AlertData, SEVERITIES, type Severity } from '../alerts/alert.ts';
import type { QueueEntry } from './desk-queue.ts';

export const ALERT_GROUPINGS = ['', 'rule', 'severity', 'entity', 'status'] as const;
/** Empty: not gathered. */
export type AlertGrouping = (typeof ALERT_GROUPINGS)[number];

export interface AlertGroup {
  /** What its alerts have in common, as it stands in the address. */
  value: string;
  /** One of its alerts: how the group is called can be read from it. */
  example: AlertData;
  alerts: number;
  /** The highest of its alerts. */
  severity: Severity;
}

export type QueueRow = QueueEntry | AlertGroup;
export const isGroup = (row: QueueRow): row is AlertGroup => 'example' in row;
/** Names a row of the list; no id of an alert begins like a group. */
export const rowId = (row: QueueRow): string => (isGroup(row) ? `group ${row.value}` : row.alert.alertId);

const VALUES: Record<Exclude<AlertGrouping, ''>, (alert: AlertData) => string> = {
  rule: ({ ruleId }) => ruleId,
  severity: ({ severity }) => severity,
  status: ({ status }) => status,
  // Two numbers may look the same where they are masked; their references differ.
  entity: ({ key, subscriberRef }) =>
    key.type === 'subscriber' ? (subscriberRef ?? key.value) : `${key.type} ${key.value}`,
};

/**
 * The groups of rows, the one that is open with its rows behind it. The severest group comes first, or the one that is firing; of
 * rules and entities that with the most alerts.
 */
export function groupRows(rows: readonly QueueEntry[], by: Exclude<AlertGrouping, ''>, open: string): QueueRow[] {
  const groups = new Map<string, AlertGroup & { rank: number }>();
  const valueIn = VALUES[by];
  const shown: QueueEntry[] = [];
  for (const row of rows) {
    const value = valueIn(row.alert);
    if (value === open) shown.push(row);
    const rank = SEVERITIES.indexOf(row.alert.severity);
    const group = groups.get(value);
    if (group === undefined) {
      groups.set(value, { value, example: row.alert, alerts: 1, severity: row.alert.severity, rank });
      continue;
    }
    group.alerts += 1;
    if (rank <= group.rank) continue;
    group.rank = rank;
    group.severity = row.alert.severity;
  }
  const ordered = [...groups.values()].sort(
    (a, b) =>
      (by === 'severity' ? b.rank - a.rank : by === 'status' ? (a.value < b.value ? -1 : 1) : b.alerts - a.alerts) ||
      (a.value < b.value ? -1 : 1),
  );
  const at = ordered.findIndex(({ value }) => value === open);
  return at < 0 ? ordered : [...ordered.slice(0, at + 1), ...shown, ...ordered.slice(at + 1)];
}
