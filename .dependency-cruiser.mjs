/**
 * Which module may import which. The order is that of src/README.md: a record travels downwards, imports point upwards.
 * `values` may be imported as they are, `types` only with `import type`. Paths are folders or files of src/. The shapes of
 * record and alert and the words of what is granted, which import nothing, may be imported from everywhere; main.ts and cli/ may
 * import everything.
 * Run by `npm run check`; the parser is swc, because the checker cannot read TypeScript 7's own trees.
 */
const shapes = ['record/usage-record.ts', 'alerts/alert.ts', 'access/grants.ts'];
const stages = [
  'record/',
  'reference/',
  'state/',
  'rules/',
  'alerts/',
  'subscriber-view.ts',
  'engine.ts',
  'source/',
  'sinks/',
];
const support = [
  'errors.ts',
  'metrics.ts',
  'log.ts',
  'projection-file.ts',
  'projection-pages.ts',
  'thread-priority.ts',
];
const mayImport = [
  { module: 'errors.ts', values: [], types: [] },
  { module: 'thread-priority.ts', values: [], types: [] },
  { module: 'record/', values: [], types: [] },
  { module: 'reference/', values: ['errors.ts'], types: [] },
  { module: 'state/', values: ['record/', 'errors.ts', 'thread-priority.ts'], types: ['reference/'] },
  { module: 'rules/', values: ['record/', 'errors.ts', 'reference/', 'state/'], types: [] },
  { module: 'alerts/', values: ['record/', 'errors.ts', 'rules/'], types: ['state/'] },
  { module: 'subscriber-view.ts', values: ['rules/', 'alerts/'], types: ['state/'] },
  {
    module: 'engine.ts',
    values: ['record/', 'reference/', 'state/', 'rules/', 'alerts/', 'subscriber-view.ts', 'errors.ts'],
    types: [],
  },
  { module: 'metrics.ts', values: ['errors.ts'], types: [] },
  { module: 'log.ts', values: ['errors.ts'], types: [] },
  { module: 'projection-file.ts', values: ['errors.ts', 'projection-pages.ts'], types: [] },
  { module: 'projection-pages.ts', values: [], types: [] },
  {
    module: 'config.ts',
    values: [
      'access/',
      'errors.ts',
      'log.ts',
      'rules/',
      'cases/case-policy.ts',
      'cases/case-event.ts',
      'webhooks/address.ts',
    ],
    types: [],
  },
  { module: 'source/', values: ['record/', ...support], types: ['alerts/'] },
  { module: 'sinks/', values: ['record/', 'source/connection.ts', ...support], types: ['alerts/', 'state/'] },
  { module: 'backfill.ts', values: [...stages, ...support], types: [] },
  { module: 'pipeline.ts', values: [...stages, 'backfill.ts', ...support], types: [] },
  { module: 'access/', values: ['alerts/alert.ts', 'errors.ts'], types: [] },
  { module: 'cases/', values: ['reference/', 'source/', ...support], types: [] },
  {
    module: 'rule-changes/',
    values: [...stages, 'cases/case-alert.ts', ...support],
    types: ['cases/'],
  },
  { module: 'evidence/', values: ['record/', 'rules/', 'source/', ...support], types: [] },
  { module: 'webhooks/', values: ['cases/', 'source/', ...support], types: [] },
  {
    module: 'http/',
    values: ['access/', ...stages, 'cases/', 'evidence/', 'rule-changes/', 'webhooks/', ...support],
    types: ['config.ts'],
  },
  { module: 'feed/', values: ['record/', 'reference/'], types: [] },
  {
    module: 'console/',
    values: [],
    types: [...stages, 'access/', 'cases/', 'evidence/', 'rule-changes/', 'http/', 'metrics.ts'],
  },
];

const pattern = (path) => `^src/${path.replaceAll('.', '[.]')}${path.endsWith('/') ? '' : '$'}`;
const anyOf = (paths) => paths.map(pattern).join('|');

/** Tools that live beside the console but run under Node, and the places where a program starts. */
const consoleTools = '^src/console/(vite[.]config|chromium|pictures|screenshots)[.]ts$';
const entries = ['^src/main[.]ts$', '^src/console/main[.]tsx$', consoleTools, '[.]d[.]ts$'];

const tableRules = mayImport.flatMap(({ module, values, types }) => {
  const name = module.replace(/[./].*$/, '');
  const from = { path: pattern(module), pathNot: consoleTools };
  const named = [module, ...(name === 'errors' || name === 'record' ? [] : shapes), ...values];
  const valueRule = {
    name: `${name}-imports`,
    comment: `src/${module} may import ${values.join(', ') || 'nothing of ours'} and types of ${types.join(', ') || 'nothing else'}.`,
    severity: 'error',
    from,
    to: { path: '^(src|bench|test|deploy)/', pathNot: anyOf([...named, ...types]) },
  };
  if (types.length === 0) return [valueRule];
  const typeRule = {
    name: `${name}-imports-types-only`,
    comment: `Of ${types.join(', ')}, src/${module} may import types only.`,
    severity: 'error',
    from,
    to: { path: anyOf(types), pathNot: anyOf(named), dependencyTypesNot: ['type-only', 'type-import'] },
  };
  return [valueRule, typeRule];
});

export default {
  forbidden: [
    ...tableRules,
    {
      name: 'shapes-import-nothing',
      comment: 'The record, the alert and the words of grants are known everywhere, so they know nothing.',
      severity: 'error',
      from: { path: anyOf(shapes) },
      to: {},
    },
    {
      name: 'console-has-no-node',
      comment: 'Modules of Node do not exist in a browser.',
      severity: 'error',
      from: { path: '^src/console/', pathNot: consoleTools },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'console-is-not-imported',
      comment: 'The server delivers the built console as files.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/console/' },
      to: { path: '^src/console/' },
    },
    {
      name: 'main-is-not-imported',
      comment: 'main.ts and cli/ compose the program; nothing composes them.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(main[.]ts$|cli/)' },
      to: { path: '^src/(main[.]ts$|cli/)' },
    },
    {
      name: 'source-knows-no-test',
      comment: 'Nothing in src/ needs tests or benchmarks, but for the command that runs the benchmarks.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/bench[.]ts$' },
      to: { path: '^(bench|test)/' },
    },
    {
      name: 'benchmarks-are-loaded-when-asked',
      comment: 'An installation without bench/ still starts: the command imports it when it runs.',
      severity: 'error',
      from: { path: '^src/cli/bench[.]ts$' },
      to: { path: '^bench/', dynamic: false, dependencyTypesNot: ['type-only', 'type-import'] },
    },
    {
      name: 'no-cycles',
      comment: 'A cycle hides which of two modules knows the other.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nothing imports and that starts nothing is dead.',
      severity: 'error',
      from: { orphan: true, path: '^(src|bench)/', pathNot: entries },
      to: {},
    },
    {
      name: 'no-unreachable',
      comment:
        'Every module of the server is reached from main.ts or from a benchmark; a test alone keeps nothing alive.',
      severity: 'error',
      from: { path: '^(src/main[.]ts$|bench/)' },
      to: { path: '^src/', pathNot: ['^src/console/', ...entries], reachable: false },
    },
    {
      name: 'resolvable',
      comment: 'The import leads nowhere, or to a package that package.json does not name.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-package',
      comment: 'A package that is only there by chance, because another one needs it.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-development-package',
      comment:
        'The server runs without development packages. The console is built, so its packages are not needed then.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(console/|cli/bench[.]ts$)' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'type-import'], pathNot: '/@types/' },
    },
  ],
  options: {
    parser: 'swc',
    combinedDependencies: false,
    doNotFollow: { path: 'node_modules' },
    // Scripts of k6 import modules of k6, which is no package.
    exclude: { path: '^(dist|bench/k6)/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'browser', 'node', 'default', 'types'],
    },
  },
};
