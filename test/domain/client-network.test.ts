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

  it('of something that is no address is its name', () => {
    expect(clientNetwork('office-berlin')).toBe('office-berlin');
    expect(clientNetwork('10.1.0.0/16')).toBe('10.1.0.0/16');
  });
});
