/** A gate whose nodes take logins and connections over TLS only. */
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { hasPrerequisites } from '../support/program.ts'
import { REDIS, RedisCluster } from '../support/redis-cluster.ts'
import { startSaslcached } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { TestTls } from '../support/tls.ts'

const PASSWORD = 'of-the-store-4711'

describe.runIf(hasPrerequisites('a gate before nodes with a login', [REDIS]))(
  'a gate before nodes with a login',
  () => {
    const tls = new TestTls()
    afterAll(() => tls.remove())

    test('logs in on every connection, and is out of reach with a wrong password', async () => {
      const cluster = await RedisCluster.start({ masters: 3, hasReplicas: false })
      onTestFinished(async () => await cluster.stop())
      for (const node of cluster.masters) {
        expect(await node.ask('CONFIG', 'SET', 'requirepass', PASSWORD)).toBe('+OK\r\n')
      }
      const start = async (name: string, password: string): Promise<TextClient> => {
        const file = tls.write(name, `${password}\n`)
        const gate = await startSaslcached({
          flags: [
            ...['--store', 'cluster', '--store-nodes', cluster.seeds],
            ...['--store-password-file', file, '--store-connections', '2', '-t', '1'],
            ...['--store-timeout', '20'],
          ],
        })
        onTestFinished(async () => {
          await gate.stop()
        })
        return new TextClient(gate)
      }
      const client = await start('right', PASSWORD)
      for (let key = 0; key < 30; key++) {
        expect(await client.ask(`set k${key} 0 0 1\r\nx\r\n`)).toBe('STORED\r\n')
      }
      const stranger = await start('wrong', 'another')
      expect(await stranger.ask('get k1\r\n')).toMatch(/^SERVER_ERROR the store /)
    })
  },
)
