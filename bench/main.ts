import { parseArgs } from 'node:util';
import { anomalies } from './anomalies.js';
import type { Bench, Comparison } from './bench.js';
import { copy } from './copy.js';
import { cutover } from './cutover.js';
import { forecast } from './forecast.js';
import { foreground } from './foreground.js';
import { history } from './history.js';
import { ingest } from './ingest.js';
import { probes } from './probes.js';
import { replicate } from './replicate.js';
import { router } from './router.js';
import { verify } from './verify.js';
import { comparisonTable, toJson } from './report.js';

/**
 * `npm run bench -- NAME [--json]`: measures Drover and a baseline in turn, in the same run. With --json the last line
 * of standard output is the result; everything else goes beside it.
 */
const BENCHES: Readonly<Record<string, Bench>> = {
  anomalies,
  copy,
  cutover,
  forecast,
  foreground,
  history,
  ingest,
  probes,
  replicate,
  router,
  verify,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    steps: { type: 'string', default: '100' },
    rate: { type: 'string', multiple: true, default: ['500', '1500'] },
    documents: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    case: { type: 'string', multiple: true },
    svg: { type: 'string' },
  },
});

async function main(): Promise<void> {
  const [name = ''] = positionals;
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (bench === undefined || positionals.length > 1) throw new Error(usage());
  const options = {
    steps: positive('steps', values.steps),
    rates: values.rate.map((rate) => positive('rate', rate)),
    documents: values.documents === undefined ? bench.defaults.documents : positive('documents', values.documents),
    rounds: positive('rounds', values.rounds),
    cases: chosen(bench, values.case),
    svg: values.svg,
    say: (text: string) => (values.json ? console.error(text) : console.log(text)),
  };
  const results: readonly Comparison[] = await bench.run(options);
  options.say(comparisonTable(results));
  if (values.json) console.log(toJson(name, results));
}

/** All of them, where none is named. */
function chosen({ cases = {} }: Bench, names = Object.keys(cases)): readonly string[] {
  const unknown = names.find((name) => !Object.hasOwn(cases, name));
  if (unknown === undefined) return names;
  throw new Error(`there is no case "${unknown}"; there is ${Object.keys(cases).join(', ') || 'one case only'}`);
}

function positive(name: string, value: string): number {
  const number = Number(value.replaceAll(',', ''));
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} must be a whole number above 0, not "${value}"`);
  return number;
}

const usage = (): string =>
  [
    'usage: npm run bench -- NAME [--json] [--case CASE]... [--steps N] [--rate N]... [--documents N] [--rounds N] [--svg FILE]; NAME is one of',
    ...Object.entries(BENCHES).flatMap(([name, { about, cases = {} }]) => [
      `  ${name.padEnd(12)}${about}`,
      ...Object.entries(cases).map(([each, what]) => `${' '.repeat(14)}--case ${each.padEnd(12)}${what}`),
    ]),
  ].join('\n');

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
