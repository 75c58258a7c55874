/** The server's error codes that Drover acts on; errors are told apart by code, never by message. */
export const ServerError = {
  unauthorized: 13,
  namespaceNotFound: 26,
  indexNotFound: 27,
  cursorNotFound: 43,
  namespaceExists: 48,
  maxTimeExpired: 50,
  cannotCreateIndex: 67,
  indexOptionsConflict: 85,
  indexKeySpecsConflict: 86,
  documentValidationFailure: 121,
  queryFeatureNotAllowed: 224,
  changeStreamFatal: 280,
  changeStreamHistoryLost: 286,
  snapshotUnavailable: 246,
  collectionUuidMismatch: 361,
  cannotDropShardKeyIndex: 373,
  bsonObjectTooLarge: 10334,
  duplicateKey: 11000,
  interrupted: 11601,
  indexIsBeingBuilt: 12587,
  unknownStage: 40324,
} as const;

/** Whether an error has one of the codes. Where replies are read unpromoted, the code is an object, too. */
export const hasCode = (error: unknown, ...names: readonly (keyof typeof ServerError)[]): boolean => {
  const code = Number((error as { code?: unknown } | null)?.code);
  return names.some((name) => ServerError[name] === code);
};
