/** The flag `--output` of every command that prints a table. */
import { RingfenceError } from '../errors.ts';

/** @throws RingfenceError where it is neither text nor json */
export function requireForm(form: string): void {
  if (form === 'text' || form === 'json') return;
  throw new RingfenceError({
    code: 'cli.output',
    message: `--output: '${form}' is neither text nor json.`,
    hint: 'Leave it out for text.',
  });
}
