/**
 * What is delivered around the program fits the program: names of metrics, runbook sections, files that the container
 * image copies. Prometheus' own checker and its rule tests run where promtool is on the machine.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createMetrics } from '../src/metrics.ts';

const deploy = join(import.meta.dirname, '..', 'deploy');
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8');

interface AlertRule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; description: string; runbook: string };
}
const alertFile = parse(read('prometheus/alerts.yaml')) as { groups: { rules: AlertRule[] }[] };
const alerts = alertFile.groups.flatMap(({ rules }) => rules);

interface Panel {
  title: string;
  targets?: { expr: string }[];
  gridPos: { x: number; y: number; w: number; h: number };
}
const dashboard = JSON.parse(read('grafana/dashboards/ringfence.json')) as { panels: Panel[] };
const dashboardExpressions = dashboard.panels.flatMap(({ title, targets }) =>
  (targets ?? []).map(({ expr }) => [title, expr] as const),
);

/** Every sample name of a scrape, e.g. with `_bucket`, `_sum` and `_count` for a histogram. */
async function exposedNames(): Promise<Set<string>> {
  const metrics = createMetrics();
  metrics.declareRules('1', [{ id: 'fraud.any', desk: 'fraud' }]);
  const { body } = await metrics.expose(undefined);
  const names = new Set<string>();
  for (const [, name, type] of body.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    for (const suffix of suffixes) names.add(`${name}${suffix}`);
  }
  return names;
}

const metricNames = (expression: string): string[] =>
  expression.match(/\b(ringfence|process|nodejs)_[a-z0-9_]+/g) ?? [];

test('every metric that a dashboard, an alert or the runbook names is exposed', async () => {
  const exposed = await exposedNames();
  const used = [
    ...dashboardExpressions.map(([title, expr]) => [`panel ${title}`, metricNames(expr)] as const),
    ...alerts.map(({ alert, expr }) => [`alert ${alert}`, metricNames(expr)] as const),
    [
      'runbook',
      [...read('prometheus/runbook.md').matchAll(/`[^`]*rate\((ringfence_\w+)/g)].map(([, name]) => name ?? ''),
    ] as const,
  ];
  expect(used.flatMap(([, names]) => names).length).toBeGreaterThan(30);
  const unknown = used.flatMap(([place, names]) =>
    names.filter((name) => !exposed.has(name)).map((name) => `${place}: ${name}`),
  );
  expect(unknown).toEqual([]);
});

test('panels do not overlap and have queries', () => {
  const cells = new Map<string, string>();
  const overlaps: string[] = [];
  for (const { title, gridPos } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        if (x >= 24 || cells.has(`${x},${y}`)) overlaps.push(`${title}: ${cells.get(`${x},${y}`)} at ${x},${y}`);
        cells.set(`${x},${y}`, title);
      }
    }
  }
  expect(overlaps).toEqual([]);
  expect(dashboardExpressions.filter(([, expr]) => expr.trim() === '')).toEqual([]);
});

describe('alerts', () => {
  const sections = new Set([...read('prometheus/runbook.md').matchAll(/^## (\w+)$/gm)].map(([, name]) => name));
  const tests = parse(read('prometheus/alerts.test.yaml')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const tested = new Set(
    tests.tests
      .flatMap(({ alert_rule_test }) => alert_rule_test)
      .filter(({ exp_alerts }) => exp_alerts.length > 0)
      .map(({ alertname }) => alertname),
  );

  test.each(alerts)('$alert has a severity, a runbook section and a test in which it fires', (rule) => {
    expect(['warning', 'critical']).toContain(rule.labels.severity);
    expect(rule.annotations.runbook).toBe(`deploy/prometheus/runbook.md#${rule.alert.toLowerCase()}`);
    expect([...sections]).toContain(rule.alert);
    expect([...tested]).toContain(rule.alert);
  });

  test('the runbook has no section of an alert that is gone', () => {
    expect([...sections]).toEqual(alerts.map(({ alert }) => alert));
  });

  const promtool = spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0;
  test.skipIf(!promtool)('promtool passes them (skipped where promtool is not on the PATH)', () => {
    const run = (...args: string[]) =>
      execFileSync('promtool', args, { cwd: join(deploy, 'prometheus'), encoding: 'utf8', stdio: 'pipe' });
    expect(run('check', 'config', 'prometheus.yaml')).toContain('SUCCESS');
    expect(run('test', 'rules', 'alerts.test.yaml')).toContain('SUCCESS');
  });
});

describe('container', () => {
  const dockerfile = read('Dockerfile');
  const ignored = read('Dockerfile.dockerignore').split('\n');
  const manifest = JSON.parse(readFileSync(join(deploy, '..', 'package.json'), 'utf8')) as {
    engines: { node: string };
  };

  test('copies what exists and what the build context holds', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) =>
      (paths ?? '').split(' '),
    );
    expect(copied.length).toBeGreaterThan(5);
    expect(copied.filter((path) => !existsSync(join(deploy, '..', path)))).toEqual([]);
    expect(copied.filter((path) => !ignored.includes(`!${path.replace('./', '')}`))).toEqual([]);
  });

  test('runs the Node that package.json asks for, and not as root', () => {
    const majors = [...dockerfile.matchAll(/^FROM node:(\d+)/gm)].map(([, major]) => `>=${major}`);
    expect(new Set(majors)).toEqual(new Set([manifest.engines.node]));
    expect(dockerfile).toMatch(/^USER node$/m);
  });

  test('the Compose file mounts what exists', () => {
    const { services, volumes } = parse(read('compose.yaml'), { merge: true }) as {
      services: Record<string, { volumes?: string[]; read_only?: boolean }>;
      volumes: Record<string, unknown>;
    };
    const sources = Object.values(services).flatMap((service) =>
      (service.volumes ?? []).map((mount) => mount.split(':')[0] ?? ''),
    );
    const files = sources.filter((source) => source.startsWith('.'));
    expect(files.length).toBeGreaterThan(4);
    expect(files.filter((path) => !existsSync(join(deploy, path)))).toEqual([]);
    expect(sources.filter((source) => !source.startsWith('.') && !(source in volumes))).toEqual([]);
    expect(services.ringfence?.read_only).toBe(true);
  });
});
