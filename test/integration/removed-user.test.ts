/** What a reload means for clients that are connected. */
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { parseResponses, requestFrame } from '../support/binary-frames.ts'
import { startSaslcached } from '../support/server.ts'

function login(port: number, user: string, password: string) {
  const socket = connect(port, '127.0.0.1')
  let received = Buffer.alloc(0)
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes])
  })
  socket.write(requestFrame({ opcode: 0x21, key: 'PLAIN', value: `\0${user}\0${password}` }))
  return {
    socket,
    frames: () => parseResponses(received).frames,
    ended: new Promise<void>((resolve) => socket.once('close', () => resolve())),
  }
}

test('a user who is removed is cut off at the reload; the others notice nothing', async () => {
  const server = await startSaslcached({
    users: [
      { name: 'alice', password: 'wonderland' },
      { name: 'mallory', password: 'intruder' },
    ],
  })
  const alice = login(server.port, 'alice', 'wonderland')
  const mallory = login(server.port, 'mallory', 'intruder')
  await server.waitForLogins(2)
  server.replaceUsers('[users.alice]\npassword = "wonderland"\n')
  await mallory.ended
  expect(await server.waitForLog(({ event }) => event === 'removed_users_cut')).toMatchObject({
    connections: 1,
  })
  alice.socket.write(requestFrame({ opcode: 0x0a }))
  await expect.poll(() => alice.frames().map(({ status }) => status)).toEqual([0, 0])
  alice.socket.end()
  await alice.ended
  await server.stop()
})
