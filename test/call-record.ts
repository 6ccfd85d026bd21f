/** A call as a producer sends it, right in every field: tests change, or leave out, what they are about. */
export const callRecord = (recordId: string, more: object = {}): Record<string, unknown> => ({
  recordId,
  recordType: 'voice',
  eventTime: Date.UTC(2025, 0, 1),
  servedMsisdn: '8613900000001',
  direction: 'mo',
  otherNumber: '8613700000001',
  durationSec: 60,
  ...more,
});
