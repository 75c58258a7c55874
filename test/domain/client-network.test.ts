import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clientNetwork } from '../../domain/client-network.js';

describe('the network that a client belongs to', () => {
  it.each([
    ['10.1.2.3', '10.1.2.0/24'],
    ['255.255.255.255', '255.255.255.0/24'],
    ['192.168.0.1', '192.168.0.0/24'],
  ])('of %s is %s: a /24', (address, network) => {
    expect(clientNetwork(address)).toBe(network);
  });

  it.each([
    ['2001:db8:85a3:8d3:1319:8a2e:370:7348', '2001:db8:85a3::/48'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8:0::/48'],
    ['2001:db8::1', '2001:db8:0::/48'],
    ['2001:DB8:ABCD::', '2001:db8:abcd::/48'],
    ['::1', '0:0:0::/48'],
    ['::', '0:0:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['1:2:3:4:5:6:7::', '1:2:3::/48'],
  ])('of %s is %s: a /48', (address, network) => {
    expect(clientNetwork(address)).toBe(network);
  });

  it('is the same for every way to write an address', () => {
    const spellings = ['2001:db8:0:1::2', '2001:0DB8:0000:0001:0000:0000:0000:0002', '2001:db8:0:1:0:0:0:2'];
    expect(new Set(spellings.map(clientNetwork)).size).toBe(1);
  });

  it.each([
    ['::ffff:10.1.2.3', '10.1.2.0/24'],
    ['::FFFF:10.1.2.3', '10.1.2.0/24'],
  ])('of %s, an IPv4 address inside of IPv6 as servers report it, is that of the IPv4 address', (address, network) => {
    expect(clientNetwork(address)).toBe(network);
  });

  it.each([
    ['203.0.113.9:41234', '203.0.113.0/24'],
    ['[2001:db8::1]:443', '2001:db8:0::/48'],
    ['[2001:db8::1]', '2001:db8:0::/48'],
    ['[fe80::1%eth0]:80', 'fe80:0:0::/48'],
    ['198.51.100.7, 10.0.0.1', '198.51.100.0/24'],
    [' 203.0.113.9:41234,10.0.0.1:80', '203.0.113.0/24'],
    ['::ffff:a01:203', '10.1.2.0/24'],
    ['office-berlin:8080', 'office-berlin'],
  ])('of %s, as proxies write it, is %s', (client, network) => {
    expect(clientNetwork(client)).toBe(network);
  });

  it.each([
    ['10.1.0.0/16', '10.1.0.0/16'],
    ['10.1.2.3/16', '10.1.0.0/16'],
    ['10.1.2.3/32', '10.1.2.0/24'],
    ['2001:db8:1::1/29', '2001:db8::/29'],
    ['2001:db8:1::1/64', '2001:db8:1::/48'],
  ])('of the range %s is %s: never a single address', (range, network) => {
    expect(clientNetwork(range)).toBe(network);
  });

  it('of something that is no address is its name', () => {
    for (const name of ['office-berlin', 'web-1.example.com', 'Büro Süd', 'c42']) {
      expect(clientNetwork(name)).toBe(name);
    }
  });

  it.each([
    ...[
      '999.1.2.3',
      '10.1.2.3.',
      '10.1.2.3/33',
      '2001:db8::1::2',
      '1:2:3:4:5:6:7',
      '2001:db8::g',
      '[10.1.2.3]',
      '[::1',
    ],
    ...['', ',10.1.2.3', '-', '10.1.2.3 10.1.2.4', 'bob@example.com', 'a/b', '{"ip":"10.1.2.3"}', 'x'.repeat(254)],
  ])('is not known of %j', (client) => {
    expect(clientNetwork(client)).toBeUndefined();
  });

  it('is known of all addresses, and of nothing else that has a colon', () => {
    const group = fc.stringMatching(/^[\da-f]{0,5}$/);
    const odd = fc.array(fc.oneof(group, fc.ipV4()), { minLength: 3, maxLength: 9 }).map((groups) => groups.join(':'));
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), odd), (address) => {
        expect(clientNetwork(address) !== undefined).toBe(isIPv6(address));
      }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.stringMatching(/^\d{1,4}(\.\d{1,3}){3}$/)), (address) => {
        expect(clientNetwork(address)).toBe(
          isIPv4(address) ? address.replace(/\d+$/, '0/24') : clientNetwork(`${address}:80`),
        );
      }),
    );
  });
});
