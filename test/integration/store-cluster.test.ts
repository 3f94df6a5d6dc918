/**
 * A gate before a cluster of real nodes: logins, rights and namespaces, order, and trouble
 * (store-cluster-clients.test.ts has other people's clients). The gate that asks for a login speaks TLS to the nodes, and logs in there with the rights that docs/cluster.md states. One
 * cluster for all, whose nodes each test leaves as it found them; the last one kills a master.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { VerifiedLoad } from '../bench/verified-load.ts'
import { ALICE } from '../support/client-program.ts'
import { hasPrerequisites } from '../support/program.ts'
import { REDIS, RedisCluster, type RedisNode } from '../support/redis-cluster.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { TestTls } from '../support/tls.ts'

const LATE = 'SERVER_ERROR the store did not answer in time\r\n'
const DOWN = 'SERVER_ERROR the store is out of reach\r\n'
const FAILURE = /^SERVER_ERROR the store (did not answer in time|is out of reach)\r\n$/

/** More than Redis takes for a promotion that it was asked for. */
const FAILOVER_MS = 6000

const STORE_PASSWORD = 'of-the-gates'

const NAMESPACES = `
[namespaces.shop]
memory = "4g"
[users.sally]
password = "s3cret"
namespace = "shop"
[users.reader]
password = "s3cret"
rights = ["read"]
`

const hasAll = hasPrerequisites('a gate before a cluster', [REDIS])

describe.runIf(hasAll)('a gate before a cluster', () => {
  const tls = new TestTls()
  let cluster: RedisCluster
  let gate: TestServer
  /** Of the same cluster, and without a login. */
  let open: TestServer
  let missing: TestServer
  /** As the last two, of those who wait no longer than by default. */
  let hasty: TestServer
  let hastyMissing: TestServer

  beforeAll(async () => {
    cluster = await RedisCluster.start({
      // No failover that nobody asked for, where a node has no processor for a while.
      tls: { ...tls.server, caFile: tls.caFile },
    })
    await cluster.makeUserOfGuide(STORE_PASSWORD)
    const secured = [
      ...['--store', 'cluster', '--store-nodes', cluster.tlsSeeds, '--store-user', 'saslcached'],
      ...['--store-password-file', tls.write('store-password', `${STORE_PASSWORD}\n`)],
      ...['--store-tls', '--store-tls-ca', tls.caFile, '-t', '2'],
    ]
    const flags = ['--store', 'cluster', '--store-nodes', cluster.seeds]
    const patient = ['--store-timeout', '20']
    const two = [...flags, '-t', '2']
    const one = [...flags, '-t', '1', '--on-store-failure', 'miss']
    ;[gate, open, missing, hasty, hastyMissing] = await Promise.all([
      startSaslcached({
        flags: [...secured, ...patient],
        users: [ALICE],
        usersFileEnd: NAMESPACES,
      }),
      startSaslcached({ flags: [...two, ...patient] }),
      startSaslcached({ flags: [...one, ...patient] }),
      startSaslcached({ flags: two }),
      startSaslcached({ flags: one }),
    ])
  })
  afterAll(async () => {
    await Promise.all([gate, open, missing, hasty, hastyMissing].map((server) => server?.stop()))
    await cluster?.stop()
    tls.remove()
  })

  async function login(name: string, password: string): Promise<TextClient> {
    const client = new TextClient(gate)
    const message = `\0${name}\0${password}`
    expect(await client.ask(`sasl auth PLAIN ${message.length}\r\n${message}\r\n`)).toBe(
      'SASL_OK\r\n',
    )
    return client
  }

  async function dbSizes(): Promise<number> {
    const sizes = await Promise.all(cluster.masters.map((node) => node.ask('DBSIZE')))
    return sizes.reduce((sum, reply) => sum + Number(reply.slice(1)), 0)
  }

  test('nothing reaches the cluster before a login', async () => {
    const before = await dbSizes()
    const client = new TextClient(gate)
    client.send('get stranger\r\nincr stranger 1\r\nmg stranger v\r\nflush_all\r\n')
    expect(await client.until('\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
    expect(await dbSizes()).toBe(before)
  })

  test('rights hold, also in the middle of a pipeline', async () => {
    const alice = await login(ALICE.name, ALICE.password)
    expect(await alice.ask('set right 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
    const reader = await login('reader', 's3cret')
    reader.send('get right\r\nset right 0 0 1\r\ny\r\ndelete right\r\nget right\r\nmn\r\n')
    const denied = 'CLIENT_ERROR permission denied: this user lacks the right\r\n'
    const found = 'VALUE right 0 1\r\nx\r\nEND\r\n'
    expect(await reader.until('MN\r\n')).toBe(`${found}${denied}${denied}${found}MN\r\n`)
  })

  test('namespaces are apart, and flush_all is for one of them', async () => {
    const alice = await login(ALICE.name, ALICE.password)
    const sally = await login('sally', 's3cret')
    await alice.ask('set both 0 0 1\r\na\r\n')
    await sally.ask('set both 0 0 1\r\ns\r\n')
    expect(await alice.ask('get both\r\n', 'END\r\n')).toBe('VALUE both 0 1\r\na\r\nEND\r\n')
    expect(await sally.ask('get both\r\n', 'END\r\n')).toBe('VALUE both 0 1\r\ns\r\nEND\r\n')
    expect(await sally.ask('flush_all\r\n')).toBe('OK\r\n')
    expect(await sally.ask('get both\r\n', 'END\r\n')).toBe('END\r\n')
    expect(await alice.ask('get both\r\n', 'END\r\n')).toBe('VALUE both 0 1\r\na\r\nEND\r\n')
  })

  test('a namespace is flushed by whoever may name it, and the answer is that of the flush', async () => {
    const alice = await login(ALICE.name, ALICE.password)
    const sally = await login('sally', 's3cret')
    await alice.ask('set named 0 0 1\r\na\r\n')
    await sally.ask('set named 0 0 1\r\ns\r\n')
    alice.send('namespace shop flush_all\r\nget named\r\n')
    expect(await alice.until('END\r\n')).toBe('OK\r\nVALUE named 0 1\r\na\r\nEND\r\n')
    expect(await sally.ask('get named\r\n', 'END\r\n')).toBe('END\r\n')
  })

  test('a flush that was answered holds at once for the clients of another gate', async () => {
    const here = new TextClient(open)
    const there = new TextClient(missing)
    for (let round = 0; round < 3; round++) {
      await here.ask('set flushed 0 0 1\r\nx\r\n')
      expect(await there.ask('get flushed\r\n', 'END\r\n')).toContain('VALUE')
      expect(await here.ask('flush_all\r\n')).toBe('OK\r\n')
      expect(await there.ask('get flushed\r\n', 'END\r\n')).toBe('END\r\n')
    }
  })

  test('replies leave in the order of the requests, whatever node answers first', async () => {
    const client = new TextClient(open)
    const keys = Array.from({ length: 1500 }, (_, index) => `order${index}`)
    client.send(keys.map((key) => `set ${key} 0 0 ${key.length} noreply\r\n${key}\r\n`).join(''))
    client.send(keys.map((key) => `get ${key}\r\n`).join(''))
    client.send(`get ${keys.join(' ')}\r\nmn\r\n`)
    const values = keys.map((key) => `VALUE ${key} 0 ${key.length}\r\n${key}\r\n`)
    const wanted = [...values.map((value) => `${value}END\r\n`), ...values, 'END\r\nMN\r\n']
    expect(await client.until('MN\r\n')).toBe(wanted.join(''))
  })

  test('a list of more keys than may wait for the nodes is answered whole', async () => {
    const client = new TextClient(open)
    const keys = Array.from({ length: 60_000 }, (_, index) => `listed${index}`)
    const stored = keys.filter((_, index) => index % 1000 === 999)
    for (const key of stored)
      expect(await client.ask(`set ${key} 0 0 1\r\nx\r\n`)).toBe('STORED\r\n')
    client.send(`get ${keys.join(' ')}\r\nmn\r\n`)
    const values = stored.map((key) => `VALUE ${key} 0 1\r\nx\r\n`)
    expect(await client.until('MN\r\n')).toBe(`${values.join('')}END\r\nMN\r\n`)
  })

  test('requests of a pipeline that meet at a key come one after the other', async () => {
    const client = new TextClient(open)
    const rounds = Array.from({ length: 50 }, (_, round) => round)
    client.send('set met 0 0 1\r\n0\r\n')
    client.send(rounds.map(() => 'incr met 1\r\nget met\r\nappend other 0 0 1\r\nx\r\n').join(''))
    client.send('mn\r\n')
    const wanted = rounds.map((round) => {
      const value = String(round + 1)
      return `${value}\r\nVALUE met 0 ${value.length}\r\n${value}\r\nEND\r\nNOT_STORED\r\n`
    })
    expect(await client.until('MN\r\n')).toBe(`STORED\r\n${wanted.join('')}MN\r\n`)
  })

  test('two gates count together, and of those who compare one wins', async () => {
    const clients = [open, missing].flatMap((server) => [
      new TextClient(server),
      new TextClient(server),
    ])
    await clients[0]?.ask('set counted 0 0 1\r\n0\r\n')
    await Promise.all(
      clients.map(async (client) => {
        client.send(`${'incr counted 1\r\n'.repeat(100)}mn\r\n`)
        await client.until('MN\r\n')
      }),
    )
    expect(await clients[0]?.ask('get counted\r\n', 'END\r\n')).toContain('\r\n400\r\n')
    const gets = (await clients[0]?.ask('gets counted\r\n', 'END\r\n')) ?? ''
    const unique = /VALUE counted 0 3 (\d+)/.exec(gets)?.[1]
    const swaps = await Promise.all(
      clients.map((client) => client.ask(`cas counted 0 0 1 ${unique}\r\nx\r\n`)),
    )
    expect(swaps.sort()).toEqual(['EXISTS\r\n', 'EXISTS\r\n', 'EXISTS\r\n', 'STORED\r\n'])
  })

  test('functions that are gone are loaded again, and nobody is told', async () => {
    const client = new TextClient(open)
    await client.ask('set function 0 0 1\r\n1\r\n')
    for (const node of cluster.masters) await node.ask('FUNCTION', 'FLUSH')
    expect(await client.ask('incr function 1\r\n')).toBe('2\r\n')
    expect(await client.ask('append function 0 0 1\r\n0\r\n')).toBe('STORED\r\n')
    expect(await client.ask('get function\r\n', 'END\r\n')).toContain('\r\n20\r\n')
  })

  test('a full node refuses what needs memory, changes nothing, and serves the rest', async () => {
    const client = new TextClient(open)
    await client.ask('set full 0 0 1\r\n1\r\n')
    // No functions can be loaded into a full node.
    expect(await client.ask('touch full 0\r\n')).toBe('TOUCHED\r\n')
    const settings = async (bytes: string): Promise<void> => {
      for (const node of cluster.masters) await node.ask('CONFIG', 'SET', 'maxmemory', bytes)
    }
    await settings('1')
    try {
      const full = 'SERVER_ERROR out of memory storing object\r\n'
      expect(await client.ask('set full 0 0 1\r\n2\r\n')).toBe(full)
      expect(await client.ask('append full 0 0 1\r\n2\r\n')).toBe(full)
      expect(await client.ask('incr full 1\r\n')).toBe('SERVER_ERROR out of memory\r\n')
      expect(await client.ask('get full\r\n', 'END\r\n')).toBe('VALUE full 0 1\r\n1\r\nEND\r\n')
      expect(await client.ask('touch full 100\r\n')).toBe('TOUCHED\r\n')
      expect(await client.ask('delete full\r\n')).toBe('DELETED\r\n')
    } finally {
      await settings('0')
    }
    expect(await client.ask('set full 0 0 1\r\n3\r\n')).toBe('STORED\r\n')
  })

  test('what others have stored is neither read nor changed', async () => {
    const client = new TextClient(open)
    await client.ask('set foreign 0 0 1\r\n1\r\n')
    const { node, key } = await find('foreign')
    await node.ask('SET', key, 'hello')
    const refused = 'SERVER_ERROR the store refused the request\r\n'
    expect(await client.ask('get foreign\r\n')).toBe(refused)
    expect(await client.ask('append foreign 0 0 1\r\nx\r\n')).toBe(refused)
    expect(await node.ask('GET', key)).toBe('$5\r\nhello\r\n')
    expect(await client.ask('set foreign 0 0 1\r\n2\r\n')).toBe('STORED\r\n')
  })

  /** The master that has the item of a client's key, and the key there. */
  async function find(key: string): Promise<{ readonly node: RedisNode; readonly key: string }> {
    const generation = Number(
      /\d+/.exec((await generationReply()).split('\r\n')[1] ?? '0')?.[0] ?? '0',
    )
    const whole = `mc:default:${generation}:${key}`
    return { node: await cluster.masterOf(whole), key: whole }
  }

  async function generationReply(): Promise<string> {
    const name = 'mc-generation:default'
    return await (await cluster.masterOf(name)).ask('GET', name)
  }

  /** A key of a master that does not have the generation, and one of another. */
  async function keysApart(): Promise<{
    readonly stopped: RedisNode
    readonly there: string
    readonly elsewhere: string
  }> {
    const keeper = await cluster.masterOf('mc-generation:default')
    let there: { key: string; node: RedisNode } | undefined
    let elsewhere: string | undefined
    for (let index = 0; there === undefined || elsewhere === undefined; index++) {
      const key = `apart${index}`
      const { node } = await find(key)
      if (node === keeper) elsewhere ??= key
      else there ??= { key, node }
    }
    return { stopped: there.node, there: there.key, elsewhere }
  }

  test('slots move under load, that of the generation as well, and no value is wrong', async () => {
    const load = new VerifiedLoad({ host: open.host, port: open.port, connections: 4 })
    let isOver = false
    const move = async (): Promise<void> => {
      const from = await cluster.masterOf('mc-generation:default')
      const to = cluster.masters.find((node) => node !== from) ?? from
      const slots = new Set([await cluster.slotOf('mc-generation:default')])
      for (let index = 0; slots.size < 30; index++) {
        const { node, key } = await find(`load-${index % 4}-${Math.floor(index / 4)}`)
        if (node === from) slots.add(await cluster.slotOf(key))
      }
      for (const slot of slots) await cluster.moveSlot(slot, from, to)
      expect(await cluster.masterOf('mc-generation:default')).toBe(to)
    }
    const moved = move().finally(() => {
      isOver = true
    })
    const [report] = await Promise.all([load.run(() => isOver), moved])
    expect(report.wrong).toBe(0)
    expect(report.requests).toBeGreaterThan(0)
  })

  async function isMaster(node: RedisNode): Promise<boolean> {
    return (await node.ask('INFO', 'replication')).includes('role:master')
  }

  /** Of the nodes that began as replicas, some may have become masters by themselves. */
  async function aReplica(): Promise<RedisNode> {
    for (const node of cluster.nodes) if (!(await isMaster(node))) return node
    throw new Error('there is no replica')
  }

  test('a replica is promoted under load, as operators do before they stop a master: no value is wrong', async () => {
    await cluster.settle()
    const replica = await aReplica()
    // What a load before has left would be taken for wrong.
    expect(await new TextClient(open).ask('flush_all\r\n')).toBe('OK\r\n')
    const load = new VerifiedLoad({ host: open.host, port: open.port, connections: 4 })
    const served = async (more: number): Promise<void> => {
      const wanted = load.report.requests - load.report.failed + more
      await cluster.until(
        async () => load.report.requests - load.report.failed >= wanted,
        'the load is not served',
      )
    }
    let isOver = false
    const promote = async (): Promise<void> => {
      await served(200)
      let askAgainMs = 0
      await cluster.until(async () => {
        if (await isMaster(replica)) return true
        if (performance.now() < askAgainMs) return false
        // What it answers says nothing: Redis gives a promotion up after five seconds. Asked before, it begins anew.
        await replica.ask('CLUSTER', 'FAILOVER')
        askAgainMs = performance.now() + FAILOVER_MS
        return false
      }, 'the replica is not promoted')
      await served(200)
    }
    const promoted = promote().finally(() => {
      isOver = true
    })
    const [report] = await Promise.all([load.run(() => isOver), promoted])
    expect(report.wrong).toBe(0)
  })

  test('a node that is silent is waited for within the bound, and others are served', async () => {
    await cluster.settle()
    const { stopped, there, elsewhere } = await keysApart()
    const client = new TextClient(hasty)
    const other = new TextClient(open)
    const lenient = new TextClient(hastyMissing)
    for (const [key, value] of [
      [there, 1],
      [elsewhere, 2],
    ]) {
      expect(await other.ask(`set ${key} 0 0 1\r\n${value}\r\n`)).toBe('STORED\r\n')
    }
    stopped.signal('SIGSTOP')
    onTestFinished(() => stopped.signal('SIGCONT'))
    const late = client.ask(`get ${there}\r\n`)
    const hit = `VALUE ${elsewhere} 0 1\r\n2\r\nEND\r\n`
    expect(await other.ask(`get ${elsewhere}\r\n`, 'END\r\n')).toBe(hit)
    expect(await late).toMatch(FAILURE)
    expect(await lenient.ask(`get ${there}\r\n`, 'END\r\n')).toBe('END\r\n')
    // A replica may take over.
    const written = await lenient.ask(`set ${there} 0 0 1\r\n9\r\n`)
    if (written !== 'STORED\r\n') expect(written).toMatch(FAILURE)
    stopped.signal('SIGCONT')
    await cluster.until(async () => {
      client.send(`get ${there}\r\nmn\r\n`)
      return !(await client.until('MN\r\n')).includes('SERVER_ERROR')
    }, 'the gate does not come back')
  })

  test('a master is killed under load: no wrong value, and all is served again', async () => {
    await cluster.settle()
    for (const node of cluster.nodes)
      await node.ask('CONFIG', 'SET', 'cluster-node-timeout', '1000')
    const { stopped, there } = await keysApart()
    const client = new TextClient(hasty)
    await client.ask(`set ${there} 0 0 1\r\n0\r\n`)
    let failures = 0
    let isKilled = false
    let servedAfter = 0
    // Each write says what it is; a read has the last that was acknowledged, or one whose fate is not known.
    let possible = new Set(['0'])
    const endMs = performance.now() + 60_000
    for (let round = 1; servedAfter < 20; round++) {
      if (performance.now() > endMs) throw new Error(`not served again after ${failures} failures`)
      if (round === 20) {
        isKilled = true
        await stopped.kill()
      }
      const value = String(round)
      const written = await client.ask(`set ${there} 0 0 ${value.length}\r\n${value}\r\n`)
      if (written === 'STORED\r\n') possible = new Set([value])
      else {
        expect([LATE, DOWN]).toContain(written)
        possible.add(value)
      }
      client.send(`get ${there}\r\nmn\r\n`)
      const read = await client.until('MN\r\n')
      const seen = /\r\n(\d+)\r\nEND/.exec(read)?.[1]
      // Replication does not wait: what the last round wrote may be lost with the master.
      if (seen !== undefined && failures === 0) expect([...possible]).toContain(seen)
      if (seen !== undefined && written === 'STORED\r\n') expect(seen).toBe(value)
      if (written !== 'STORED\r\n') failures++
      else if (isKilled && failures > 0) servedAfter++
    }
    expect(failures).toBeGreaterThan(0)
  })
})
