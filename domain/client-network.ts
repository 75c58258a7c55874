/** Letters and digits, and what stands between them in names of hosts, sites and offices; not what has an address in it. */
const NAME = /^(?!(.* )?\d+(\.\d+){3}( |$))[\p{L}\p{N}]+([ ._-]+[\p{L}\p{N}]+)*$/u;
const LONGEST_NAME = 253;

/**
 * The address range that a client's address belongs to: /24 for IPv4, /48 for IPv6, the usual sizes of a site. A range that is wider
 * and the name of a network stay what they are. Takes what proxies and servers write: an address with its port (`203.0.113.9:41234`,
 * `[2001:db8::1]:443`) or zone, and a list whose first one is the client (`X-Forwarded-For`).
 *
 * @returns undefined for something that is neither an address nor a name
 */
export function clientNetwork(client: string): string | undefined {
  const { written, inBrackets } = addressIn(client);
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(written) ?? [];
  const v6 = ipv6(address.replace(/%[\w.-]+$/, ''));
  const v4 = inBrackets === undefined ? ipv4(address) : undefined;
  // As servers report IPv4 that comes in by a socket for both.
  const isMapped = v6?.slice(0, 6).every((group, i) => group === (i < 5 ? 0 : 0xffff)) === true;
  if (v6 !== undefined && isMapped && bits === undefined) return ipv4Network(v6.slice(6).flatMap(bytesOf), 32);
  if (v6 !== undefined) return ipv6Network(v6, Number(bits ?? 128));
  if (v4 !== undefined) return ipv4Network(v4, Number(bits ?? 32));
  return inBrackets === undefined && written.length <= LONGEST_NAME && NAME.test(written) ? written : undefined;
}

/** What stands in the place of a client's address: with its port, in a list, a range, or a name. */
export function addressIn(client: string): { readonly written: string; readonly inBrackets: string | undefined } {
  const first = client.split(',', 1)[0]!.trim();
  const inBrackets = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(first)?.[1];
  // One colon is in front of a port, two or more are of an IPv6 address.
  return { written: inBrackets ?? /^([^:]*):\d{1,5}$/.exec(first)?.[1] ?? first, inBrackets };
}

function ipv4(text: string): number[] | undefined {
  const bytes = /^\d{1,3}(\.\d{1,3}){3}$/.test(text) ? text.split('.').map(Number) : [];
  return bytes.length === 4 && bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

/** Its eight groups. */
function ipv6(text: string): number[] | undefined {
  const halves = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const tail = halves.at(-1)!;
  // The last two groups may be written like an IPv4 address.
  const embedded = text.includes(':') && tail.length > 0 ? ipv4(tail.at(-1)!) : undefined;
  if (embedded !== undefined) tail.splice(-1, 1, ...pairs(embedded).map((pair) => pair.toString(16)));
  const [head = [], rest] = halves;
  const missing = 8 - head.length - (rest?.length ?? 0);
  if (halves.length > 2 || (rest === undefined ? missing !== 0 : missing < 1)) return undefined;
  const groups = [...head, ...Array<string>(missing).fill('0'), ...(rest ?? [])];
  return groups.every((group) => /^[\da-f]{1,4}$/i.test(group))
    ? groups.map((group) => Number.parseInt(group, 16))
    : undefined;
}

const bytesOf = (group: number): number[] => [group >> 8, group & 0xff];
const pairs = ([a = 0, b = 0, c = 0, d = 0]: readonly number[]): number[] => [(a << 8) | b, (c << 8) | d];

function ipv4Network(bytes: readonly number[], bits: number): string | undefined {
  const size = Math.min(bits, 24);
  return bits > 32 ? undefined : `${masked(bytes, 8, size).join('.')}/${size}`;
}

function ipv6Network(groups: readonly number[], bits: number): string | undefined {
  const size = Math.min(bits, 48);
  const prefix = masked(groups, 16, size).slice(0, Math.ceil(size / 16));
  return bits > 128 ? undefined : `${prefix.map((group) => group.toString(16)).join(':')}::/${size}`;
}

/** What is behind the first `bits` is 0. */
const masked = (parts: readonly number[], width: number, bits: number): number[] =>
  parts.map((part, i) => {
    const behind = Math.min(width, Math.max(0, (i + 1) * width - bits));
    return (part >> behind) << behind;
  });
