/**
 * Meta flags in both orders, against what memcached 1.6.45 said. To ask it anew:
 * MEMCACHED=/path/to/memcached npx vitest run test/transcripts/meta-flag-pairs.test.ts -u
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startMemcached, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { askAllPairs, formatPairs, type Outcomes, parsePairs } from './meta-flag-pairs.ts'
import { memcachedVersion } from './play-all.ts'

const FILE = join(import.meta.dirname, 'meta-flag-pairs.txt')
const HEADER = '# What memcached 1.6.45 answers; meta-flag-pairs.ts says how to read it.\n'

async function outcomesOf(server: TestServer): Promise<Outcomes> {
  onTestFinished(async () => {
    await server.stop()
  })
  return await askAllPairs(new TextClient(server))
}

test.runIf(memcachedVersion() === '1.6.45')(
  'the table is what 1.6.45 answers',
  {
    timeout: 120_000,
  },
  async () => {
    const outcomes = await outcomesOf(await startMemcached({ flags: ['-t', '1'] }))
    await expect(HEADER + formatPairs(outcomes)).toMatchFileSnapshot(FILE)
  },
)

test.each([1, 2])(
  'every pair of flags is answered so with -t %i',
  {
    timeout: 120_000,
  },
  async (threads) => {
    const outcomes = await outcomesOf(await startSaslcached({ flags: ['-t', String(threads)] }))
    expect(outcomes).toEqual(parsePairs(readFileSync(FILE, 'utf8')))
  },
)
