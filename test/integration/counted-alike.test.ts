/**
 * What a few requests count, on saslcached and on memcached alike: what is a new item, what a miss,
 * and how old the item is that nobody has used for longest.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
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
    // A clock that stood still a moment ago is of a moment ago.
    await expect
      .poll(async () => Number(await statOf(client, ' items', 'items:1:age')))
      .toBeGreaterThanOrEqual(2)
  })
})

test('-o no_lru_maintainer leaves out the rows that 1.6.45 leaves out then', async () => {
  const lines = async (flags: readonly string[]): Promise<string[]> => {
    const server = await startSaslcached({ flags: ['-t', '1', ...flags] })
    onTestFinished(() => server.stop())
    const client = new TextClient(server)
    await client.ask('set k 0 0 1\r\nv\r\n')
    const text = `${await client.ask('stats\r\n', 'END\r\n')}${await client.ask('stats items\r\n', 'END\r\n')}`
    return [...text.matchAll(/^STAT (\S+)/gm)].map(([, name = '']) => name)
  }
  const without = await lines(['-o', 'no_lru_maintainer'])
  const missing = (await lines([])).filter((name) => !without.includes(name))
  expect(missing.sort()).toEqual(
    [
      'direct_reclaims evicted_active lru_bumps_dropped lru_maintainer_juggles',
      'moves_to_cold moves_to_warm moves_within_lru',
      'items:1:age_hot items:1:age_warm items:1:direct_reclaims items:1:evicted_active',
      'items:1:hits_to_cold items:1:hits_to_hot items:1:hits_to_temp items:1:hits_to_warm',
      'items:1:moves_to_cold items:1:moves_to_warm items:1:moves_within_lru',
      'items:1:number_cold items:1:number_hot items:1:number_warm',
    ]
      .flatMap((names) => names.split(' '))
      .sort(),
  )
})
