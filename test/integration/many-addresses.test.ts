/**
 * Strangers with many addresses of the loopback network fill the server, over real sockets and with
 * several workers: whoever comes from another address, and has fewer connections, gets in.
 */
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'

const ALICE = { name: 'alice', password: 'correct horse' }
const VERSION_EVERY_MS = 50

async function start(flags: readonly string[]): Promise<TestServer> {
  const server = await startSaslcached({ users: [ALICE], flags })
  onTestFinished(async () => await server.stop())
  return server
}

async function connectFrom(server: TestServer, localAddress: string): Promise<Socket> {
  const { host, port } = server
  const socket = connectSocket({ host, port, localAddress, noDelay: true })
  onTestFinished(() => {
    socket.destroy()
  })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Logs in from that address, and stays. */
async function login(server: TestServer, localAddress: string): Promise<void> {
  const client = new BinaryClient(await connectFrom(server, localAddress))
  await client.loginPlain(ALICE.name, ALICE.password)
}

test('of 60 addresses none is kept out by the strangers of 40 others', async () => {
  const flags = ['-c', '100', '-t', '2', '--prelogin-conn-limit', '100', '--login-timeout', '600']
  const server = await start(flags)
  for (let index = 0; index < 120; index++) {
    await connectFrom(server, `127.0.1.${1 + (index % 40)}`)
  }
  for (let index = 0; index < 60; index++) await login(server, `127.1.${index}.1`)
})

test('strangers that speak all the time do not keep their places from who has fewer', async () => {
  const flags = ['-c', '20', '-t', '2', '--prelogin-conn-limit', '20', '--login-timeout', '600']
  const server = await start(flags)
  for (let index = 0; index < 20; index++) {
    const socket = await connectFrom(server, '127.0.1.1')
    socket.resume()
    const speak = setInterval(() => socket.write('version\r\n'), VERSION_EVERY_MS)
    socket.on('close', () => clearInterval(speak))
    socket.write('version\r\n')
  }
  for (let index = 0; index < 10; index++) await login(server, `127.1.${index}.1`)
})
