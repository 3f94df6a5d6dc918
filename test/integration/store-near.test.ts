/**
 * Gates with a near cache before real nodes. Copies may live for a minute here, so that what is seen sooner was told by
 * the nodes. One gate goes to them over TLS, the others in the clear. Each test has keys of its own; the last one kills a
 * node.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { hasPrerequisites } from '../support/program.ts'
import { REDIS, RedisCluster, type RedisNode } from '../support/redis-cluster.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { TestTls } from '../support/tls.ts'
import { WayToNode } from '../support/way-to-node.ts'

const DEADLINE_MS = 60_000
const LONG_TTL_SECONDS = 60
const SHORT_TTL_MS = 200
const STORE_PASSWORD = 'of-the-gates'
/** By two gates in turn. */
const WRITES = 30

describe.runIf(hasPrerequisites('a near cache', [REDIS]))('a near cache', () => {
  const tls = new TestTls()
  let cluster: RedisCluster
  /** Of one thread, over TLS, of two, and one without a near cache, which writes. */
  let gate: TestServer
  let wide: TestServer
  let other: TestServer

  beforeAll(async () => {
    cluster = await RedisCluster.start({
      hasReplicas: false,
      tls: { ...tls.server, caFile: tls.caFile },
    })
    await cluster.makeUserOfGuide(STORE_PASSWORD)
    const login = [
      ...['--store', 'cluster', '--store-user', 'saslcached', '--store-timeout', '10'],
      ...['--store-password-file', tls.write('store-password', `${STORE_PASSWORD}\n`)],
    ]
    const flags = [...login, '--store-nodes', cluster.seeds]
    const secured = [
      ...[...login, '--store-nodes', cluster.tlsSeeds],
      ...['--store-tls', '--store-tls-ca', tls.caFile],
    ]
    const near = ['--near-cache', '8m', '--near-cache-ttl']
    ;[gate, wide, other] = await Promise.all([
      startSaslcached({ flags: [...secured, ...near, String(LONG_TTL_SECONDS), '-t', '1'] }),
      startSaslcached({ flags: [...flags, ...near, String(SHORT_TTL_MS / 1000), '-t', '2'] }),
      startSaslcached({ flags: [...flags, '-t', '1'] }),
    ])
  })
  afterAll(async () => {
    await Promise.all([gate, wide, other].map((server) => server?.stop()))
    await cluster?.stop()
    tls.remove()
  })

  /** The whole answer, also where it is an error. */
  async function get(client: TextClient, key: string): Promise<string> {
    return (await client.ask(`get ${key}\r\nmn\r\n`, 'MN\r\n')).slice(0, -'MN\r\n'.length)
  }
  const valueIn = (reply: string): string | undefined => /\r\n(.*)\r\nEND/.exec(reply)?.[1]
  const hasValue = (key: string, value: string): string =>
    `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`

  async function set(client: TextClient, key: string, value: string): Promise<void> {
    expect(await client.ask(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`)).toBe('STORED\r\n')
  }

  async function stat(client: TextClient, name: string): Promise<number> {
    const rows = await client.ask('stats store\r\n', 'END\r\n')
    return Number(new RegExp(`STAT ${name} (\\d+)`).exec(rows)?.[1])
  }

  /** Reads it until a copy is shown; where copies were of no use lately, there is none for half a second. */
  async function heat(client: TextClient, key: string): Promise<void> {
    const before = await stat(client, 'near_hits')
    const endMs = performance.now() + DEADLINE_MS
    for (let reads = 1; performance.now() < endMs; reads++) {
      await get(client, key)
      if (reads % 10 === 0 && (await stat(client, 'near_hits')) > before) return
    }
    throw new Error('what is read again and again has no copy')
  }

  async function until(isSo: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + DEADLINE_MS
    while (!(await isSo())) {
      if (performance.now() > endMs) throw new Error('is not so in time')
      // What others of this process wait for comes meanwhile.
      await nextTurn()
    }
  }

  /** It is seen although its copy would have been shown for longer. */
  async function isSeen(client: TextClient, key: string, reply: string): Promise<void> {
    await until(async () => (await get(client, key)) === reply)
  }

  async function nodeOf(key: string): Promise<{ node: RedisNode; engineKey: string }> {
    for (const node of cluster.masters) {
      const reply = await node.ask('KEYS', `mc:default:*:${key}`)
      const engineKey = /mc:default:\d+:\S+/.exec(reply)?.[0]
      if (engineKey !== undefined) return { node, engineKey }
    }
    throw new Error('nobody has it')
  }

  async function readsAtNodes(): Promise<number> {
    const infos = await Promise.all(cluster.masters.map((node) => node.ask('INFO', 'commandstats')))
    const calls = infos.map((info) => Number(/cmdstat_get:calls=(\d+)/.exec(info)?.[1] ?? 0))
    return calls.reduce((sum, count) => sum + count, 0)
  }

  test('what is read often is read here, and not at the nodes', async () => {
    const client = new TextClient(gate)
    await set(client, 'here', 'value')
    await heat(client, 'here')
    const hits = await stat(client, 'near_hits')
    const before = await readsAtNodes()
    for (let reads = 0; reads < 200; reads++) {
      expect(await get(client, 'here')).toBe(hasValue('here', 'value'))
    }
    expect(await client.ask('mg here v\r\n', 'value\r\n')).toBe('VA 5\r\nvalue\r\n')
    // Where the generation was not confirmed in time, a read goes to its node; and probes are reads, too.
    expect(await stat(client, 'near_hits')).toBeGreaterThan(hits + 100)
    expect((await readsAtNodes()) - before).toBeLessThan(150)
    expect(await stat(client, 'near_entries')).toBeGreaterThan(0)
    expect(await client.ask('stats settings\r\n', 'END\r\n')).toContain('STAT near_cache 8388608')
  })

  test('who writes through the gate reads what was written', async () => {
    const client = new TextClient(gate)
    await set(client, 'own', '0')
    await heat(client, 'own')
    for (let number = 1; number <= 20; number++) {
      await set(client, 'own', String(number))
      for (let reads = 0; reads < 15; reads++) {
        expect(valueIn(await get(client, 'own'))).toBe(String(number))
      }
      // As long as it changes more often, it has no copy.
      await heat(client, 'own')
      expect(valueIn(await get(client, 'own'))).toBe(String(number))
    }
  })

  test('what another gate, or nobody of ours, writes is seen', async () => {
    const client = new TextClient(gate)
    const writer = new TextClient(other)
    await set(client, 'others', 'one')
    await heat(client, 'others')
    await set(writer, 'others', 'two')
    await isSeen(client, 'others', hasValue('others', 'two'))
    await heat(client, 'others')
    const { node, engineKey } = await nodeOf('others')
    await node.ask('APPEND', engineKey, '-and-more')
    await isSeen(client, 'others', hasValue('others', 'two-and-more'))
    await heat(client, 'others')
    await node.ask('DEL', engineKey)
    await isSeen(client, 'others', 'END\r\n')
  })

  test('what a node has dropped, expired or flushed is gone here, too', async () => {
    const client = new TextClient(gate)
    await set(client, 'dropped', 'value')
    await heat(client, 'dropped')
    const { node, engineKey } = await nodeOf('dropped')
    await node.ask('PEXPIRE', engineKey, '1')
    await isSeen(client, 'dropped', 'END\r\n')
    await set(client, 'dropped', 'value')
    await heat(client, 'dropped')
    await node.ask('FLUSHALL')
    await isSeen(client, 'dropped', 'END\r\n')
    await set(client, 'dropped', 'value')
    expect(await client.ask('touch dropped 1\r\n')).toBe('TOUCHED\r\n')
    await isSeen(client, 'dropped', 'END\r\n')
  })

  test('behind flush_all of any gate nothing is left here', async () => {
    const client = new TextClient(gate)
    await set(client, 'flushed', 'value')
    await heat(client, 'flushed')
    const writer = new TextClient(other)
    expect(await writer.ask('flush_all\r\n')).toBe('OK\r\n')
    expect(await get(client, 'flushed')).toBe('END\r\n')
  })

  test('a connection that a node closes takes its copies with it, and others track', async () => {
    const client = new TextClient(gate)
    await set(client, 'closed', 'one')
    await heat(client, 'closed')
    const { node, engineKey } = await nodeOf('closed')
    const drops = await stat(client, 'near_drops')
    await node.ask('CLIENT', 'KILL', 'USER', 'saslcached')
    await node.ask('APPEND', engineKey, '-two')
    await isSeen(client, 'closed', hasValue('closed', 'one-two'))
    // Where the generation was not confirmed in time the read went to its node, and the copy is dropped a little later.
    await until(async () => (await stat(client, 'near_drops')) > drops)
    await heat(client, 'closed')
    await node.ask('APPEND', engineKey, '-three')
    await isSeen(client, 'closed', hasValue('closed', 'one-two-three'))
  })

  test('a slot that moves takes its copies with it', async () => {
    const client = new TextClient(gate)
    const writer = new TextClient(other)
    await set(client, 'moving', 'one')
    await heat(client, 'moving')
    const { node, engineKey } = await nodeOf('moving')
    const to = cluster.masters.find((each) => each !== node)
    if (to === undefined) throw new Error('there is one master')
    await cluster.moveSlot(await cluster.slotOf(engineKey), node, to)
    await set(writer, 'moving', 'two')
    await isSeen(client, 'moving', hasValue('moving', 'two'))
    await heat(client, 'moving')
    await set(writer, 'moving', 'three')
    await isSeen(client, 'moving', hasValue('moving', 'three'))
  })

  test('no thread shows what another thread of the gate has replaced, and no gate for longer than it may', async () => {
    /** When a number was answered as stored, by which gate. */
    const stored: { number: number; atMs: number; by: TestServer }[] = []
    let isOver = false
    async function write(by: TestServer, first: number): Promise<void> {
      const client = new TextClient(by)
      const watching = new TextClient(wide)
      for (let number = first; number < WRITES; number += 2) {
        await until(async () => (stored.at(-1)?.number ?? -1) === number - 1)
        await set(client, 'meeting', String(number))
        stored.push({ number, atMs: performance.now(), by })
        await read(client, by)
        // Until so many reads were answered by copies: one thread at least finds them worth making.
        const hits = await stat(watching, 'near_hits')
        await until(async () => (await stat(watching, 'near_hits')) >= hits + 16)
      }
    }
    async function read(client: TextClient, from: TestServer): Promise<void> {
      const startMs = performance.now()
      const least = stored.findLast(({ by, atMs }) => by === from || atMs <= startMs - SHORT_TTL_MS)
      const number = Number(valueIn(await get(client, 'meeting')) ?? -1)
      expect(number).toBeGreaterThanOrEqual(least?.number ?? -1)
    }
    const clients = Array.from({ length: 6 }, () => new TextClient(wide))
    const reading = clients.map(async (client) => {
      while (!isOver) await read(client, wide)
    })
    await Promise.all([write(wide, 0), write(other, 1)]).finally(() => {
      isOver = true
    })
    await Promise.all(reading)
  })

  test('a node that dies takes its copies with it', async () => {
    const client = new TextClient(gate)
    await set(client, 'dying', 'one')
    await heat(client, 'dying')
    const { node } = await nodeOf('dying')
    await node.kill()
    await until(async () => (await get(client, 'dying')).startsWith('SERVER_ERROR'))
  })
})

/** What a node says unasked. */
const INVALIDATION = />2\r\n\$10\r\ninvalidate\r\n\*1\r\n\$\d+\r\n[^\r]*\r\n/g

if (hasPrerequisites('a near cache before a node that tells nothing', [REDIS])) {
  test('threads of a gate need no node to tell them of what they change', async () => {
    const { port } = await WayToNode.start((bytes) =>
      Buffer.from(bytes.toString('latin1').replace(INVALIDATION, ''), 'latin1'),
    )
    const gate = await startSaslcached({
      flags: [
        ...['--store', 'cluster', '--store-nodes', `127.0.0.1:${port}`, '--store-timeout', '10'],
        ...['--near-cache', '8m', '--near-cache-ttl', String(LONG_TTL_SECONDS), '-t', '2'],
      ],
    })
    onTestFinished(() => gate.stop())
    // Of so many connections each thread has some.
    const clients = Array.from({ length: 8 }, () => new TextClient(gate))
    const [writer] = clients
    if (writer === undefined) throw new Error('there is no client')
    for (let number = 0; number < 10; number++) {
      expect(await writer.ask(`set k 0 0 1\r\n${number}\r\n`)).toBe('STORED\r\n')
      for (let reads = 0; reads < 60; reads++) {
        const replies = await Promise.all(
          clients.map((client) => client.ask('get k\r\n', 'END\r\n')),
        )
        for (const reply of replies) expect(reply).toBe(`VALUE k 0 1\r\n${number}\r\nEND\r\n`)
      }
    }
    const rows = await writer.ask('stats store\r\n', 'END\r\n')
    expect(Number(/STAT near_hits (\d+)/.exec(rows)?.[1])).toBeGreaterThan(0)
  })
}
