/**
 * What a few requests count, on saslcached and on memcached alike: what is a new item, what a miss,
 * and how old the item is that nobody has used for longest.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { missingPrerequisite } from '../support/program.ts'
import { MEMCACHED, startMemcached, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const isMissing = missingPrerequisite([MEMCACHED]) !== undefined

describe.each([
  { kind: 'saslcached', start: startSaslcached },
  ...(isMissing ? [] : [{ kind: 'memcached', start: startMemcached }]),
])('$kind', ({ start }) => {
  let server: TestServer
  beforeAll(async () => {
    server = await start({ flags: ['-t', '1'] })
  })
  afterAll(async () => {
    await server.stop()
  })

  async function statOf(client: TextClient, group: string, name: string): Promise<string> {
    const rows = await client.ask(`stats${group}\r\n`, 'END\r\n')
    return new RegExp(`^STAT ${name} (.*)\r$`, 'm').exec(rows)?.[1] ?? ''
  }

  test('a number that gets longer is a new item, one that does not is none', async () => {
    const client = new TextClient(server)
    await client.ask('set n 0 0 1\r\n8\r\n')
    const before = Number(await statOf(client, '', 'total_items'))
    expect(await client.ask('incr n 1\r\n')).toBe('9\r\n')
    expect(Number(await statOf(client, '', 'total_items'))).toBe(before)
    expect(await client.ask('incr n 1\r\n')).toBe('10\r\n')
    expect(Number(await statOf(client, '', 'total_items'))).toBe(before + 1)
  })

  test('an INCREMENT that makes the number is no miss, one that finds none is', async () => {
    const client = new TextClient(server)
    const binary = await BinaryClient.connect(server)
    const extras = Buffer.alloc(20)
    await binary.request({ opcode: 0x05, key: 'made', extras })
    expect(await statOf(client, '', 'incr_misses')).toBe('0')
    extras.writeUInt32BE(0xffffffff, 16)
    await binary.request({ opcode: 0x05, key: 'missing', extras })
    expect(await statOf(client, '', 'incr_misses')).toBe('1')
  })

  test('the age of the items is the time since the oldest was used', async () => {
    const client = new TextClient(server)
    await delay(1100)
    await client.ask('set young 0 0 1\r\nx\r\n')
    await delay(1100)
    expect(Number(await statOf(client, ' items', 'items:1:age'))).toBeGreaterThanOrEqual(2)
  })
})
