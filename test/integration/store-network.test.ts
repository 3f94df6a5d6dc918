/**
 * A gate before a cluster that is one node with all slots, and the network between them, which is lost and comes back: what
 * clients are told, and whoever asks whether the gate is ready. And a node that is no cluster.
 */
import { expect, onTestFinished, test } from 'vitest'
import { WINDOW_REQUESTS_MAX } from '../../src/connection/request-window.ts'
import { WAITING_MAX } from '../../src/remote/node-link.ts'
import { hasPrerequisites, runProgram } from '../support/program.ts'
import { REDIS, RedisCluster } from '../support/redis-cluster.ts'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { WayToNode } from '../support/way-to-node.ts'

const FAILURE = /^SERVER_ERROR the store (did not answer in time|is out of reach)\r\n$/
/** Connections that fill what may wait for a node, each with a window. */
const CROWD = 80
const POLL = { timeout: 60_000 }
const UNREADY = 'store: the store is out of reach\n'

if (hasPrerequisites('a gate before one node', [REDIS])) {
  test('a gate that loses all nodes says so, and finds them again', async () => {
    const network = await WayToNode.start()
    const gate = await startSaslcached({
      flags: [
        ...['-t', '2', '--store', 'cluster', '--store-nodes', `127.0.0.1:${network.port}`],
        ...['--store-timeout', '3', '--http', '0'],
      ],
    })
    onTestFinished(() => gate.stop())
    const ready = await readyOf(gate)
    await expect.poll(ready, POLL).toBe('ready\n')
    const client = new TextClient(gate)
    expect(await client.ask('set kept 0 0 1\r\n1\r\n')).toBe('STORED\r\n')
    expect(await client.ask('incr kept 1\r\n')).toBe('2\r\n')
    for (const lose of [() => network.silence(), () => network.cut()]) {
      lose()
      expect(await client.ask('get kept\r\n')).toMatch(FAILURE)
      await expect.poll(ready, POLL).toBe(UNREADY)
      expect(await client.ask('set kept 0 0 1\r\n3\r\n')).toMatch(FAILURE)
      network.heal()
      await expect.poll(ready, POLL).toBe('ready\n')
      const again = async (): Promise<string> => {
        client.send('get kept\r\nmn\r\n')
        return await client.until('MN\r\n')
      }
      await expect.poll(again, POLL).toBe('VALUE kept 0 1\r\n2\r\nEND\r\nMN\r\n')
    }
    const rows = async (): Promise<string> => await client.ask('stats store\r\n', 'END\r\n')
    // The other thread may lose its way once more on a busy machine, as /ready would tell.
    await expect.poll(rows, POLL).toMatch(/^STAT cluster_unreachable 0\r$/m)
    await expect.poll(rows, POLL).toMatch(/^STAT cluster_waiting 0\r$/m)
    const stats = await rows()
    expect(stats).toMatch(/^STAT cluster_answered [1-9]\d*\r$/m)
    const failed = /cluster_late (\d+)\r\nSTAT cluster_down (\d+)\r/.exec(stats)
    expect(Number(failed?.[1]) + Number(failed?.[2])).toBeGreaterThanOrEqual(4)
  })

  test('what is too much for a silent store is refused at once, and the rest waits for it', async () => {
    const network = await WayToNode.start()
    const gate = await startSaslcached({
      flags: [
        ...['-t', '1', '--store', 'cluster', '--store-nodes', `127.0.0.1:${network.port}`],
        ...['--store-timeout', '30'],
      ],
    })
    onTestFinished(() => gate.stop())
    const watching = new TextClient(gate)
    expect(await watching.ask('set kept 0 0 1\r\n1\r\n')).toBe('STORED\r\n')
    const stat = async (name: string): Promise<number> => {
      const rows = await watching.ask('stats store\r\n', 'END\r\n')
      return Number(new RegExp(`STAT ${name} (\\d+)`).exec(rows)?.[1])
    }
    network.silence()
    const clients = Array.from({ length: CROWD }, () => new TextClient(gate))
    for (const client of clients) client.send(`${'get kept\r\n'.repeat(WINDOW_REQUESTS_MAX)}mn\r\n`)
    // Of those that wait at the node, and for the generation.
    const waitingMax = 2 * WAITING_MAX
    await expect.poll(() => stat('cluster_busy'), POLL).toBeGreaterThan(0)
    expect(await stat('cluster_waiting')).toBeLessThanOrEqual(waitingMax)
    network.heal()
    const replies = await Promise.all(clients.map((client) => client.until('MN\r\n')))
    const lines = replies.flatMap((reply) => reply.split('\r\n'))
    const busy = 'SERVER_ERROR too much waits for the store'
    expect(lines.filter((line) => line === busy).length).toBe(await stat('cluster_busy'))
    expect(await stat('cluster_waiting')).toBe(0)
    await expect.poll(() => watching.ask('get kept\r\n'), POLL).toMatch(/^VALUE/)
  })

  test('who says that it is ready has reached its store', async () => {
    const { port } = await WayToNode.start()
    const gate = await startSaslcached({
      flags: [
        ...['-t', '2', '--store', 'cluster', '--store-nodes', `127.0.0.1:${port}`],
        ...['--store-timeout', '30', '--http', '0'],
      ],
    })
    onTestFinished(() => gate.stop())
    const stats = await new TextClient(gate).ask('stats store\r\n', 'END\r\n')
    expect(stats).toMatch(/^STAT cluster_unreachable 0\r$/m)
    expect(await (await readyOf(gate))()).toBe('ready\n')
  })

  test('of a node that is no cluster the log says what it lacks, and health that it is out of reach', async () => {
    const cluster = await RedisCluster.startPlain()
    onTestFinished(() => cluster.stop())
    const nodes = `127.0.0.1:${cluster.masters[0]?.port}`
    const gate = await startSaslcached({
      flags: ['-t', '1', '--store', 'cluster', '--store-nodes', nodes, '--http', '0'],
    })
    onTestFinished(() => gate.stop())
    const said = await gate.waitForLog(({ event }) => event === 'store_not_a_cluster')
    expect(said.message).toContain('"cluster-enabled yes"')
    expect(await (await readyOf(gate))()).toBe(UNREADY)
    const command = [SERVER_NODE, SERVER_PROGRAM, 'health', '-l', '127.0.0.1', '-p', `${gate.port}`]
    const http = `127.0.0.1:${await httpPort(gate)}`
    const health = await runProgram([...command, '--http', http])
    expect(health).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('not ready: store: the store is out of reach'),
    })
  })
}

async function httpPort(gate: TestServer): Promise<number> {
  const { address } = await gate.waitForLog(({ event }) => event === 'http_listening')
  return Number(String(address).split(':')[1])
}

/** What /ready answers. */
async function readyOf(gate: TestServer): Promise<() => Promise<string>> {
  const port = await httpPort(gate)
  return async () => await (await fetch(`http://127.0.0.1:${port}/ready`)).text()
}
