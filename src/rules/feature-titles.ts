/**
 * What people read in place of a name in expressions: a feature has the title that its rule gives it, a built-in value the one
 * here. Both are shown beside their window and unit, so neither says them again.
 */
import type { LocalizedText } from '../alerts/alert.ts';
import type { CompiledRule } from './compiled-rule.ts';
import type { Rule } from './rule.ts';

const title = (en: string, zhCn: string): LocalizedText => ({ en, 'zh-CN': zhCn });

export const BUILT_IN_TITLES: ReadonlyMap<string, LocalizedText> = new Map([
  ['now', title('Time of the look', '判定时间')],
  ['knownFor', title('Known for', '已观测时长')],
  ['lastSeenAt', title('Last record', '最近话单时间')],
  ['balance', title('Balance', '余额')],
  ['ledger.unpaid', title('Unpaid', '未缴金额')],
  ['ledger.overdue', title('Overdue', '逾期金额')],
  ['ledger.pastDue', title('Past due', '逾期时长')],
  ['ledger.oldestDueAt', title('Oldest open due date', '最早未缴到期日')],
  ['ledger.nextDueAt', title('Next due date', '下一到期日')],
  ['ledger.lastDueAt', title('Last due date', '最近到期日')],
  ['ledger.openInvoices', title('Open invoices', '未结账单数')],
  ['ledger.overdueInvoices', title('Overdue invoices', '逾期账单数')],
  ['ledger.unbilled', title('Unbilled', '未出账金额')],
  ['ledger.exposure', title('Exposure', '风险敞口')],
  ['ledger.firstInvoiceAt', title('First invoice', '首张账单时间')],
  ['ledger.firstDueAt', title('First due date', '首张账单到期日')],
  ['ledger.firstUnpaid', title('Unpaid of the first invoice', '首张账单未缴金额')],
  ['ledger.disputes', title('Open disputes', '未决争议数')],
  ['ledger.promiseAt', title('Promised for', '承诺付款日')],
  ['ledger.promiseAmount', title('Promised amount', '承诺金额')],
  ['ledger.promisePaid', title('Paid of the promise', '承诺已付金额')],
  ['ledger.paidSincePromise', title('Paid since the promise', '承诺后已付金额')],
  ['tickets.open', title('Open tickets', '未结工单数')],
  ['tickets.oldestOpenedAt', title('Oldest open ticket', '最早未结工单时间')],
  ['tickets.oldestAge', title('Age of the oldest ticket', '最早未结工单时长')],
  ['score.fraud', title('Score of fraud alerts', '欺诈告警评分')],
  ['score.arrears', title('Score of arrears alerts', '欠费告警评分')],
  ['score.retention', title('Score of retention alerts', '维系告警评分')],
  ['lifecycle.stage', title('Life-cycle stage', '生命周期阶段')],
  ['lifecycle.since', title('Stage since', '进入阶段时间')],
  ['value.tier', title('Value tier', '价值等级')],
  ['value.decile', title('Value decile', '价值十分位')],
  ['value.percentile', title('Value percentile', '价值百分位')],
  ['value.lifetime', title('Lifetime value', '生命周期价值')],
  ['value.expectedSave', title('Expected save value', '预期挽留价值')],
  ['rfm.recency', title('RFM: recency', 'RFM：最近消费')],
  ['rfm.frequency', title('RFM: frequency', 'RFM：消费频次')],
  ['rfm.monetary', title('RFM: monetary', 'RFM：消费金额')],
  ['rfm.sum', title('RFM: sum', 'RFM：总分')],
  ['rfm.fall', title('RFM: fall', 'RFM：下降')],
  ['churn.probability', title('Churn probability', '流失概率')],
  ['debt.probability', title('Probability of bad debt', '坏账概率')],
  ['debt.expectedLoss', title('Expected loss', '预期损失')],
]);

/** By name: everything that the evidence of the rule may show, as far as it has a title. */
export function featureTitles(rule: Rule, compiled: CompiledRule | undefined): Record<string, LocalizedText> {
  const titles: Record<string, LocalizedText> = {};
  for (const [name, feature] of Object.entries(rule.features ?? {}))
    if (feature.title !== undefined) titles[name] = feature.title;
  for (const { name } of compiled?.features ?? []) {
    const own = BUILT_IN_TITLES.get(name);
    if (own !== undefined && !Object.hasOwn(titles, name)) titles[name] = own;
  }
  return titles;
}
