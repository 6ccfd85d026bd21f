/**
 * Approved changes over the files of the rules folder (decisions/0010): what of the two is in force, rule by rule, and why.
 *
 *     the file says the same                          nothing to decide
 *     the file has a higher version                   the file: somebody deployed a newer rule
 *     the file is gone                                nothing: who removes a rule means it
 *     else                                            the approved change; the file waits, and that is shown
 */
import { parseRule } from '../rules/rule.ts';
import type { ApprovedText } from './change-log.ts';

type RuleFile = { file: string; text: string };

/**
 * `layered`: the approved change holds over the file it was made from. `held-back`: over a file that has been changed since as
 * well. `superseded`: the file holds.
 */
export type LayerState = 'same' | 'layered' | 'held-back' | 'superseded';

export interface Layer {
  ruleId: string;
  file: string;
  state: LayerState;
  /** What the file says. */
  fileVersion: number;
}

/** The files with every approved change that holds over them, in the same order. */
export function layered(
  files: readonly RuleFile[],
  approved: ReadonlyMap<string, Pick<ApprovedText, 'rule' | 'base'>>,
): { files: RuleFile[]; layers: Layer[] } {
  if (approved.size === 0) return { files: [...files], layers: [] };
  const layers: Layer[] = [];
  const made = files.map((one) => {
    if (!/\.ya?ml$/.test(one.file)) return one;
    const parsed = parseRule(one.file, one.text);
    // A file that is no rule is refused with the set, by whoever compiles it.
    if (!('source' in parsed)) return one;
    const { id: ruleId, version: fileVersion } = parsed.source.rule;
    const change = approved.get(ruleId);
    if (change === undefined) return one;
    const state: LayerState =
      change.rule.text === one.text
        ? 'same'
        : fileVersion > change.rule.version
          ? 'superseded'
          : change.base.text === one.text
            ? 'layered'
            : 'held-back';
    layers.push({ ruleId, file: one.file, state, fileVersion });
    return state === 'layered' || state === 'held-back' ? { file: one.file, text: change.rule.text } : one;
  });
  return { files: made, layers };
}
