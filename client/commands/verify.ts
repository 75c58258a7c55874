import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import type { VerificationReport } from '../verification.js';
import { copyRate, documentRate, given } from './arguments.js';
import { withControl } from './invocation.js';
import { count } from './presentation.js';

interface VerifyOptions {
  readonly maxMbps?: number;
  readonly maxDocs?: number;
}

export function addVerifyCommand(program: Command): void {
  program
    .command('verify <keyspace> <partition>')
    .description('compare both copies of a partition that is moving, document by document; exits 1 when they differ')
    .option('--max-mbps <number>', 'megabytes a second that may be read at most; 0 = no limit', copyRate)
    .option('--max-docs <number>', 'documents a second that may be read at most; 0 = no limit', documentRate)
    .action(
      withControl<VerifyOptions>(async ({ control, options, terminal }, keyspace, partition) => {
        const { verifyCopies } = await import('../verification.js');
        const bar = new cliProgress.SingleBar({
          format: '{bar} {percentage} %  {value} of about {total} documents compared, time left {eta_formatted}',
          barsize: 30,
          stream: process.stderr,
          hideCursor: true,
          noTTYOutput: false,
        });
        if (terminal.interactive) bar.start(1, 0);
        let report: VerificationReport;
        try {
          report = await verifyCopies(control, {
            keyspace,
            partition,
            ...given({ maxMegabytesPerSecond: options.maxMbps, maxDocumentsPerSecond: options.maxDocs }),
            onProgress: ({ compared, documentsInAll }) => {
              if (!terminal.interactive) return;
              bar.setTotal(Math.max(1, compared, documentsInAll));
              bar.update(compared);
            },
          });
        } finally {
          bar.stop();
        }
        const text = described(report);
        const isSame = [report.different, report.differentIndexes, report.differentOptions].every(
          ({ length }) => length === 0,
        );
        if (isSame) terminal.result({ verification: report }, text);
        else terminal.unsuccessful({ verification: report }, text, 'The copies are not the same.');
      }),
    );
}

function described(report: VerificationReport): string {
  const { source, target, compared, different, differentIndexes, differentOptions } = report;
  const lines = [`${count(compared)} documents on ${source} were compared with those on ${target}.`];
  if (different.length > 0) lines.push('These differ (at most 20 are told):', ...different.map((id) => `  ${id}`));
  if (differentIndexes.length > 0) lines.push(`These indexes differ: ${differentIndexes.join(', ')}`);
  if (differentOptions.length > 0) lines.push(`These collection options differ: ${differentOptions.join(', ')}`);
  if (lines.length === 1) lines.push('All of them, and all indexes, are the same.');
  return lines.join('\n');
}
