import type { Command } from 'commander';
import { loadConfiguration, Secrets } from '../../config/index.js';
import type { Configuration } from '../../config/index.js';
import type { ControlContext } from '../context.js';
import { Terminal } from './terminal.js';

/** Options of every command. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly config?: string;
}

/** One run of a command. */
export interface Invocation<Options> {
  readonly options: Options & GlobalOptions;
  readonly terminal: Terminal;
}

export interface ConfiguredInvocation<Options> extends Invocation<Options> {
  readonly configuration: Configuration;
}

export interface ControlInvocation<Options> extends Invocation<Options> {
  readonly control: ControlContext;
}

type Action = (...received: unknown[]) => Promise<void>;

/** What commander calls: arguments, options, command. Failures are told by the terminal. */
export function withTerminal<Options = unknown, Operands extends readonly unknown[] = readonly string[]>(
  perform: (invocation: Invocation<Options>, ...operands: Operands) => Promise<void>,
): Action {
  return async (...received) => {
    const command = received.at(-1) as Command;
    const options = command.optsWithGlobals<Options & GlobalOptions>();
    const terminal = new Terminal(options.json === true);
    try {
      await perform({ options, terminal }, ...(received.slice(0, -2) as unknown as Operands));
    } catch (error) {
      terminal.fail(error);
    }
  };
}

/** For commands that need drover.yaml. */
export function withConfiguration<Options = unknown, Operands extends readonly unknown[] = readonly string[]>(
  perform: (invocation: ConfiguredInvocation<Options>, ...operands: Operands) => Promise<void>,
): Action {
  return withTerminal<Options, Operands>(async (invocation, ...operands) => {
    const { config } = invocation.options;
    const configuration = await loadConfiguration(config === undefined ? {} : { path: config });
    invocation.terminal.guard(Secrets.of(configuration));
    await perform({ ...invocation, configuration }, ...operands);
  });
}

/** For commands that need the catalog, nodes or Temporal. */
export function withControl<Options = unknown, Operands extends readonly unknown[] = readonly string[]>(
  perform: (invocation: ControlInvocation<Options>, ...operands: Operands) => Promise<void>,
): Action {
  return withConfiguration<Options, Operands>(async ({ configuration, ...invocation }, ...operands) => {
    // Loaded now: help and complaints about arguments should not wait for database drivers.
    const { openControl } = await import('../context.js');
    const control = await openControl({ configuration });
    try {
      await perform({ ...invocation, control }, ...operands);
    } finally {
      await control.close();
    }
  });
}
