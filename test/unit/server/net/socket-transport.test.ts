import { expect, test } from 'vitest'
import { peerName } from '../../../../src/server/net/socket-transport.ts'

const ENOTCONN = -107

function tcp(address: string, family: string) {
  return {
    close: () => undefined,
    getpeername: (out: { address?: string; family?: string; port?: number }) => {
      Object.assign(out, { address, family, port: 4711 })
      return 0
    },
  }
}

test.each([
  ['192.0.2.1', 'IPv4', '192.0.2.1:4711'],
  ['::ffff:192.0.2.1', 'IPv6', '192.0.2.1:4711'],
  ['2001:db8::1', 'IPv6', '[2001:db8::1]:4711'],
])('a peer at %s is named with its port', (address, family, name) => {
  expect(peerName(tcp(address, family))).toBe(name)
})

test('a peer on a Unix socket is told from one that has reset its TCP connection', () => {
  expect(peerName({ close: () => undefined })).toBe('unix')
  expect(peerName({ close: () => undefined, getpeername: () => ENOTCONN })).toBe('unknown')
})
