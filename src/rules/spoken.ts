/**
 * How a sentence names what a record says with a word of its form: an analyst reads of a changed handset, not of
 * `deviceChanged`. Fields and words are those of the usage record; a word that is not here is written as it is.
 */
import type { LocalizedText } from '../alerts/alert.ts';

type Words = Record<string, LocalizedText>;

const FIELDS = new Map<string, Words>([
  [
    'recordType',
    {
      voice: { en: 'voice', 'zh-CN': '语音' },
      sms: { en: 'SMS', 'zh-CN': '短信' },
      data: { en: 'data', 'zh-CN': '数据' },
      topup: { en: 'top-up', 'zh-CN': '充值' },
      transfer: { en: 'transfer', 'zh-CN': '转账' },
      payment: { en: 'payment', 'zh-CN': '缴费' },
      invoice: { en: 'invoice', 'zh-CN': '账单' },
      account: { en: 'account', 'zh-CN': '账户' },
      care: { en: 'care', 'zh-CN': '客服' },
      roamingFile: { en: 'roaming file', 'zh-CN': '漫游话单文件' },
    },
  ],
  [
    'event',
    {
      profile: { en: 'profile', 'zh-CN': '资料更新' },
      activated: { en: 'activation', 'zh-CN': '入网' },
      suspended: { en: 'suspension', 'zh-CN': '停机' },
      resumed: { en: 'resumption', 'zh-CN': '复机' },
      ceased: { en: 'cease', 'zh-CN': '销户' },
      simChanged: { en: 'SIM change', 'zh-CN': '换卡' },
      deviceChanged: { en: 'change of handset', 'zh-CN': '更换终端' },
      planChanged: { en: 'change of plan', 'zh-CN': '变更套餐' },
      portOutRequested: { en: 'port-out request', 'zh-CN': '申请携出' },
      callForwardSet: { en: 'call forwarding set', 'zh-CN': '设置呼叫转移' },
      loginFailed: { en: 'failed login', 'zh-CN': '登录失败' },
      contactChanged: { en: 'change of contact', 'zh-CN': '变更联系方式' },
      contractRenewed: { en: 'renewal', 'zh-CN': '续约' },
      paymentPromised: { en: 'promise to pay', 'zh-CN': '承诺付款' },
      mandateCancelled: { en: 'mandate cancelled', 'zh-CN': '取消代扣' },
      simOrdered: { en: 'SIM order', 'zh-CN': '订购SIM卡' },
      addOnAdded: { en: 'add-on added', 'zh-CN': '订购增值包' },
      addOnRemoved: { en: 'add-on removed', 'zh-CN': '取消增值包' },
      otpConfirmed: { en: 'confirmed code', 'zh-CN': '验证码确认' },
      outage: { en: 'outage', 'zh-CN': '服务中断' },
    },
  ],
  [
    'declineCode',
    {
      '': { en: 'not given', 'zh-CN': '未注明' },
      soft: { en: 'soft', 'zh-CN': '可重试' },
      hard: { en: 'hard', 'zh-CN': '不可重试' },
    },
  ],
]);

export function spoken(name: string, value: unknown, language: keyof LocalizedText): string | undefined {
  const words = FIELDS.get(name);
  return words !== undefined && typeof value === 'string' && Object.hasOwn(words, value)
    ? words[value]![language]
    : undefined;
}
