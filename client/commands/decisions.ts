import type { Command } from 'commander';
import { Option } from 'commander';
import type { DecisionDocument, DecisionState } from '../../store/catalog/decisions.js';
import type { By } from './arguments.js';
import { byOption, given } from './arguments.js';
import { withControl } from './invocation.js';
import { facts, identified, moment, percent, table } from './presentation.js';

const STATES: readonly DecisionState[] = [
  'observed',
  'recommended',
  'approved',
  'started',
  'rejected',
  'expired',
  'refused',
];

export function addDecisionCommands(program: Command): void {
  program
    .command('decisions')
    .description('what was decided by forecast, newest first')
    .addOption(new Option('--state <state>', 'only those in this state').choices(STATES))
    .option('--keyspace <keyspace>', 'only this keyspace')
    .action(
      withControl<{ state?: DecisionState; keyspace?: string }>(async ({ control, options, terminal }) => {
        const { listDecisions } = await import('../decisions.js');
        const { state, keyspace } = options;
        if (keyspace !== undefined) await control.catalog.keyspaces.get(keyspace);
        const decisions = await listDecisions(control, given({ state, keyspace }));
        terminal.result({ decisions: decisions.map(identified) }, decisionTable(decisions));
      }),
    );

  const decision = program.command('decision').description('one decision: why, and whether it may begin');

  decision
    .command('show <id>')
    .description('why it was made, and why not another')
    .action(
      withControl(async ({ control, terminal }, id) => {
        const { showDecision } = await import('../decisions.js');
        const shown = await showDecision(control, id);
        terminal.result({ decision: identified(shown) }, describe(shown));
      }),
    );

  for (const verb of ['approve', 'reject'] as const) {
    decision
      .command(`${verb} <id>`)
      .description(verb === 'approve' ? 'let the move begin' : 'decide against the move')
      .option('--reason <text>', 'why, for the record')
      .addOption(byOption())
      .action(
        withControl<By & { reason?: string }>(async ({ control, options, terminal }, id) => {
          const { approveDecision, rejectDecision } = await import('../decisions.js');
          const { by, reason } = options;
          const answer = verb === 'approve' ? approveDecision : rejectDecision;
          const after = await answer(control, id, { by, ...given({ reason }) });
          const what = `${after.keyspace}/${after.partition} to ${after.target}`;
          terminal.result(
            { decision: identified(after) },
            verb === 'approve'
              ? `The move of ${what} may begin. Follow it with "drover migration show ${after.keyspace} ${after.partition}".`
              : `The move of ${what} is rejected.`,
          );
        }),
      );
  }
}

const decisionTable = (decisions: readonly DecisionDocument[]): string =>
  table(
    decisions,
    [
      { title: 'decision', value: ({ _id }) => _id },
      { title: 'at', value: ({ at }) => moment(at) },
      { title: 'partition', value: ({ keyspace, partition }) => `${keyspace}/${partition}` },
      { title: 'from', value: ({ source }) => source },
      { title: 'to', value: ({ target }) => target },
      { title: 'gain', value: ({ gain }) => percent(gain), right: true },
      { title: 'state', value: ({ state }) => state },
      { title: 'why', value: ({ reasons }) => reasons[0]?.text },
    ],
    'There is no such decision.',
  );

function describe(decision: DecisionDocument): string {
  const { reasons, rejected, state } = decision;
  const parts = [
    facts([
      ['decision', decision._id],
      ['move', `${decision.keyspace}/${decision.partition} from ${decision.source} to ${decision.target}`],
      ['state', state],
      ['note', decision.note],
      ['decided by', decision.decidedBy],
      ['at', `${moment(decision.at)} (mode ${decision.mode})`],
      ['score', decision.score?.toFixed(2)],
      ['score foreseen', decision.predictedScore?.toFixed(2)],
      ['crosses trigger', moment(decision.crossingAt)],
      ['probability', percent(decision.probability)],
      [
        'gain',
        decision.gain === undefined ? undefined : `${percent(decision.gain)} more requests served in their region`,
      ],
      ['workflow', decision.workflowId],
    ]),
    '',
    'Why:',
    ...reasons.map(({ code, text }) => `  ${text} (${code})`),
  ];
  if (rejected.length > 0) {
    parts.push('', 'Why not:', ...rejected.map(({ node, code, text }) => `  ${node}: ${text} (${code})`));
  }
  if (state === 'recommended') {
    parts.push(
      '',
      `"drover decision approve ${decision._id}" lets it begin, "drover decision reject ${decision._id}" does not.`,
    );
  }
  return parts.join('\n');
}
