/**
 * The text dialect over sockets: what a transcript cannot show because it is large, takes turns, or
 * needs a second client; and the tools that speak text.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPrerequisites, runProgram } from '../support/program.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const ALICE = { name: 'alice', password: 's3cret' }
async function statOf(client: TextClient, name: string): Promise<number> {
  const text = await client.ask('stats\r\n', 'END\r\n')
  return Number(new RegExp(`STAT ${name} (\\d+)\r`).exec(text)?.[1])
}

describe('without login', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ flags: ['-t', '1'] })
  })
  afterAll(async () => {
    await server.stop()
  })

  test('100,000 keys in one get are answered, and others are served meanwhile', async () => {
    const client = new TextClient(server)
    const other = new TextClient(server)
    await other.ask('version\r\n')
    await client.ask('set key77777 0 0 1\r\nx\r\n')
    const yieldsBefore = await statOf(other, 'conn_yields')
    const keys = Array.from({ length: 100_000 }, (_, index) => `key${index}`)
    client.send(`get ${keys.join(' ')}\r\n`)
    expect(await client.until('END\r\n')).toBe('VALUE key77777 0 1\r\nx\r\nEND\r\n')
    // At 500 keys a turn.
    expect((await statOf(other, 'conn_yields')) - yieldsBefore).toBeGreaterThanOrEqual(199)
    expect(await client.ask('mn\r\n')).toBe('MN\r\n')
  })

  test('hits of a long list come in order and whole, also to a slow reader', async () => {
    const client = new TextClient(server)
    const value = 'v'.repeat(10_000)
    const count = 1000
    const sets = Array.from(
      { length: count },
      (_, index) => `set big${index} ${index} 0 ${value.length} noreply\r\n${value}\r\n`,
    )
    client.send(sets.join(''))
    await client.ask('mn\r\n')
    client.socket.pause()
    const keys = Array.from({ length: count }, (_, index) => `big${index}`)
    client.send(`get ${keys.join(' ')}\r\nmn\r\n`)
    // The server must stop by itself: it may not hold ten megabytes of replies for one client.
    const other = new TextClient(server)
    await other.ask('version\r\n')
    client.socket.resume()
    const answer = await client.until('MN\r\n')
    const wanted = keys.map((key, index) => `VALUE ${key} ${index} ${value.length}\r\n${value}\r\n`)
    expect(answer === `${wanted.join('')}END\r\nMN\r\n`).toBe(true)
  })

  test('a list of keys above the limit ends the connection', async () => {
    const client = new TextClient(server)
    client.send(`get ${'key '.repeat(2_200_000)}`)
    expect(await client.untilEnd()).toBe('')
  })

  test('500,000 commands in one write are all answered, in order', async () => {
    const client = new TextClient(server)
    await client.ask('set n 0 0 1\r\n0\r\n')
    client.send(`${'incr n 1\r\n'.repeat(500_000)}mn\r\n`)
    const lines = (await client.until('MN\r\n')).split('\r\n')
    expect(lines.length).toBe(500_002)
    expect(lines.slice(0, -2).every((line, index) => line === String(index + 1))).toBe(true)
  })

  test('a dump lists every item while others are served, and the next command follows', async () => {
    const client = new TextClient(server)
    const count = 20_000
    const sets = Array.from(
      { length: count },
      (_, index) => `set dump${index} 3 0 1 noreply\r\nx\r\n`,
    )
    client.send(sets.join(''))
    await client.ask('mn\r\n')
    client.send('lru_crawler metadump all\r\nmn\r\n')
    const dump = await client.until('MN\r\n')
    expect(dump.endsWith('\nEND\r\nMN\r\n')).toBe(true)
    const line = /^key=dump(\d+) exp=-1 la=\d+ cas=\d+ fetch=no cls=1 size=\d+ flags=3 $/
    const seen = new Set(dump.split('\n').flatMap((text) => line.exec(text)?.[1] ?? []))
    expect(seen.size).toBe(count)
    const keys = await client.ask('lru_crawler mgdump all\r\n', 'EN\r\n')
    expect(new Set(keys.match(/^mg dump\d+(?=\r$)/gm)).size).toBe(count)
  })

  test('a dump that nobody reads holds up nobody', async () => {
    const client = new TextClient(server)
    client.send('lru_crawler metadump all\r\n')
    client.socket.pause()
    const other = new TextClient(server)
    expect(await other.ask('mn\r\n')).toBe('MN\r\n')
  })

  test('keys that are no text are dumped so that they can be asked for', async () => {
    const client = new TextClient(server)
    const key = Buffer.from([0, 10, 32, 255]).toString('base64')
    await client.ask(`ms ${key} 1 b\r\nx\r\n`)
    const keys = await client.ask('lru_crawler mgdump hash\r\n', 'EN\r\n')
    expect(keys).toContain(`\nmg ${key} b\r\n`)
    const dump = await client.ask('lru_crawler metadump hash\r\n', 'END\r\n')
    expect(dump).toContain('key=%00%0A%20%FF exp=-1')
  })

  test('cachedump shows the one class, and as many items as asked for', async () => {
    const client = new TextClient(server)
    const dump = await client.ask('stats cachedump 1 10\r\n', 'END\r\n')
    expect(dump.match(/^ITEM \S+ \[\d+ b; \d+ s\]\r$/gm)?.length).toBe(10)
  })

  test('cachedump leaves out a key that would look like a reply', async () => {
    const client = new TextClient(server)
    const key = Buffer.from('a [1 b; 0 s]\r\nEND\r\nforged').toString('base64')
    expect(await client.ask(`ms ${key} 1 b\r\nx\r\n`)).toBe('HD\r\n')
    const dump = await client.ask('stats cachedump 1 0\r\nmn\r\n', 'MN\r\n')
    expect(dump).not.toContain('forged')
    expect(dump.match(/^END\r$/gm)?.length).toBe(1)
  })

  test('stats is memcached own list', async () => {
    const client = new TextClient(server)
    const names = [...(await client.ask('stats\r\n', 'END\r\n')).matchAll(/^STAT (\S+) /gm)].map(
      ([, name]) => name,
    )
    expect(names.slice(0, 4)).toEqual(['pid', 'uptime', 'time', 'version'])
    expect(names.at(-1)).toBe('lru_bumps_dropped')
    const items = await client.ask('stats items\r\n', 'END\r\n')
    expect(items).toMatch(/^STAT items:1:number \d+\r$/m)
    expect(await client.ask('stats slabs\r\n', 'END\r\n')).toMatch(/^STAT active_slabs 1\r$/m)
    expect(await client.ask('stats conns\r\n', 'END\r\n')).toMatch(/:state conn_listening\r$/m)
  })

  test('mg with T counts as a touch', async () => {
    const client = new TextClient(server)
    const before = await statOf(client, 'cmd_touch')
    await client.ask('mg nothing T30\r\n')
    expect(await statOf(client, 'cmd_touch')).toBe(before + 1)
  })

  const tools = { packages: 'libmemcached-tools', probe: ['sh', '-c', 'command -v memccapable'] }
  if (hasPrerequisites('memccapable in text', [tools])) {
    test('memccapable passes what it passes against memcached itself: 25 of 27', async () => {
      const own = await startSaslcached({ flags: ['-t', '1'] })
      try {
        const result = await runProgram([
          'memccapable',
          ...['-h', own.host, '-p', String(own.port), '-t', '5', '-a'],
        ])
        expect(result.stdout.match(/\[pass\]/g)?.length, result.stdout).toBe(25)
        expect(result.stderr.match(/\[FAIL\]/g)?.length, result.stderr).toBe(2)
      } finally {
        await own.stop()
      }
    })

    test('the tools of libmemcached copy, show, list and delete', async () => {
      // Its own: memcdump sees no more of a large cache than memcached lets anybody see.
      const server = await startSaslcached()
      const directory = mkdtempSync(join(tmpdir(), 'text-tools-'))
      const servers = `--servers=${server.address}`
      const run = async (
        ...command: string[]
      ): Promise<{ code: number | undefined; out: string }> => {
        const { exitCode, stdout } = await runProgram(command)
        return { code: exitCode, out: stdout }
      }
      try {
        const file = join(directory, 'tool-file')
        writeFileSync(file, 'content\r\nof a file')
        expect((await run('memccp', servers, file)).code).toBe(0)
        expect((await run('memccat', servers, 'tool-file')).out).toContain('content\r\nof a file')
        expect((await run('memcexist', servers, 'tool-file')).code).toBe(0)
        expect((await run('memctouch', servers, '--expire=100', 'tool-file')).code).toBe(0)
        expect((await run('memcdump', servers)).out).toMatch(/^tool-file$/m)
        expect((await run('memcstat', servers)).out).toMatch(/pid: \d+/)
        expect((await run('memcrm', servers, 'tool-file')).code).toBe(0)
        expect((await run('memcexist', servers, 'tool-file')).code).not.toBe(0)
        expect((await run('memcping', servers)).code).toBe(0)
      } finally {
        await server.stop()
        rmSync(directory, { recursive: true, force: true })
      }
    })
  }

  const TOOL = '/usr/share/memcached/scripts/memcached-tool'
  const perl = { packages: 'memcached', probe: ['test', '-r', TOOL] }
  if (hasPrerequisites('memcached-tool', [perl])) {
    test('memcached-tool shows the statistics and dumps what is there', async () => {
      const own = await startSaslcached({ flags: ['-t', '1'] })
      const run = async (mode: string): Promise<string> =>
        (await runProgram(['perl', TOOL, own.address, mode])).stdout
      try {
        const client = new TextClient(own)
        await client.ask('set one 5 0 3\r\nbar\r\n')
        await client.ask('set two 0 1000 1\r\nx\r\n')
        expect(await run('display')).toMatch(/^ +1 +\d+B .* 2 +no +0 +0 +0$/m)
        expect(await run('stats')).toMatch(/^ +curr_items +2\r?$/m)
        expect(await run('settings')).toMatch(/^ +maxbytes +67108864\r?$/m)
        expect(await run('sizes')).toMatch(/^ +sizes_status +disabled\r?$/m)
        const dump = await run('dump')
        expect(dump).toContain('add one 5 0 3\r\nbar\r\n')
        expect(dump).toMatch(/^add two 0 \d+ 1\r\nx\r$/m)
      } finally {
        await own.stop()
      }
    })
  }
})

describe('with login', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ users: [ALICE], flags: ['-t', '1'] })
  })
  afterAll(async () => {
    await server.stop()
  })

  test('the set login is a PLAIN login in the log', async () => {
    const client = new TextClient(server)
    expect(await client.ask('set auth 0 0 12\r\nalice s3cret\r\n')).toBe('STORED\r\n')
    const { mechanism, user } = await server.waitForLog(({ event }) => event === 'login')
    expect({ mechanism, user }).toEqual({ mechanism: 'PLAIN', user: 'alice' })
    expect(server.output()).not.toContain('s3cret')
  })

  test('a stranger who sends on and on is ended, and the server holds little of it', async () => {
    const client = new TextClient(server)
    client.send(`set auth 0 0 70000\r\n${'x'.repeat(70_000)}\r\nget a\r\n`)
    expect(await client.until('unauthenticated\r\n')).toBe(
      'CLIENT_ERROR auth token too long\r\nCLIENT_ERROR unauthenticated\r\n',
    )
    client.send('y'.repeat(5000))
    expect(await client.untilEnd()).toBe('CLIENT_ERROR unauthenticated\r\n')
  })

  test('a password with blanks and one with bytes beyond ASCII are taken whole', async () => {
    const password = 'correct horse é'
    const own = await startSaslcached({ users: [{ name: 'bob', password }], flags: ['-t', '1'] })
    try {
      const client = new TextClient(own)
      const token = Buffer.from(`bob ${password}`)
      client.send(`set auth 0 0 ${token.length}\r\n`)
      client.socket.write(token)
      expect(await client.ask('\r\n')).toBe('STORED\r\n')
    } finally {
      await own.stop()
    }
  })

  test('where PLAIN is not announced, the set login is refused like any wrong one', async () => {
    const own = await startSaslcached({ users: [ALICE], mechanisms: ['SCRAM-SHA-256'] })
    try {
      const client = new TextClient(own)
      expect(await client.ask('set auth 0 0 12\r\nalice s3cret\r\n')).toBe(
        'CLIENT_ERROR authentication failure\r\n',
      )
      expect(await client.ask('sasl mech\r\n')).toBe('SASL_MECH SCRAM-SHA-256\r\n')
    } finally {
      await own.stop()
    }
  })
})

describe('stats sizes', () => {
  test('counts every item once it is enabled, also by a flag, and says so in the settings', async () => {
    const server = await startSaslcached({ flags: ['-t', '2', '-o', 'track_sizes'] })
    try {
      const client = new TextClient(server)
      expect(await client.ask('stats sizes\r\n', 'END\r\n')).toBe('END\r\n')
      const sets = Array.from(
        { length: 3000 },
        (_, index) => `set key${index} 0 0 ${index < 1000 ? 1 : 1000} noreply\r\n`,
      ).map((line, index) => `${line}${'v'.repeat(index < 1000 ? 1 : 1000)}\r\n`)
      client.send(sets.join(''))
      await client.ask('mn\r\n')
      const rows = (await client.ask('stats sizes\r\n', 'END\r\n')).matchAll(
        /^STAT (\d+) (\d+)\r$/gm,
      )
      const counts = [...rows].map(([, size, count]) => [Number(size), Number(count)] as const)
      expect(counts.every(([size]) => size % 32 === 0)).toBe(true)
      const countOf = (from: number, to: number): number =>
        counts.reduce((sum, [size, count]) => sum + (size > from && size <= to ? count : 0), 0)
      expect(countOf(0, 96)).toBe(1000)
      expect(countOf(1000, 1088)).toBe(2000)
      expect(await client.ask('stats settings\r\n', 'END\r\n')).toContain(
        'STAT track_sizes yes\r\n',
      )
      expect(await client.ask('stats sizes_disable\r\n')).toBe('STAT sizes_status disabled\r\n')
      expect(await client.ask('stats settings\r\n', 'END\r\n')).toContain('STAT track_sizes no\r\n')
    } finally {
      await server.stop()
    }
  })
})

describe('flags', () => {
  test('-A lets a client shut the server down', async () => {
    const server = await startSaslcached({ flags: ['-A'] })
    const client = new TextClient(server)
    client.send('shutdown graceful\r\n')
    expect(await client.untilEnd()).toBe('')
    expect((await server.exited).code).toBe(0)
    rmSync(server.directory, { recursive: true, force: true })
  })

  test('-B binary closes on text, -B ascii takes 0x80 for text', async () => {
    const binary = await startSaslcached({ flags: ['-B', 'binary'] })
    const ascii = await startSaslcached({ flags: ['-B', 'ascii'] })
    try {
      const client = new TextClient(binary)
      client.send('version\r\n')
      expect(await client.untilEnd()).toBe('')
      expect(await new TextClient(ascii).ask('\x80\x0b\0\0\r\n')).toBe('ERROR\r\n')
      expect(await new TextClient(ascii).ask('mn\r\n')).toBe('MN\r\n')
    } finally {
      await binary.stop()
      await ascii.stop()
    }
  })
})
