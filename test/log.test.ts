import { describe, expect, it } from 'vitest';
import { createLog } from '../src/log.ts';

describe('log', () => {
  it('writes JSON lines at its level, without what identifies a person or opens a door', () => {
    const lines: string[] = [];
    const log = createLog({ level: 'info', destination: { write: (line) => lines.push(line) } });
    log.debug('not written');
    log.info(
      {
        servedMsisdn: '8613800000001',
        token: 'canary-1',
        nats: { user: 'ringfence', password: 'canary-2' },
        record: { recordId: 'r1', otherNumber: '8613900000001', servedImei: '490154203237518' },
        text: 'two\r\nlines',
      },
      'settings read',
    );
    expect(lines.length).toBe(1);
    expect(lines[0].trimEnd()).not.toMatch(/[\r\n]/);
    expect(lines[0]).not.toMatch(/canary|86138|86139|4901542/);
    expect(JSON.parse(lines[0])).toMatchObject({
      level: 30,
      msg: 'settings read',
      servedMsisdn: '[redacted]',
      nats: { user: 'ringfence', password: '[redacted]' },
      record: { recordId: 'r1' },
      text: 'two\r\nlines',
    });
  });

  it('writes nothing when it is silent', () => {
    const lines: string[] = [];
    createLog({ level: 'silent', destination: { write: (line) => lines.push(line) } }).fatal('gone');
    expect(lines).toEqual([]);
  });
});
