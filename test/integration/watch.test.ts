/** `watch` over sockets: what watchers are told, and that none of them costs more than its buffer. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { type ServerOptions, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const ALICE = { name: 'alice', password: 's3cret' }
const LOGIN = 'set auth 0 0 12\r\nalice s3cret\r\n'
const PLACES = 20

async function start(options: ServerOptions): Promise<TestServer> {
  const server = await startSaslcached(options)
  onTestFinished(async () => {
    await server.stop()
  })
  return server
}

async function statOf(client: TextClient, name: string): Promise<number> {
  const text = await client.ask('stats\r\n', 'END\r\n')
  return Number(new RegExp(`STAT ${name} (\\d+)\r`).exec(text)?.[1])
}

async function watch(server: TestServer, what: string): Promise<TextClient> {
  const watcher = new TextClient(server)
  expect(await watcher.ask(`watch ${what}\r\n`)).toBe('OK\r\n')
  return watcher
}

/** Without the parts that differ from run to run. */
function contentOf(line: string): string {
  return line.replace(/^ts=\d+\.\d+ gid=\d+ /, '').replace(/ (cfd|rport)=\d+/g, ' $1=N')
}

describe('watch', () => {
  test('tells what each command looked up, stored and deleted', async () => {
    const server = await start({ flags: ['-t', '1'] })
    const watcher = await watch(server, 'fetchers mutations deletions')
    const client = new TextClient(server)
    await client.ask('set a:1 0 0 3\r\nabc\r\n')
    await client.ask('get a:1 none\r\n', 'END\r\n')
    await client.ask('append a:1 0 0 2\r\nde\r\n')
    await client.ask('ms a:1 1 C99\r\nx\r\n')
    await client.ask('delete a:1\r\n')
    await client.ask('ma n N60 J10\r\n')
    await client.ask('mg bGFzdA== b v\r\n')
    const told = ((await watcher.until(' key=last ')) + (await watcher.until('\n')))
      .trimEnd()
      .split('\n')
    expect(told.map(contentOf)).toEqual([
      'type=item_get key=a%3A1 status=not_found clsid=0 cfd=N size=0',
      'type=item_store key=a%3A1 status=stored cmd=set ttl=0 clsid=1 cfd=N size=3',
      'type=item_get key=a%3A1 status=found clsid=1 cfd=N size=3',
      'type=item_get key=none status=not_found clsid=0 cfd=N size=0',
      'type=item_get key=a%3A1 status=found clsid=1 cfd=N size=3',
      'type=item_store key=a%3A1 status=stored cmd=append ttl=0 clsid=1 cfd=N size=5',
      'type=item_get key=a%3A1 status=found clsid=1 cfd=N size=5',
      'type=item_store key=a%3A1 status=exists cmd=cas ttl=0 clsid=1 cfd=N size=1',
      'type=item_get key=a%3A1 status=found clsid=1 cfd=N size=5',
      'type=deleted key=a%3A1 cmd=delete clsid=1 size=5',
      'type=item_get key=n status=not_found clsid=0 cfd=N size=0',
      'type=item_get key=n status=not_found clsid=0 cfd=N size=0',
      'type=item_store key=n status=stored cmd=add ttl=60 clsid=1 cfd=N size=2',
      'type=item_get key=last status=not_found clsid=0 cfd=N size=0',
    ])
    const ids = told.map((line) => Number(/ gid=(\d+) /.exec(line)?.[1]))
    expect(ids).toEqual(ids.map((_, index) => ids[0]! + index))
  })

  test('tells of connections, how they came and why they went', async () => {
    const server = await start({ flags: ['-t', '1'] })
    const watcher = await watch(server, 'connevents')
    const client = new TextClient(server)
    await client.ask('version\r\n')
    client.send('quit\r\n')
    await client.untilEnd()
    const [begin, end] = [await watcher.until('\n'), await watcher.until('\n')]
    const peer = 'rip=127.0.0.1 rport=N transport=tcp'
    expect(contentOf(begin)).toBe(`type=conn_new ${peer} cfd=N\n`)
    expect(contentOf(end)).toBe(`type=conn_close ${peer} reason=normal cfd=N\n`)
    expect(/rport=\d+/.exec(end)?.[0]).toBe(/rport=\d+/.exec(begin)?.[0])
  })

  test('sees what happens on every thread', async () => {
    const server = await start({ flags: ['-t', '4'] })
    const watcher = await watch(server, 'mutations')
    const clients = Array.from({ length: 32 }, () => new TextClient(server))
    await Promise.all(clients.map((client, index) => client.ask(`set key-${index} 0 0 1\r\nx\r\n`)))
    for (let seen = 0; seen < clients.length; seen++) await watcher.until('status=stored')
    const general = await clients[0]!.ask('stats\r\n', 'END\r\n')
    expect(general).toContain('STAT log_worker_written 32\r\n')
    expect(general).toContain('STAT log_watcher_sent 32\r\n')
    expect(general).toContain('STAT log_worker_dropped 0\r\n')
    expect(general).toContain('STAT log_watchers 1\r\n')
  })

  test('misses nothing that is asked on any thread once it is told OK', async () => {
    const server = await start({ flags: ['-t', '4'] })
    const clients = Array.from({ length: 16 }, () => new TextClient(server))
    await Promise.all(clients.map((client) => client.ask('version\r\n')))
    for (let round = 0; round < 150; round++) {
      const client = clients[round % clients.length]!
      const watcher = new TextClient(server)
      // At once, in the turn of the event loop in which the OK is there.
      watcher.socket.once('data', () => client.send(`get k${round}\r\nget after${round}\r\n`))
      watcher.send('watch fetchers\r\n')
      // Lines of one thread are in order: what is missing is known when the next one is there.
      expect(await watcher.until(` key=after${round} `)).toContain(` key=k${round} `)
      watcher.socket.destroy()
    }
  })

  test('takes no more commands, and gives its place back when it goes', async () => {
    const server = await start({ flags: ['-t', '1'] })
    const watcher = await watch(server, 'fetchers')
    const client = new TextClient(server)
    watcher.send('set a 0 0 1\r\nx\r\nwatch mutations\r\nquit\r\n')
    expect(await client.ask('get b\r\n')).toBe('END\r\n')
    expect(await watcher.until('\n')).toContain('type=item_get key=b status=not_found')
    expect(await client.ask('get a\r\n')).toBe('END\r\n')
    expect(await statOf(client, 'log_watchers')).toBe(1)
    expect(await client.ask('stats conns\r\n', 'END\r\n')).toContain(':state conn_watch\r\n')
    watcher.socket.end()
    await watcher.untilEnd()
    expect(await statOf(client, 'log_watchers')).toBe(0)
  })

  test('of 100 connections 20 may, and the places that they leave are taken again', async () => {
    const server = await start({ flags: ['-t', '2'] })
    const clients = Array.from({ length: 100 }, () => new TextClient(server))
    const answers = await Promise.all(clients.map((client) => client.ask('watch\r\n')))
    const accepted = clients.filter((_, index) => answers[index] === 'OK\r\n')
    expect(accepted).toHaveLength(PLACES)
    const refusals = answers.filter((answer) => answer !== 'OK\r\n')
    expect(new Set(refusals)).toEqual(new Set(['WATCHER_TOO_MANY log watcher limit reached\r\n']))
    const refused = clients.filter((client) => !accepted.includes(client))
    // Who is refused goes on as before.
    expect(await refused[0]!.ask('mn\r\n')).toBe('MN\r\n')
    for (const client of accepted) client.socket.end()
    await Promise.all(accepted.map((client) => client.untilEnd()))
    expect(await refused[1]!.ask('watch\r\n')).toBe('OK\r\n')
  })

  test('is refused to a stranger and with -W', async () => {
    const closed = await start({ flags: ['-t', '1'], users: [ALICE] })
    const stranger = new TextClient(closed)
    expect(await stranger.ask('watch fetchers\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
    expect(await stranger.ask(LOGIN)).toBe('STORED\r\n')
    expect(await statOf(stranger, 'log_watchers')).toBe(0)
    expect(await stranger.ask('watch fetchers\r\n')).toBe('OK\r\n')
    const quiet = await start({ flags: ['-t', '1', '-W'] })
    const client = new TextClient(quiet)
    expect(await client.ask('watch\r\n')).toBe('CLIENT_ERROR watch commands not allowed\r\n')
  })

  test('tells of 10,000 evictions and more, each key once, or counts what it left out', async () => {
    const server = await start({ flags: ['-t', '1', '-m', '2'] })
    const watcher = await watch(server, 'evictions')
    const client = new TextClient(server)
    const value = 'v'.repeat(400)
    let index = 0
    while ((await statOf(client, 'evictions')) < 10_000) {
      const sets = Array.from(
        { length: 200 },
        () => `set e${index++} 0 0 400 noreply\r\n${value}\r\n`,
      )
      client.send(sets.join(''))
      expect(await client.ask('mn\r\n')).toBe('MN\r\n')
    }
    const evictions = await statOf(client, 'evictions')
    const told = await statOf(client, 'log_watcher_sent')
    const dropped = await statOf(client, 'log_worker_dropped')
    const skipped = await statOf(client, 'log_watcher_skipped')
    expect(told + dropped + skipped).toBe(evictions)
    expect(told).toBeGreaterThan(evictions / 2)
    const keys: string[] = []
    while (keys.length < told) {
      const line = await watcher.until('\n')
      const key = /type=eviction key=(e\d+) fetch=no ttl=-1 la=\d+ clsid=1 size=400\n$/.exec(line)
      if (key === null) expect(line).toMatch(/^skipped=\d+\n$/)
      else keys.push(key[1]!)
    }
    expect(new Set(keys).size).toBe(told)
  })

  test('that does not read is skipped beyond its buffer and told so when it reads again', async () => {
    const server = await start({ flags: ['-t', '1', '-o', 'watcher_logbuf_size=64'] })
    const watcher = await watch(server, 'fetchers')
    const other = await watch(server, 'fetchers')
    watcher.socket.pause()
    const client = new TextClient(server)
    const keys = Array.from({ length: 100 }, (_, index) => `${index}${'k'.repeat(200)}`)
    // Until the kernel's buffers and its own are full.
    while ((await statOf(client, 'log_watcher_skipped')) < 1000) {
      await client.ask(`get ${keys.join(' ')}\r\n`, 'END\r\n')
    }
    const written = await statOf(client, 'log_worker_written')
    expect(await client.ask('mn\r\n')).toBe('MN\r\n')
    watcher.socket.resume()
    // The notice comes with the first line that fits again.
    const endMs = performance.now() + 60_000
    while (!watcher.received.includes('skipped=') && performance.now() < endMs) {
      await client.ask('get after\r\n', 'END\r\n')
    }
    const notice = /^skipped=(\d+)$/m.exec(watcher.received)
    expect(Number(notice?.[1])).toBeGreaterThan(0)
    const sent = await statOf(client, 'log_watcher_sent')
    const skipped = await statOf(client, 'log_watcher_skipped')
    const writtenNow = await statOf(client, 'log_worker_written')
    expect(writtenNow).toBeGreaterThan(written)
    expect(sent + skipped).toBe(2 * writtenNow)
    expect(other.received.length + watcher.received.length).toBeGreaterThan(0)
  })
})
