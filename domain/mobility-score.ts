/**
 * Mobility score (source document 2, "Access Pattern Analyzer"): how much of what is predicted to be asked for would be asked for
 * from elsewhere.
 *
 * The document's "weighted average of predicted access frequency across regions", with the distance of each region from the owner's
 * as its weight, divided by the predicted requests of all regions:
 *
 *     M = sum over regions r of  distance(r) * requests(r)  /  sum over regions of  requests(r)
 *
 * In [0, 1]: 0 where all requests will come from the owner's region, 1 where all will come from the farthest ones. It does not depend on
 * how many requests there are.
 *
 * @param requests predicted requests by region, each 0 or more
 * @param ownRegion region of the node that owns what the requests are for
 * @param distance of a region, in [0, 1]; without it every other region is at the distance 1
 * @returns undefined where no requests are predicted
 */
export function mobilityScore(
  requests: ReadonlyMap<string, number>,
  ownRegion: string,
  distance: (region: string) => number = () => 1,
): number | undefined {
  let total = 0;
  let weighted = 0;
  for (const [region, count] of requests) {
    total += count;
    if (region !== ownRegion) weighted += Math.min(1, Math.max(0, distance(region))) * count;
  }
  return total > 0 ? Math.min(1, weighted / total) : undefined;
}
