/**
 * The rules of a running deployment: the files of the rules folder, the approved changes over them (decisions/0010), and the set
 * that both come to, which goes live by the usage stream. Changes come from four sides, one after the other: a file, the API, an
 * entry of a reference list, and the decision about a proposal.
 *
 * `folder` is what the rules folder held when it was last looked at, `newest` the newest set in the stream, read by the engines
 * already or not. A change is made to the newest set, so that it undoes nothing that somebody else has done meanwhile.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, watch, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Config } from '../config.ts';
import type { Engine } from '../engine.ts';
import { isDiskTrouble, RingfenceError } from '../errors.ts';
import type { ListsAccess } from '../http/lists.ts';
import type { RuleChangesAccess } from '../http/rule-changes.ts';
import type { RulesAccess, SavedRule } from '../http/rules.ts';
import type { RuleDetail, RuleSummary } from '../http/schemas.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { importPlan, withoutListRow } from '../reference/list-rows.ts';
import { listFile, listSummary, parseList, type ReferenceLists, withListEntry } from '../reference/lists.ts';
import type { ChangeAuthor, ORIGINS, RuleText } from '../rule-changes/change-event.ts';
import { type Layer, layered } from '../rule-changes/layers.ts';
import type { RuleDesk } from '../rule-changes/rule-desk.ts';
import { observedFeatures } from '../rules/compiled-rule.ts';
import { featureTitles } from '../rules/feature-titles.ts';
import { describeProblem, type RuleProblem } from '../rules/form.ts';
import { parseRules, readRuleFiles, ruleError, versionOf } from '../rules/load.ts';
import { inBothLanguages, isOff, isShadow, parseRule, type RuleSource } from '../rules/rule.ts';
import { filesInForce } from '../rules/rule-set.ts';
import { ClosedError, type DurablePublisher } from '../sinks/outbox.ts';
import { usageStream } from '../source/streams.ts';
import type { Partition } from './partition.ts';
import { lastRuleSet, publishRuleSet } from './rules-in-stream.ts';

/** Changes of rule files within this time are one change. */
const RULE_CHANGE_PAUSE_MS = 300;
/** How long a saved rule may take until the engine has read it back from the stream. */
const RULE_SWAP_LIMIT_MS = 10_000;
const RULE_SWAP_POLL_MS = 25;
/** How often it is looked at whether what was approved is in force, and whether rules have changed from elsewhere. */
const SETTLE_EVERY_MS = 15_000;

export type RuleFiles = { file: string; text: string }[];

const FOLDER_AUTHOR: ChangeAuthor = { kind: 'process', id: 'rules folder' };
const ELSEWHERE_AUTHOR: ChangeAuthor = { kind: 'process', id: 'rules apply' };

const byName = (files: RuleFiles): RuleFiles => [...files].sort((a, b) => (a.file < b.file ? -1 : 1));
const withFile = (files: RuleFiles, file: string, text: string): RuleFiles =>
  byName([...files.filter((entry) => entry.file !== file), { file, text }]);

/** Rules, models and lists that an engine has in force, as they stand in a folder. */
const filesOf = (engine: Engine): RuleFiles => byName(filesInForce(engine.ruleSet()));

export interface CheckedRules {
  sources: RuleSource[];
  lists: ReferenceLists | undefined;
  version: string;
}

export interface ServedRules {
  /** What the folder and the approved changes come to. */
  first: CheckedRules & { files: RuleFiles };
  /** The folder is as it was when it was last looked at: other rules in force are not undone by it. `damaged`: nobody knows. */
  folderSeen(): 'same' | 'changed' | 'damaged';
  /** All partitions read; begins to watch the folder. */
  start(partitions: readonly Partition[]): void;
  /** An engine has swapped its rules; `applied`: they were sent by hand. */
  swapped(engine: Engine, applied: boolean): void;
  rules: RulesAccess;
  changes: Omit<RuleChangesAccess, 'bench'>;
  lists: ListsAccess;
  close(): void;
}

/** Reads and checks the folder. @throws RingfenceError where a rule is wrong */
export function readFolder(
  config: Config,
  newEngine: () => Engine,
): { files: RuleFiles; check(files: RuleFiles): CheckedRules } {
  const check = (candidate: RuleFiles): CheckedRules => {
    const { sources, lists, problems } = parseRules(candidate);
    const wrong = problems.length > 0 ? problems : newEngine().checkRules(sources, lists);
    if (wrong.length > 0) throw ruleError(wrong, config.rules);
    return { sources, lists, version: versionOf(candidate) };
  };
  const files = readRuleFiles(config.rules);
  check(files);
  return { files, check };
}

export function createServedRules(options: {
  config: Config;
  folder: ReturnType<typeof readFolder>;
  desk: RuleDesk;
  control: DurablePublisher;
  jsm: JetStreamManager;
  metrics: Metrics;
  log: Log;
}): ServedRules {
  const { config, desk, control, jsm, metrics, log } = options;
  const { check } = options.folder;
  const directory = config.rules;
  const note = folderNote(config.data);
  let folder = options.folder.files;
  let layers: Layer[] = [];
  let partitions: readonly Partition[] = [];
  const engine = (): Engine => partitions[0]!.engine;

  /** What a folder comes to with the approved changes over it. */
  const inForceWith = (files: RuleFiles): RuleFiles => {
    const result = layered(files, desk.approved());
    layers = result.layers;
    return result.files;
  };
  const first = (): ServedRules['first'] => {
    const files = inForceWith(folder);
    try {
      return { ...check(files), files };
    } catch (error) {
      if (!(error instanceof RingfenceError) || files.every(({ text }, index) => text === folder[index]!.text))
        throw error;
      // The folder alone has been checked. An alarm is better than no rules at all.
      log.error({ detail: error.message }, 'approved changes of rules do not fit the files any more; the files hold');
      return { ...check(folder), files: folder };
    }
  };

  // -- sets into the stream ----------------------------------------------------------------------------------------------

  const newest = async (): Promise<RuleFiles> => {
    const { pipeline } = partitions[0]!;
    const last = await lastRuleSet(control, jsm, usageStream(0, config.partitions), 0);
    const isAhead = last !== undefined && last.files.length > 0 && last.sequence > pipeline.position().sequence;
    return isAhead && last.version !== engine().ruleSet().version ? last.files : filesOf(engine());
  };
  const sourcesById = (files: RuleFiles): Map<string, RuleSource> =>
    new Map(parseRules(files).sources.map((source) => [source.rule.id, source]));

  /** Puts a set into every partition's stream; with `backfillMs` its new windows are filled before it goes live. */
  const publish = async (candidate: RuleFiles, backfillMs?: number): Promise<string | undefined> => {
    const { version } = check(candidate);
    const before = byName(await newest());
    const after = byName(candidate);
    const isSame = (one: RuleFiles[number], index: number): boolean =>
      one.file === after[index]?.file && one.text === after[index]?.text;
    if (before.length === after.length && before.every(isSame)) return undefined;
    for (const { number } of partitions)
      await publishRuleSet(control, number, { version, files: candidate, ...(backfillMs && { backfillMs }) });
    return version;
  };
  const untilSwapped = async (version: string | undefined): Promise<void> => {
    const limit = performance.now() + RULE_SWAP_LIMIT_MS;
    while (version !== undefined && partitions.some(({ engine: one }) => one.ruleSet().version !== version)) {
      if (performance.now() > limit) break;
      await new Promise((resolve) => setTimeout(resolve, RULE_SWAP_POLL_MS));
    }
  };
  /** The same, with what has changed by it written into the histories of its rules. */
  const publishNoted = async (
    candidate: RuleFiles,
    by: ChangeAuthor,
    origin: (typeof ORIGINS)[number],
  ): Promise<void> => {
    const before = sourcesById(await newest());
    const version = await publish(candidate);
    if (version === undefined) return;
    for (const [ruleId, source] of sourcesById(candidate)) {
      const old = before.get(ruleId);
      if (old?.text !== source.text && !isApproved(ruleId, source.text))
        await desk.note(ruleId, { by, origin, rule: textOf(source), base: old && textOf(old) });
    }
    await untilSwapped(version);
  };
  const isApproved = (ruleId: string, text: string): boolean => desk.approved().get(ruleId)?.rule.text === text;
  const textOf = ({ rule, text }: RuleSource): RuleText => ({ version: rule.version, text });

  /** Changes from all sides one after the other, so that the last one is also the last one in the stream. */
  let lastChange: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(change: () => Promise<T>): Promise<T> => {
    const done = lastChange.then(change);
    lastChange = done.catch(() => {});
    return done;
  };

  // -- the folder --------------------------------------------------------------------------------------------------------

  const writeToFolder = (file: string, text: string): void => {
    const path = join(directory, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    folder = withFile(folder, file, text);
    note.see(versionOf(folder));
  };
  /** Rules that were applied by hand become those of the folder, or its next change would undo them. */
  const bringFolderInLine = (applied: RuleFiles): void => {
    try {
      const old = new Map(readRuleFiles(directory).map(({ file, text }) => [file, text]));
      for (const { file, text } of applied) {
        if (old.get(file) !== text) {
          mkdirSync(dirname(join(directory, file)), { recursive: true });
          writeFileSync(join(directory, file), text);
        }
        old.delete(file);
      }
      for (const file of old.keys()) rmSync(join(directory, file));
      folder = readRuleFiles(directory);
      note.see(versionOf(folder));
      inForceWith(folder);
    } catch (error) {
      const detail = (error as Error).message;
      log.warn({ detail }, 'the rules folder cannot be written; its next change undoes what was applied');
    }
  };
  const readChangedFolder = async (): Promise<void> => {
    try {
      const found = readRuleFiles(directory);
      const version = versionOf(found);
      if (version === note.seen()) return;
      await publishNoted(inForceWith(found), FOLDER_AUTHOR, 'file');
      folder = found;
      note.see(version);
      for (const { ruleId, state, fileVersion } of layers) {
        if (state === 'held-back')
          log.warn({ rule: ruleId, fileVersion }, 'the file of a rule waits: a change that was approved holds');
      }
    } catch (error) {
      if (error instanceof ClosedError) return;
      if (!(error instanceof RingfenceError)) throw error;
      log.error({ code: error.code, detail: error.message }, 'changed rules refused, the old ones stay in force');
    }
  };

  // -- what was approved -------------------------------------------------------------------------------------------------

  /** Texts that were in force at the last look, to see what has changed from elsewhere. */
  let seenTexts = new Map<string, RuleSource>();
  const isAnnounced = async (ruleId: string, text: string): Promise<boolean> => {
    const stream = usageStream(0, config.partitions);
    const [announced, live] = await Promise.all([
      lastRuleSet(control, jsm, stream, 0, 'prepare'),
      lastRuleSet(control, jsm, stream, 0),
    ]);
    if (announced === undefined || announced.sequence < (live?.sequence ?? 0)) return false;
    return sourcesById(announced.files).get(ruleId)?.text === text;
  };
  const approvedAway = (): string[] => {
    const inForce = new Map(
      engine()
        .ruleSet()
        .sources.map(({ rule, text }) => [rule.id, text]),
    );
    // One whose file was removed is gone with it.
    return [...desk.approved()].flatMap(([ruleId, { rule }]) =>
      inForce.has(ruleId) && inForce.get(ruleId) !== rule.text ? [ruleId] : [],
    );
  };
  const originOf = ({ text }: RuleSource) =>
    folder.some((one) => one.text === text)
      ? ({ by: FOLDER_AUTHOR, origin: 'file' } as const)
      : ({ by: ELSEWHERE_AUTHOR, origin: 'applied' } as const);
  /** Puts an approved text into the newest set, unless it is there, on its way, or has been replaced by something newer. */
  const putInForce = async (ruleId: string): Promise<void> => {
    const approved = desk.approved().get(ruleId);
    if (approved === undefined) return;
    const { rule, backfillMs } = approved;
    const files = await newest();
    const source = sourcesById(files).get(ruleId);
    if (source === undefined || source.text === rule.text || (await isAnnounced(ruleId, rule.text))) return;
    if (source.rule.version > rule.version) {
      await desk.note(ruleId, { ...originOf(source), rule: textOf(source) });
      return;
    }
    const version = await publish(withFile(files, source.file, rule.text), backfillMs);
    if (backfillMs === undefined) await untilSwapped(version);
    inForceWith(folder);
  };
  const settle = async (): Promise<void> => {
    try {
      for (const ruleId of approvedAway()) await putInForce(ruleId);
      const now = new Map(
        engine()
          .ruleSet()
          .sources.map((source) => [source.rule.id, source]),
      );
      for (const [ruleId, source] of now) {
        const before = seenTexts.get(ruleId);
        if (before === undefined || before.text === source.text || desk.history(ruleId).approved !== undefined)
          continue;
        await desk.note(ruleId, { ...originOf(source), rule: textOf(source), base: textOf(before) });
      }
      seenTexts = now;
    } catch (error) {
      if (error instanceof ClosedError) return;
      // NATS is away, or the set does not fit: the next look tries again, and the metric says that something waits.
      log.warn({ err: error }, 'approved changes of rules are not in force yet');
    }
  };
  metrics.onScrape(() => {
    if (partitions.length > 0) metrics.approvedRulesWaiting.set(approvedAway().length);
  });

  // -- as the API sees them ----------------------------------------------------------------------------------------------

  const sources = (): RuleSource[] => engine().ruleSet().sources;
  const sourceOf = (id: string): RuleSource | undefined => sources().find(({ rule }) => rule.id === id);
  const summaryOf = ({ rule }: RuleSource): RuleSummary => {
    const { id, version, catalogue, desk: ownDesk, status, key, title } = rule;
    const compiled = engine()
      .ruleSet()
      .rules.find(({ rule: one }) => one.id === id);
    const features = compiled === undefined || isOff(rule) ? [] : observedFeatures(compiled);
    return {
      id,
      version,
      catalogue,
      desk: ownDesk,
      status,
      shadow: isShadow(rule),
      key,
      title,
      features,
      featureTitles: featureTitles(rule, compiled),
    };
  };
  const detailOf = (source: RuleSource): RuleDetail => {
    const { description, falsePositives, runbook } = source.rule;
    return {
      ...summaryOf(source),
      description: description ?? null,
      falsePositives: (falsePositives ?? []).map(inBothLanguages),
      runbook: runbook ?? null,
      text: source.text,
    };
  };
  const problemsOf = (files: RuleFiles): RuleProblem[] => {
    const parsed = parseRules(files);
    return parsed.problems.length > 0 ? parsed.problems : engine().checkRules(parsed.sources, parsed.lists);
  };

  const rules: RulesAccess = {
    list: () => sources().map(summaryOf),
    get(id) {
      const source = sourceOf(id);
      return source === undefined ? undefined : detailOf(source);
    },
    check(text) {
      const parsed = parseRule('rule.yaml', text);
      if ('problems' in parsed) return parsed.problems;
      const file = sourceOf(parsed.source.rule.id)?.file ?? 'rule.yaml';
      return problemsOf(withFile(filesOf(engine()), file, text)).filter((problem) => problem.file === file);
    },
    save: (id, text, by): Promise<SavedRule> =>
      inTurn(async () => {
        const parsed = parseRule('rule.yaml', text);
        if ('problems' in parsed) return { kind: 'invalid', errors: parsed.problems };
        const { rule } = parsed.source;
        if (rule.id !== id) return { kind: 'conflict', detail: `The text has the id ${rule.id}, the address ${id}.` };
        const existing = sourceOf(id);
        if (existing !== undefined && existing.text !== text && rule.version <= existing.rule.version) {
          return {
            kind: 'conflict',
            detail: `Version ${existing.rule.version} is in force; a changed rule needs a higher version.`,
          };
        }
        const file = existing?.file ?? `${rule.desk}/${id.slice(rule.desk.length + 1)}.yaml`;
        const next = withFile(await newest(), file, text);
        const problems = problemsOf(next);
        if (problems.length > 0) return { kind: 'invalid', errors: problems };
        writeToFolder(file, text);
        await publishNoted(next, by, 'api');
        return { kind: 'saved', rule: detailOf({ ...parsed.source, file }), created: existing === undefined };
      }),
  };

  const listTextIn = (files: readonly RuleFiles[number][], list: string): string | undefined =>
    files.find(({ file }) => file === listFile(list))?.text;
  /** Resolves when rules ask the list as it is now. */
  const putListInForce = async (present: RuleFiles, list: string, text: string): Promise<void> => {
    const file = listFile(list);
    writeToFolder(file, text);
    await untilSwapped(await publish(withFile(present, file, text)));
  };
  const lists: ListsAccess = {
    all() {
      const { lists: inForce } = engine().ruleSet();
      return (inForce?.names() ?? []).map((name) => listSummary(inForce!.get(name)!));
    },
    text: (list) => listTextIn(engine().ruleSet().lists?.files ?? [], list),
    add: (list, entry) =>
      inTurn(async () => {
        const present = await newest();
        const { text, added } = withListEntry(listTextIn(present, list), entry);
        if (!added) return { added };
        const parsed = parseList(listFile(list), text);
        if ('problems' in parsed) return { problem: `${parsed.problems[0]!.message}.` };
        await putListInForce(present, list, text);
        return { added };
      }),
    importRows: (list, csv, preview) =>
      inTurn(async () => {
        const present = await newest();
        const { text, ...plan } = importPlan(list, listTextIn(present, list), csv);
        if (!preview && plan.added > 0) await putListInForce(present, list, text);
        return plan;
      }),
    remove: (list, row) =>
      inTurn(async () => {
        const present = await newest();
        const text = listTextIn(present, list);
        const left = text === undefined ? undefined : withoutListRow(text, row);
        if (left !== undefined) await putListInForce(present, list, left);
        return left !== undefined;
      }),
  };

  const changes: ServedRules['changes'] = {
    desk,
    source: sourceOf,
    values: (ruleId) =>
      (
        engine()
          .ruleSet()
          .rules.find(({ rule }) => rule.id === ruleId)?.features ?? []
      ).map(({ name, window, unit }) => ({ name, window, unit })),
    files: () => filesOf(engine()),
    layer: (ruleId) => layers.find((layer) => layer.ruleId === ruleId),
    inForce: {
      textOf: async (ruleId) => sourcesById(await newest()).get(ruleId)?.text,
      problemOf(ruleId, text) {
        const source = sourceOf(ruleId);
        if (source === undefined) return 'there is no such rule any more';
        const [problem] = problemsOf(withFile(filesOf(engine()), source.file, text));
        return problem && describeProblem(problem);
      },
    },
    problemsOf(ruleId, text) {
      const source = sourceOf(ruleId)!;
      const parsed = parseRule(source.file, text);
      if ('problems' in parsed) return parsed.problems;
      if (parsed.source.rule.id !== ruleId) {
        const message = `the id must stay ${ruleId}`;
        return [{ file: source.file, ...parsed.source.positionOf(['id']), message }];
      }
      return problemsOf(withFile(filesOf(engine()), source.file, text));
    },
    putInForce: (ruleId) => inTurn(() => putInForce(ruleId)),
  };

  let changeTimer: NodeJS.Timeout | undefined;
  let settleTimer: NodeJS.Timeout | undefined;
  let watcher: ReturnType<typeof watch> | undefined;
  return {
    first: first(),
    folderSeen() {
      const seen = note.seen();
      return seen === undefined ? 'damaged' : seen === versionOf(folder) ? 'same' : 'changed';
    },
    start(all) {
      partitions = all;
      note.see(versionOf(folder));
      seenTexts = new Map(sources().map((source) => [source.rule.id, source]));
      watcher = watch(directory, { recursive: true }, () => {
        clearTimeout(changeTimer);
        changeTimer = setTimeout(() => void inTurn(readChangedFolder), RULE_CHANGE_PAUSE_MS);
      });
      // They may have changed while the start waited for NATS.
      void inTurn(readChangedFolder);
      void inTurn(settle);
      settleTimer = setInterval(() => void inTurn(settle), SETTLE_EVERY_MS);
      settleTimer.unref();
    },
    swapped(one, applied) {
      if (applied) bringFolderInLine(filesOf(one));
    },
    rules,
    changes,
    lists,
    close() {
      clearTimeout(changeTimer);
      clearInterval(settleTimer);
      watcher?.close();
    },
  };
}

/**
 * What of the rules folder has gone into the stream: remembered beside the state, because it outlives the process.
 * `seen`: '' where nothing is remembered, undefined where the note is damaged.
 */
function folderNote(data: string): { seen(): string | undefined; see(version: string): void } {
  const path = join(data, 'rules-folder');
  const textOf = (version: string): string => `${version} ${crc32(version).toString(16)}\n`;
  return {
    seen() {
      if (!existsSync(path)) return '';
      const text = readFileSync(path, 'latin1');
      const version = text.replace(/ .*\n$/, '');
      return text === textOf(version) ? version : undefined;
    },
    see(version) {
      try {
        mkdirSync(data, { recursive: true });
        writeFileSync(`${path}.writing`, textOf(version));
        renameSync(`${path}.writing`, path);
      } catch (error) {
        // Without the note a restart publishes the folder's rules once more, which changes nothing where they are the same.
        if (!isDiskTrouble(error)) throw error;
      }
    },
  };
}
