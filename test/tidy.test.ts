/**
 * The agreements about the sources that a tool can check and that neither the compiler nor the linter knows. Patterns
 * are matched against code without comments, so that a comment may name what the code must not do. Whoever needs an
 * exception adds a line with its reason to one of the tables here.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { transformSync } from '@swc/core';
import { afterAll, describe, expect, test } from 'vitest';
import { PAGES } from '../src/console/pages.ts';
import { PICTURES } from '../src/console/pictures.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Tracked files, and new ones that are not ignored. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\0')
  .filter((path) => path !== '' && existsSync(join(root, path)));
const textFiles = files.filter((path) => !/\.(png|ico|woff2?|gz)$/.test(path));
const sources = files.filter((path) => /^(src|bench|test|deploy)\/.*\.(ts|tsx|mjs)$/.test(path));
const server = sources.filter((path) => path.startsWith('src/') && !path.startsWith('src/console/'));

/** The code without comments and types; what is left keeps its meaning, not its lines. */
const withoutComments = (path: string, text = read(path)): string =>
  transformSync(text, {
    filename: path,
    minify: true,
    jsc: {
      target: 'es2024',
      parser: path.endsWith('.mjs') ? { syntax: 'ecmascript' } : { syntax: 'typescript', tsx: path.endsWith('.tsx') },
      transform: { react: { runtime: 'automatic', importSource: 'preact' }, verbatimModuleSyntax: true },
      minify: { compress: false, mangle: false, format: { comments: false } },
    },
  }).code;

/** `file: what` for every pattern that occurs. */
const findings = (paths: string[], textOf: (path: string) => string, banned: Record<string, RegExp>): string[] =>
  paths.flatMap((path) => {
    const text = textOf(path);
    return Object.entries(banned).flatMap(([what, pattern]) => (pattern.test(text) ? [`${path}: ${what}`] : []));
  });

describe('texts', () => {
  // Written in pieces, so that this file passes its own test.
  const banned = {
    'work that is left over': new RegExp(
      `\\b(${['TO', 'FIX', 'X'].map((word, at) => word + ['DO', 'ME', 'XX'][at]).join('|')})\\b`,
    ),
    'work that is not done': new RegExp(['not', '(yet )?implemented\\b'].join(' '), 'i'),
    'a path of one machine': /(?<![\w.~-])\/(work|root|home\/\w+|Users\/\w+)\//,
    'the host of a package registry': new RegExp(
      ['registry\\.npm', 'proxy\\.golang', 'deb\\.debian', 'crates\\.', 'pypi\\.o'].join('|'),
    ),
  };

  test('say nothing that does not belong into a repository', () => {
    expect(
      findings(
        textFiles.filter((path) => path !== 'test/tidy.test.ts'),
        read,
        banned,
      ),
    ).toEqual([]);
  });

  test('the check sees what it must refuse', () => {
    const bad = [
      `// ${'TO'}${'DO'}: later`,
      `throw new Error('${'not'} implemented')`,
      "'/root/.cache'",
      `https://${'registry'}.npmjs.org/x`,
    ];
    expect(bad.flatMap((text) => findings([text], (path) => path, banned))).toHaveLength(bad.length);
    expect(findings(['https://example.com/root/'], (path) => path, banned)).toEqual([]);
  });

  test('relative links lead somewhere', () => {
    const broken = textFiles
      .filter((path) => path.endsWith('.md'))
      .flatMap((path) =>
        [...read(path).matchAll(/\]\(([^)\s]+)\)/g)]
          .map(([, target]) => target ?? '')
          .filter((target) => !/^([a-z]+:|#)/.test(target))
          .filter((target) => !existsSync(join(root, normalize(join(dirname(path), target.replace(/#.*$/, ''))))))
          .map((target) => `${path}: ${target}`),
      );
    expect(broken).toEqual([]);
  });
});

describe('code', () => {
  test('has what a comment speaks of right behind the comment', () => {
    const banned = { 'a comment about a comment': /^ *\/\*\* .* \*\/\n *\/\*\*/m };
    expect(findings(sources, read, banned)).toEqual([]);
    expect(findings(['a.ts'], () => '/** Of b. */\n/** Of a. */\nconst a = 1;\nconst b = 2;\n', banned)).toHaveLength(
      1,
    );
  });

  test('makes no code and no regular expression from strings', () => {
    const banned = {
      eval: /\beval\(/,
      'new Function': /\bnew Function\b/,
      'a regular expression that is not written out': /\bnew RegExp\(|(?<![\w.])RegExp\(/,
    };
    const product = sources.filter((path) => /^(src|bench)\//.test(path));
    expect(findings(product, withoutComments, banned)).toEqual([]);
    expect(findings(['a.ts'], () => 'const a = new RegExp(b); eval(c); new Function(d)', banned)).toHaveLength(3);
  });

  /** What is below runs in the engine, must give the same result on every run, and must not be able to wait. */
  const deterministic = /^src\/(engine\.ts|(state|rules|alerts|record|reference|feed)\/.*)$/;
  const exceptions: Record<string, string> = {
    'src/state/checkpoint.ts': 'writes and reads the checkpoint files',
    'src/state/checkpoint-thread.ts': 'writes them beside the pipeline, and rests in between',
    'src/state/memory-thread.ts': 'has memory ready before the state needs it',
    'src/state/spill-store.ts': 'is the disk behind an interface that gives back what it took',
    'src/state/spill-disk.ts': 'is that disk',
    'src/state/spill-writer.ts': 'writes to it beside the engine',
    'src/rules/load.ts': 'reads the rule files and watches them',
    'src/reference/numbering-plan.ts': 'reads the plan once, when the program starts',
  };
  const banned = {
    'a clock': /\bDate\.now\b|\bnew Date\(\)|\bperformance\.|\bhrtime\b/,
    'unseeded randomness': /\bMath\.random\b|\brandomUUID\b|\brandomBytes\b/,
    waiting: /\bawait\b|\basync\b|\bsetTimeout\(|\bsetInterval\(|\bsetImmediate\(/,
    'the environment': /\bprocess\.(env|argv|stdin)\b/,
    'input or output':
      /from\s*["']node:(fs|net|http|https|child_process|timers|os|dgram|dns|tls|worker_threads)(\/promises)?["']/,
  };

  test('of the engine is synchronous and deterministic', () => {
    const core = server.filter((path) => deterministic.test(path) && !(path in exceptions));
    expect(core.length).toBeGreaterThan(10);
    expect(findings(core, withoutComments, banned)).toEqual([]);
  });

  test('the check of the engine sees what it must refuse', () => {
    const bad = [
      'export const now = Date.now();',
      'export const dice = Math.random();',
      'export async function later() { await 0; }',
      'export const home = process.env.HOME;',
      "import { readFileSync } from 'node:fs'; export const text = readFileSync('x');",
    ];
    for (const text of bad) expect(findings(['a.ts'], (path) => withoutComments(path, text), banned)).toHaveLength(1);
    expect(
      findings(['a.ts'], (path) => withoutComments(path, '// no Date.now here\nexport const a = 1;'), banned),
    ).toEqual([]);
  });

  test('reads flags, environment and configuration in few places', () => {
    const readers: Record<string, string> = {
      'src/config.ts': 'the one reader of flags, environment and the configuration file',
      'src/main.ts': 'hands the arguments to the command line',
      'src/source/broker.ts': 'RINGFENCE_NATS_SERVER and PATH say where the private broker is',
      'src/log.ts': 'NO_COLOR and the log level come before the configuration',
    };
    const found = findings(server, withoutComments, { 'the environment': /\bprocess\.(env|argv)\b/ }).filter(
      (finding) => !(finding.replace(/:.*/, '') in readers || finding.startsWith('src/cli/')),
    );
    expect(found).toEqual([]);
  });
});

describe('layout', () => {
  const LINES_MAX = 700;
  /** Longer files and why they are one. */
  const long: Record<string, string> = {
    'src/engine.ts': 'what happens to a record is read in one file, from top to bottom',
  };

  test(`no source has more than ${LINES_MAX} lines of code without a reason`, () => {
    const lines = (path: string): number => read(path).match(/^(?!\s*(\/\/|\/?\*|$)).+/gm)?.length ?? 0;
    const tooLong = sources.filter((path) => !path.startsWith('test/') && lines(path) > LINES_MAX && !(path in long));
    expect(tooLong.map((path) => `${path}: ${lines(path)} lines`)).toEqual([]);
    expect(Object.keys(long).filter((path) => !files.includes(path))).toEqual([]);
  });

  test('the map names every folder and every source', () => {
    const map = read('src/README.md');
    const paths = files.filter((path) => /^src\/.*\.(ts|tsx)$/.test(path));
    const folders = new Set(paths.flatMap((path) => path.split('/').slice(1, -1)));
    // A file that holds the Chinese of another one is named with it.
    const named = (path: string): string => path.replace(/.*\//, '').replace(/(-zh-cn)?\.tsx?$/, '');
    const isNamed = (name: string): boolean => map.includes(`\`${name}\``) || map.includes(`\`${name}.ts\``);
    expect([...folders].filter((folder) => !map.includes(`\`${folder}/\``))).toEqual([]);
    expect(paths.filter((path) => !isNamed(named(path)))).toEqual([]);
  });

  test('folders are stages, not kinds', () => {
    const kinds = /^(utils?|helpers?|common|shared|lib|types|interfaces|misc|core)$/;
    const folders = new Set(sources.flatMap((path) => dirname(path).split('/')));
    expect([...folders].filter((folder) => kinds.test(folder))).toEqual([]);
    expect(sources.filter((path) => /(^|\/)index\.(ts|tsx|mjs)$/.test(path))).toEqual([]);
  });

  test('a test carries the name of a source', () => {
    // The file or the folder; more words may follow: file-source.test.ts for source/file.ts.
    const nouns = new Set(
      sources.flatMap((path) =>
        path
          .replace(/\.(ts|tsx|mjs)$/, '')
          .split('/')
          .slice(1),
      ),
    );
    /** Tests of something larger than one file. */
    const whole = [
      'catalogue',
      'tidy',
      'deploy',
      'console',
      'demo',
      'end-to-end',
      'command-line',
      'rules',
      'serve',
      'replay',
      'recovery',
      'simulation',
      'dunning',
      'sichuan',
    ];
    const tests = files.filter((path) => /^test\/[^/]*\.test\.ts$/.test(path));
    const strange = tests.filter((path) => {
      const name = path.replace(/^test\//, '').replace('.test.ts', '');
      const words = name.split('-');
      const begins = words.map((_, at) => words.slice(0, at + 1).join('-'));
      return !begins.some((begin) => nouns.has(begin) || whole.includes(begin));
    });
    expect(strange).toEqual([]);
  });
});

describe('imports', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-tidy-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The real rules on small modules that break them: `npm run check` runs them on the sources. */
  test('the rules refuse what the map forbids', () => {
    const modules: Record<string, string> = {
      'record/usage-record.ts': 'export const A = 1; export interface Shape { a: number }',
      'alerts/alert.ts': "import { A } from '../record/usage-record.ts'; export const B = A;",
      'http/server.ts':
        "import { engine } from '../engine.ts'; export const server = engine; export interface S { a: 1 }",
      'engine.ts': "import { server } from './http/server.ts'; export const engine = server;",
      'state/window.ts': "import { plan } from '../reference/plan.ts'; export const w = plan;",
      'state/arena.ts': "import type { plan } from '../reference/plan.ts'; export type P = typeof plan;",
      'reference/plan.ts': 'export const plan = 1;',
      'console/main.tsx':
        "import { server } from '../http/server.ts'; import { join } from 'node:path'; join(String(server));",
      'console/page.tsx': "import type { S } from '../http/server.ts'; export const s: S = { a: 1 };",
      'main.ts':
        "import './http/server.ts'; import './state/window.ts'; import './state/arena.ts'; import './alerts/alert.ts'; import './cli/bench.ts'; import './nowhere.ts';",
      'source/file.ts': "import '../main.ts';",
      'rules/rule.ts': 'export const lonely = 1;',
      'cli/bench.ts': "import '../../bench/suites.ts'; export const run = () => import('../../bench/run.ts');",
      '../bench/suites.ts': '',
      '../bench/run.ts': '',
    };
    for (const [path, text] of Object.entries(modules)) {
      mkdirSync(dirname(join(folder, 'src', path)), { recursive: true });
      writeFileSync(join(folder, 'src', path), text);
    }
    writeFileSync(join(folder, 'package.json'), '{ "name": "fixture", "type": "module" }');
    const program = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
    const args = [program, '--config', join(root, '.dependency-cruiser.mjs'), '--output-type', 'json', 'src'];
    const output = execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    const { summary } = JSON.parse(output) as {
      summary: { violations: { from: string; to: string; rule: { name: string } }[] };
    };
    const found = summary.violations.map(({ rule, from, to }) =>
      `${rule.name}: ${from} -> ${to}`.replaceAll('src/', ''),
    );
    expect(found.sort()).toEqual([
      'benchmarks-are-loaded-when-asked: cli/bench.ts -> bench/suites.ts',
      'console-has-no-node: console/main.tsx -> path',
      'console-imports-types-only: console/main.tsx -> http/server.ts',
      'engine-imports: engine.ts -> http/server.ts',
      'main-is-not-imported: source/file.ts -> main.ts',
      'no-cycles: engine.ts -> http/server.ts',
      'no-orphans: rules/rule.ts -> rules/rule.ts',
      'no-unreachable: rules/rule.ts -> rules/rule.ts',
      'no-unreachable: source/file.ts -> source/file.ts',
      'resolvable: main.ts -> ./nowhere.ts',
      'shapes-import-nothing: alerts/alert.ts -> record/usage-record.ts',
      'source-imports: source/file.ts -> main.ts',
      'state-imports-types-only: state/window.ts -> reference/plan.ts',
    ]);
  });
});

describe('pictures of the console', () => {
  const names = Object.values(PICTURES)
    .flat()
    .map(({ name }) => name);

  test('there is one of every page, each under a name of its own', () => {
    expect(PAGES.filter((page) => PICTURES[page].length === 0)).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  test('those of the readme are among them', () => {
    const shown = [...read('README.md').matchAll(/screenshots\/([\w-]+?)-(?:en|zh-CN)-(?:light|dark)\.png/g)];
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.map(([, name]) => name).filter((name) => !names.includes(name!))).toEqual([]);
  });
});
