/**
 * The table of text commands in docs/memcached.md against a server: each command of memcached, with a use of
 * it, the word of the table for it, and the answer that shows that the word is true.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

type Word = 'as memcached' | 'ours' | 'accepted' | 'in part' | 'as without'

const WITHOUT =
  /^(ERROR|Error TLS not enabled|CLIENT_ERROR (slab reassignment|lru crawler) disabled)\r\n$/

/** `\r\n` is added to each use. Every use is of a client of its own, with `n` stored as 5. */
const USES: readonly (readonly [command: string, word: Word, use: string, answer: RegExp])[] = [
  ['get', 'as memcached', 'get n', /^VALUE n 0 1\r\n5\r\nEND/],
  ['gets', 'as memcached', 'gets n', /^VALUE n 0 1 \d+\r\n5\r\nEND/],
  ['gat', 'as memcached', 'gat 0 n', /^VALUE n 0 1\r\n5\r\nEND/],
  ['gats', 'as memcached', 'gats 0 n', /^VALUE n 0 1 \d+\r\n5\r\nEND/],
  ['set', 'as memcached', 'set k 0 0 1\r\nx', /^STORED/],
  ['add', 'as memcached', 'add n 0 0 1\r\nx', /^NOT_STORED/],
  ['replace', 'as memcached', 'replace nobody 0 0 1\r\nx', /^NOT_STORED/],
  ['append', 'as memcached', 'append nobody 0 0 1\r\nx', /^NOT_STORED/],
  ['prepend', 'as memcached', 'prepend nobody 0 0 1\r\nx', /^NOT_STORED/],
  ['cas', 'as memcached', 'cas nobody 0 0 1 1\r\nx', /^NOT_FOUND/],
  ['incr', 'as memcached', 'incr n 2', /^7\r\n/],
  ['decr', 'as memcached', 'decr n 2', /^3\r\n/],
  ['delete', 'as memcached', 'delete n', /^DELETED/],
  ['touch', 'as memcached', 'touch n 0', /^TOUCHED/],
  ['mg', 'as memcached', 'mg n v', /^VA 1\r\n5\r\n/],
  ['ms', 'as memcached', 'ms k 1\r\nx', /^HD/],
  ['md', 'as memcached', 'md n', /^HD/],
  ['ma', 'as memcached', 'ma n v', /^VA 1\r\n6\r\n/],
  ['mn', 'as memcached', 'mn', /^MN/],
  ['me', 'as memcached', 'me n', /^ME n exp=-1 /],
  ['flush_all', 'as memcached', 'flush_all', /^OK/],
  ['version', 'as memcached', 'version', /^VERSION 1\.6\.45/],
  ['verbosity', 'as memcached', 'verbosity 0', /^OK/],
  ['watch', 'as memcached', 'watch fetchers', /^OK/],
  ['quit', 'as memcached', 'quit', /^$/],
  ['shutdown', 'as memcached', 'shutdown now', /^SERVER_ERROR: shutdown not enabled/],
  ['stats', 'as memcached', 'stats', /^STAT pid \d+\r\n/],
  ['stats settings', 'as memcached', 'stats settings', /^STAT maxbytes \d+\r\n/],
  ['stats items', 'as memcached', 'stats items', /^STAT items:1:number \d+\r\n/],
  ['stats slabs', 'as memcached', 'stats slabs', /^STAT 1:chunk_size \d+\r\n/],
  ['stats conns', 'as memcached', 'stats conns', /^STAT \d+:addr tcp:/],
  ['stats reset', 'as memcached', 'stats reset', /^RESET/],
  ['stats detail', 'as memcached', 'stats detail dump', /^END/],
  ['stats cachedump', 'as memcached', 'stats cachedump 1 0', /^ITEM n \[1 b; 0 s\]/],
  ['lru_crawler metadump', 'as memcached', 'lru_crawler metadump all', /^OK\r\nkey=n exp=-1 /],
  ['lru_crawler mgdump', 'as memcached', 'lru_crawler mgdump all', /^OK\r\nmg n\r\n/],
  ['sasl mech', 'ours', 'sasl mech', /^SASL_MECH .*PLAIN/],
  ['sasl auth', 'ours', 'sasl auth PLAIN 0\r\n', /^(SASL_CONTINUE|AUTH_ERROR)/],
  ['stats auth', 'ours', 'stats auth', /^STAT \w+ \d+\r\n/],
  ['stats store', 'ours', 'stats store', /^STAT \w+ \d+\r\n/],
  [
    'config get cluster',
    'ours',
    'config get cluster',
    /^CONFIG cluster 0 \d+\r\n\d+\na\|a\|1\n\r\nEND/,
  ],
  ['cache_memlimit', 'as memcached', 'cache_memlimit 128', /^OK\r\n/],
  ['stats sizes', 'in part', 'stats sizes', /^STAT sizes_status disabled\r\nEND/],
  ['slabs reassign', 'as without', 'slabs reassign 1 2', WITHOUT],
  ['slabs automove', 'accepted', 'slabs automove 1', /^OK\r\n/],
  ['lru_crawler enable', 'accepted', 'lru_crawler enable', /^OK\r\n/],
  ['lru_crawler disable', 'accepted', 'lru_crawler disable', /^OK\r\n/],
  ['lru_crawler crawl', 'accepted', 'lru_crawler crawl all', /^OK\r\n/],
  ['lru_crawler sleep', 'accepted', 'lru_crawler sleep 100', /^OK\r\n/],
  ['lru_crawler tocrawl', 'accepted', 'lru_crawler tocrawl 100', /^OK\r\n/],
  ['lru tune', 'accepted', 'lru tune 10 25 0.1 2.0', /^OK\r\n/],
  ['lru mode', 'accepted', 'lru mode flat', /^OK\r\n/],
  ['lru temp_ttl', 'accepted', 'lru temp_ttl 60', /^OK\r\n/],
  ['extstore', 'as without', 'extstore free_memchunks 1 1', WITHOUT],
  ['refresh_certs', 'as memcached', 'refresh_certs', WITHOUT],
]

let server: TestServer
beforeAll(async () => {
  server = await startSaslcached({
    users: [{ name: 'alice', password: 's3cret' }],
    flags: ['--cluster-nodes', 'a:1'],
  })
})
afterAll(async () => {
  await server.stop()
})

test.each(USES)('%s is %s: %s', async (_command, _word, use, answer) => {
  const client = new TextClient(server)
  expect(await client.ask('set auth 0 0 12\r\nalice s3cret\r\n')).toBe('STORED\r\n')
  expect(await client.ask('flush_all\r\n')).toBe('OK\r\n')
  expect(await client.ask('set n 0 0 1\r\n5\r\n')).toBe('STORED\r\n')
  if (use === 'watch fetchers') {
    // From then on the connection is for events: it takes no `quit`.
    expect(await client.ask(`${use}\r\n`)).toMatch(answer)
    return
  }
  client.send(`${use}\r\n${use === 'quit' ? '' : 'quit\r\n'}`)
  expect(await client.untilEnd()).toMatch(answer)
})

test('docs/memcached.md has the same commands with the same word', () => {
  const document = readFileSync(new URL('../../docs/memcached.md', import.meta.url), 'utf8')
  const table = /<!-- table: commands -->\n\n([\s\S]*?)\n\n/.exec(document)?.[1] ?? ''
  const rows = table.split('\n').slice(2)
  const told = rows.flatMap((row) => {
    const [, commands = '', word = ''] = row.split('|').map((cell) => cell.trim())
    return [...commands.matchAll(/`([^`]+)`/g)].map(([, command]) => `${command}: ${word}`)
  })
  expect(told.sort()).toEqual([...new Set(USES.map(([name, word]) => `${name}: ${word}`))].sort())
})
