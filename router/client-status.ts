/** What a client knows of itself and of what it needs, for a health check. */
export interface ClientStatus {
  readonly closed: boolean;
  readonly lease: {
    /** Without it results that no fence has seen follow `onLeaseExpired`; everything else goes on. */
    readonly valid: boolean;
  };
  readonly catalog: {
    /** Whether it has answered within the last two seconds. Without it the client goes on by the routes that it has. */
    readonly reachable: boolean;
    readonly lastAnswerAt: Date;
  };
  readonly routes: {
    readonly partitions: number;
    /** When the route of a partition last was new here, or when the client was connected. */
    readonly lastChangeAt: Date;
  };
  /** Requests that wait for a hand-over. */
  readonly heldRequests: number;
  /** Whether the primary of each node is known, by the node's name. */
  readonly nodes: Readonly<Record<string, boolean>>;
  /** Access records that wait for the catalog, and how many were lost since the client was connected. */
  readonly accessRecords: { readonly waiting: number; readonly lost: number };
}
