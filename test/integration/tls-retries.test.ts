/** Who guesses none of the server's groups has to say hello once more, and only a few at a time may. */
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect as connectSecurely } from 'node:tls'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { connectTls, TestTls } from '../support/tls.ts'

/** The server has the second of them; a client sends a key for the first. */
const WRONG_GUESS = { ecdhCurve: 'ffdhe2048:X25519', minVersion: 'TLSv1.3' } as const
const RETRIES_MAX = 4
const STRANGERS = 12

let tls: TestTls
let server: TestServer

beforeAll(async () => {
  tls = new TestTls()
  server = await startSaslcached({
    users: [{ name: 'alice', password: 'wonderland' }],
    // No deadline is to end what the bound does not.
    flags: [...tls.server.flags, '-t', '1', '--login-timeout', '600'],
  })
})

afterAll(async () => {
  await server.stop()
  tls.remove()
})

async function helloOf(options: typeof WRONG_GUESS): Promise<Buffer> {
  const pieces: Buffer[] = []
  const socket = new Duplex({
    read: () => undefined,
    write: (piece: Buffer, _, done) => {
      pieces.push(piece)
      done()
    },
  })
  const client = connectSecurely({ socket, ...options })
  while (pieces.length === 0) await nextTurn()
  client.destroy()
  return Buffer.concat(pieces)
}

function sendTo(port: number, bytes: Uint8Array): Socket {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined).resume()
  socket.write(bytes)
  return socket
}

const isLetIn = async (): Promise<boolean> => {
  const socket = await connectTls(server.port, WRONG_GUESS)
  socket.destroy()
  return true
}

test('who has to say hello once more is let in', async () => {
  for (let count = 0; count < 2 * RETRIES_MAX; count++) expect(await isLetIn()).toBe(true)
})

test('of many who could all come back at one moment a few are let, and they give way', async () => {
  const hello = await helloOf(WRONG_GUESS)
  const strangers = Array.from({ length: STRANGERS }, () => sendTo(server.port, hello))
  const closedCount = (): number => strangers.filter(({ closed }) => closed).length
  await expect.poll(closedCount, { timeout: 60_000 }).toBe(STRANGERS - RETRIES_MAX)
  // Whoever guesses rightly is none of them.
  const client = await connectTls(server.port)
  client.destroy()
  await expect.poll(isLetIn, { timeout: 60_000 }).toBe(true)
  const reason = ({ event, code }: { event?: unknown; code?: unknown }): boolean =>
    event === 'tls_handshake_failed' && code === 'too-many-retries'
  await server.waitForLog(reason)
})
