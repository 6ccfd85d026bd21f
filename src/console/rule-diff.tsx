/** What changes in a text, line by line. Removed and added lines are marked by their sign too, not by colour alone. */
import type { Hunks } from './rule-api.ts';
import { ruleText } from './rule-text.ts';

const LOOK: Record<string, string> = { '+': 'added', '-': 'removed' };

export function Difference({ hunks, label }: { hunks: Hunks; label: string }) {
  if (hunks.length === 0) return <p class="note">{ruleText.value.noChanges}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard
    <section class="bytes diff" tabIndex={0} aria-label={label}>
      {hunks.map((hunk, index) => (
        <span key={`${hunk.oldStart} ${hunk.newStart}`} class="hunk">
          {index > 0 && <span class="between">{'⋯\n'}</span>}
          {hunk.lines.map((line, at) => (
            <span key={at} class={LOOK[line.charAt(0)]}>{`${line}\n`}</span>
          ))}
        </span>
      ))}
    </section>
  );
}
