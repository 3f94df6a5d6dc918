/** Names with several addresses; a resolver of the test's own says which. */

import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { BoundSockets, type ResolvedAddress } from '../../../../src/server/net/bound-sockets.ts'
import { freePort } from '../../../support/free-port.js'

const V4 = { address: '127.0.0.1', family: 4 }
const V4_OTHER = { address: '127.0.0.2', family: 4 }
const V6 = { address: '::1', family: 6 }
/** For documentation: no interface has it. */
const NOT_HERE = { address: '2001:db8::1', family: 6 }

function socketsOf(...addresses: ResolvedAddress[]): BoundSockets {
  const sockets = new BoundSockets(async () => addresses)
  onTestFinished(() => sockets.close())
  return sockets
}

function textsOf(sockets: BoundSockets): string[] {
  return sockets.shared.map(({ address }) => address.text)
}

test('every address of a name is bound, and port 0 is one port for all of them', async () => {
  const sockets = socketsOf(V4, V6, V4_OTHER, V4)
  await sockets.bindTcp({ host: 'cache.test', port: 0 })
  const [first] = sockets.shared
  const port = first?.address.port ?? 0
  expect(port).toBeGreaterThan(0)
  expect(textsOf(sockets)).toEqual([`127.0.0.1:${port}`, `[::1]:${port}`, `127.0.0.2:${port}`])
  for (const { address } of sockets.shared) expect(address.given).toBe(`cache.test:${port}`)
})

test('an address that this machine does not have is left out if there is another', async () => {
  const sockets = socketsOf(NOT_HERE, V4)
  await sockets.bindTcp({ host: 'cache.test', port: 0 })
  expect(textsOf(sockets)).toEqual([expect.stringMatching(/^127\.0\.0\.1:/)])
  const none = socketsOf(NOT_HERE)
  await expect(none.bindTcp({ host: 'cache.test', port: 0 })).rejects.toThrow(
    'cannot listen on cache.test:0: no interface of this machine has that address',
  )
})

test('an address of a name that is in use is an error, and none of the others is kept', async () => {
  const other = createServer().listen(0, '::1')
  onTestFinished(() => void other.close())
  await new Promise((resolve) => other.once('listening', resolve))
  const { port } = other.address() as { port: number }
  const sockets = socketsOf(V4, V6)
  await expect(sockets.bindTcp({ host: 'cache.test', port })).rejects.toThrow(
    new RegExp(`cannot listen on cache.test:${port}: the address is in use .* -p, -l or --http`),
  )
  expect(sockets.shared).toEqual([])
  const again = socketsOf(V4)
  await again.bindTcp({ host: 'cache.test', port })
  expect(textsOf(again)).toEqual([`127.0.0.1:${port}`])
})

test('an address that another -l has bound already is bound once', async () => {
  const sockets = socketsOf(V4)
  const port = await freePort()
  await sockets.bindTcp({ host: 'cache.test', port })
  await sockets.bindTcp({ host: '127.0.0.1', port })
  expect(textsOf(sockets)).toEqual([`127.0.0.1:${port}`])
})

test('the second loopback address takes the port of the first, and is left out without IPv6', async () => {
  const names = new Map([
    ['127.0.0.1', V4],
    ['::1', V6],
    ['gone', NOT_HERE],
  ])
  const sockets = new BoundSockets(async (host) => [names.get(host) ?? V4])
  onTestFinished(() => sockets.close())
  await sockets.bindTcp({ host: '127.0.0.1', port: 0 })
  await sockets.bindTcp({ host: '::1', port: 0, isSecond: true })
  await sockets.bindTcp({ host: 'gone', port: 0, isSecond: true })
  const [port] = sockets.shared.map(({ address }) => address.port)
  expect(textsOf(sockets)).toEqual([`127.0.0.1:${port}`, `[::1]:${port}`])
})

test('what Linux binds and could not listen on is refused at once', async () => {
  const port = await freePort()
  const sockets = socketsOf(V4)
  await sockets.bindTcp({ host: 'cache.test', port })
  const why = 'this server listens on 127.0.0.1'
  // Another user than whoever is asked for a login, and every address.
  await expect(sockets.bindTcp({ host: '127.0.0.1', port, identity: 'alice' })).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}: ${why}`,
  )
  await expect(sockets.bindTcp({ host: '*', port })).rejects.toThrow(why)
  const ofHttp = new BoundSockets(async () => [V4], sockets.shared)
  onTestFinished(() => ofHttp.close())
  await expect(ofHttp.bindTcp({ host: 'cache.test', port })).rejects.toThrow(why)
  await ofHttp.bindTcp({ host: 'cache.test', port: 0 })
})
