import { expect, test } from 'vitest'
import { Peer, UNIX_PEER, UNKNOWN_PEER } from '../../../src/base/peer.ts'

test('a peer has its address, its text and its network', () => {
  expect(Peer.at('192.0.2.1', 5)).toEqual({
    address: '192.0.2.1',
    text: '192.0.2.1:5',
    network: '192.0.2.1',
    networkKey: { kind: 4, high: 0, low: 0xc0000201 | 0 },
  })
  expect(Peer.at('2001:db8::1', 5)).toEqual({
    address: '2001:db8::1',
    text: '[2001:db8::1]:5',
    network: '2001:db8:0:0::/64',
    networkKey: { kind: 6, high: 0x20010db8, low: 0 },
  })
})

test('what has no address does not count as one, nor as one another', () => {
  const keys = [UNIX_PEER, UNKNOWN_PEER, Peer.at('0.0.0.0', 1)].map(({ networkKey }) => networkKey)
  expect(new Set(keys.map((key) => JSON.stringify(key))).size).toBe(3)
})
