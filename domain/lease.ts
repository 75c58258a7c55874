/**
 * A router holds a lease on its routes: while it holds, no token has changed hands without the router's knowledge.
 *
 * The router counts from before its renewal was sent; who hands tokens over counts, on its own clock, from when it first
 * saw the newest renewal, and longer. So however clocks are set and messages are delayed, as long as clocks run at the
 * same rate to within the margin, a lease that the mover regards as run out has run out at the router.
 */
export const LEASE_MS = 2_000;
/** How much longer the mover waits: two clocks may differ by a quarter in rate. */
export const LEASE_MARGIN_MS = 500;
export const LEASE_RENEW_MS = 500;

/** Until when a router may rely on a lease whose renewal it sent at `sentAt` (milliseconds, a monotonic clock). */
export const leaseEnd = (sentAt: number): number => sentAt + LEASE_MS;

/** Whether a lease whose newest renewal was first seen at `seenAt` has run out for certain (the mover's clock). */
export const hasRunOut = (seenAt: number, now: number): boolean => now - seenAt > LEASE_MS + LEASE_MARGIN_MS;
