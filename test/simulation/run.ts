import { simulate, type Mutation } from './simulate.ts';
const [from, to, mutation] = process.argv.slice(2);
let bad = 0; const sums: Record<string, number> = {};
const c = process.cpuUsage();
const t = process.hrtime.bigint();
for (let seed = Number(from); seed <= Number(to); seed++) {
  const { problems, figures, trace } = await simulate(seed, mutation as Mutation);
  for (const [k, v] of Object.entries(figures)) sums[k] = (sums[k] ?? 0) + v;
  if (problems.length > 0) { bad++; console.log(seed, problems[0]!.slice(0, 500)); }
  if (process.env['TRACE']) console.log(trace.join('\n'));
}
console.log(bad, 'bad', sums, Number(process.hrtime.bigint() - t) / 1e6 / (Number(to) - Number(from) + 1), 'ms each', (process.cpuUsage(c).user + process.cpuUsage(c).system) / 1000 / (Number(to) - Number(from) + 1), 'cpu ms');
