import { expect, test } from 'vitest'
import { sourceKey, sourceNetwork, sourceSite } from '../../../src/base/source-network.ts'

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['[::ffff:192.0.2.1]', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64'],
  ['[2001:db8:1:2::3]', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ['/run/saslcached.sock', '/run/saslcached.sock'],
  ['unix:@abstract', 'unix:@abstract'],
  ['', ''],
])('%j belongs to %j', (address, network) => {
  expect(sourceNetwork(address)).toBe(network)
})

test.each([
  ['192.0.2.1', { kind: 4, high: 0, low: 0xc0000201 | 0 }],
  ['::ffff:255.255.255.255', { kind: 4, high: 0, low: -1 }],
  ['2001:db8:1:2::3', { kind: 6, high: 0x20010db8, low: 0x10002 }],
  ['ffff:ffff:ffff:ffff::1', { kind: 6, high: -1, low: -1 }],
  ['::', { kind: 6, high: 0, low: 0 }],
  ['unix', { kind: 0, high: 0, low: 1 }],
  ['unknown', { kind: 0, high: 0, low: 0 }],
  ['0.0.0.0', { kind: 4, high: 0, low: 0 }],
  ['10.0.200.7', { kind: 4, high: 0, low: 0x0a00c807 }],
  ['192.0.2', { kind: 0, high: 0, low: 0 }],
  ['192.0.2.1.5', { kind: 0, high: 0, low: 0 }],
  ['192.0.2.', { kind: 0, high: 0, low: 0 }],
  ['192.0..1', { kind: 0, high: 0, low: 0 }],
  ['.192.0.2.1', { kind: 0, high: 0, low: 0 }],
  ['192.0.2.256', { kind: 0, high: 0, low: 0 }],
  ['192.0.2.0001', { kind: 0, high: 0, low: 0 }],
  ['192.0.2.1 ', { kind: 0, high: 0, low: 0 }],
  ['192.0.2.x', { kind: 0, high: 0, low: 0 }],
])('%j counts under its whole network', (address, key) => {
  expect(sourceKey(sourceNetwork(address))).toEqual(key)
})

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2::3', '2001:db8:1::/48'],
  ['2001:db8:1:ffff::3', '2001:db8:1::/48'],
  ['2001:db8::1', '2001:db8:0::/48'],
  ['unix', 'unix'],
])('%j is of the site %j', (address, site) => {
  expect(sourceSite(sourceNetwork(address))).toBe(site)
})
