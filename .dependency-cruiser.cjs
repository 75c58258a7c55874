/** Who may import whom: the rules of docs/architecture.md, held by `npm run lint`. */
const ours =
  '^(domain|store|router|forecasting|activities|workflows|workers|config|client|dashboard|temporal-config|test|bench|examples)/';

/** `folder` may import, of our own code, itself and `allowed` (regular expressions over paths). */
const only = (folder, ...allowed) => ({
  name: `${folder}-imports-only`,
  severity: 'error',
  comment: `${folder}/ may import only itself${allowed.length ? ` and ${allowed.join(', ')}` : ''}`,
  from: { path: `^${folder}/` },
  to: { path: ours, pathNot: [`^${folder}/`, ...allowed] },
});

module.exports = {
  forbidden: [
    only('domain'),
    only('config', '^domain/'),
    only('store', '^domain/'),
    only('forecasting', '^domain/'),
    only('router', '^domain/', '^store/', '^config/'),
    only('activities', '^domain/', '^store/', '^forecasting/', '^workflows/messages[.]ts$'),
    only('workflows', '^domain/', '^activities/'),
    {
      name: 'workflows-import-activity-types-only',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^activities/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'workflows-packages',
      severity: 'error',
      comment: 'Only what the workflow sandbox can run.',
      from: { path: '^workflows/' },
      to: { path: 'node_modules', pathNot: 'node_modules/@temporalio/(workflow|common)/' },
    },
    {
      name: 'domain-is-pure',
      severity: 'error',
      from: { path: '^domain/' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'core'] },
    },
    {
      ...only('client', '^domain/', '^store/', '^router/', '^config/', '^forecasting/', '^workflows/messages[.]ts$'),
      from: { path: '^client/', pathNot: '^client/main[.]ts$' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    includeOnly: `${ours}|node_modules`,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
