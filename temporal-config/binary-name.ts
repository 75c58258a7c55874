/** The programs that Drover runs for development, demonstration and tests. */
export type BinaryName = 'mongod' | 'temporal' | 'temporal-test-server' | 'toxiproxy-server';

export const BINARY_NAMES: readonly BinaryName[] = ['mongod', 'temporal', 'temporal-test-server', 'toxiproxy-server'];
