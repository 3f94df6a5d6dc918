/** How the connections that commands go by are logged in. */
import { expect, onTestFinished, test } from 'vitest'
import { Topology } from '../../../src/remote/topology.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ManualCluster } from '../../support/manual-cluster.ts'

/** What a connection writes when it opens, for a command that waits. */
async function writtenBy(user: string | undefined, password: string | undefined): Promise<string> {
  const written: Buffer[] = []
  const clock = new ManualClock()
  const options = {
    settings: {
      seeds: [{ host: '192.0.2.1', port: 1 }],
      user,
      password,
      tls: undefined,
      timeoutMs: 1000,
      connections: 1,
      missesOnFailure: false,
      near: undefined,
    },
    make: () => new ManualCluster(),
    dial: (_: unknown, events: { opened(): void }) => {
      clock.soon(() => events.opened())
      return { write: (bytes: Buffer) => written.push(Buffer.from(bytes)) > 0, close: () => {} }
    },
    clock,
    onTrouble: () => undefined,
  }
  const owner = { due: () => undefined, replied: () => undefined, lost: () => undefined }
  const topology = new Topology(options, owner)
  onTestFinished(() => topology.close())
  await topology.opened
  const key = Buffer.from('a')
  const command = { key, args: ['GET', key], bytes: 1, settle: () => undefined }
  topology.linkOf(key, 0)?.send(command, clock.nowMs())
  clock.turn()
  return Buffer.concat(written).toString('utf8')
}

test('users and passwords beyond ASCII are sent in UTF-8', async () => {
  expect(await writtenBy('jürgen-日本', 'pä:ss€')).toBe(
    '*3\r\n$4\r\nAUTH\r\n$14\r\njürgen-日本\r\n$9\r\npä:ss€\r\n',
  )
  expect(await writtenBy(undefined, '日本')).toBe('*2\r\n$4\r\nAUTH\r\n$6\r\n日本\r\n')
})

test('those of ASCII are sent as they are, and without a password there is no login', async () => {
  expect(await writtenBy('gate', 'a secret')).toBe(
    '*3\r\n$4\r\nAUTH\r\n$4\r\ngate\r\n$8\r\na secret\r\n',
  )
  expect(await writtenBy('gate', undefined)).toBe('*2\r\n$3\r\nGET\r\n$1\r\na\r\n')
})
