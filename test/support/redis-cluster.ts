/**
 * A cluster of real redis-server processes for a test: masters and their replicas on free ports of 127.0.0.1, in a
 * directory of its own, each killed by its own process id at the end.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Prerequisite } from './program.ts'

export const REDIS: Prerequisite = {
  packages: 'redis-server redis-tools',
  probe: ['redis-server', '--version'],
}

const HOST = '127.0.0.1'
const START_DEADLINE_MS = 60_000
const REPLY_DEADLINE_MS = 10_000
const POLL_MS = 20
const SLOTS = 16384
const START_ATTEMPTS = 5

export interface ClusterOptions {
  readonly masters?: number
  readonly hasReplicas?: boolean
  /** After which a silent master is replaced. */
  readonly nodeTimeoutMs?: number
  readonly flags?: readonly string[]
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class RedisNode {
  readonly port: number
  readonly child: ChildProcess

  constructor(port: number, child: ChildProcess) {
    this.port = port
    this.child = child
  }

  /** One command, whose words have no blanks; the reply as the protocol writes it. */
  async ask(...words: readonly string[]): Promise<string> {
    return await ask(this.port, words.join(' '))
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exited
    running.delete(this.child)
  }
}

export class RedisCluster {
  readonly masters: readonly RedisNode[]
  readonly replicas: readonly RedisNode[]
  private readonly directory: string

  constructor(masters: readonly RedisNode[], replicas: readonly RedisNode[], directory: string) {
    this.masters = masters
    this.replicas = replicas
    this.directory = directory
  }

  static async start(options: ClusterOptions = {}): Promise<RedisCluster> {
    const { masters: count = 3, hasReplicas = true } = options
    const directory = mkdtempSync(join(tmpdir(), 'redis-cluster-'))
    const total = hasReplicas ? 2 * count : count
    const nodes = await Promise.all(
      Array.from({ length: total }, (_, index) => startNode(directory, index, options)),
    )
    const masters = nodes.slice(0, count)
    const cluster = new RedisCluster(masters, nodes.slice(count), directory)
    try {
      await cluster.join()
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  get nodes(): readonly RedisNode[] {
    return [...this.masters, ...this.replicas]
  }

  /** What --store-nodes is given. */
  get seeds(): string {
    return this.masters.map(({ port }) => `${HOST}:${port}`).join(',')
  }

  /** The node that serves a key of the engine now. */
  async masterOf(key: string): Promise<RedisNode> {
    const slot = Number((await this.askAny('CLUSTER', 'KEYSLOT', key)).slice(1))
    // id, address, flags, master, ping, pong, epoch, state, slots
    for (const line of (await this.askAny('CLUSTER', 'NODES')).split('\n')) {
      const [, address = '', flags = '', , , , , , ...ranges] = line.trim().split(' ')
      if (!/\bmaster\b/.test(flags) || /\bfail\b/.test(flags)) continue
      const isIts = ranges.some((range) => {
        const [from, to = from] = range.split('-').map(Number)
        return from !== undefined && slot >= from && slot <= (to ?? from)
      })
      const port = Number(/:(\d+)@/.exec(address)?.[1])
      const node = this.nodes.find((each) => each.port === port)
      if (isIts && node !== undefined) return node
    }
    throw new Error(`nobody serves slot ${slot}`)
  }

  async askAny(...words: readonly string[]): Promise<string> {
    for (const node of this.nodes) {
      if (node.child.exitCode === null && node.child.signalCode === null) {
        return await node.ask(...words)
      }
    }
    throw new Error('no node is left')
  }

  private async join(): Promise<void> {
    const { masters, replicas, nodes } = this
    const share = Math.ceil(SLOTS / masters.length)
    for (const [index, node] of nodes.entries()) {
      await ok(node, 'CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
    }
    for (const [index, node] of masters.entries()) {
      const end = Math.min(SLOTS, (index + 1) * share) - 1
      await ok(node, 'CLUSTER', 'ADDSLOTSRANGE', String(index * share), String(end))
    }
    const [first] = masters
    for (const node of nodes.slice(1)) {
      await ok(node, 'CLUSTER', 'MEET', HOST, String(first?.port), String(busPort(first?.port)))
    }
    await this.until(async () => {
      const seen = await Promise.all(nodes.map((node) => node.ask('CLUSTER', 'INFO')))
      return seen.every(
        (info) =>
          info.includes(`cluster_known_nodes:${nodes.length}\r`) &&
          info.includes('cluster_slots_assigned:16384\r'),
      )
    }, 'the nodes do not know each other')
    for (const [index, node] of replicas.entries()) {
      const id = (await masters[index]?.ask('CLUSTER', 'MYID'))?.split('\r\n')[1] ?? ''
      await this.until(
        async () => (await node.ask('CLUSTER', 'REPLICATE', id)).startsWith('+OK'),
        'a replica does not know its master',
      )
    }
    await this.settle()
  }

  /** Until the cluster serves, and its replicas follow their masters. */
  async settle(): Promise<void> {
    await this.until(async () => {
      const infos = await Promise.all(this.nodes.map((node) => node.ask('CLUSTER', 'INFO')))
      const roles = await Promise.all(this.nodes.map((node) => node.ask('INFO', 'replication')))
      return (
        infos.every((info) => info.includes('cluster_state:ok')) &&
        roles.filter((role) => role.includes('role:slave')).length === this.replicas.length &&
        !roles.some((role) => role.includes('master_link_status:down'))
      )
    }, 'the cluster does not come up')
  }

  async until(isSo: () => Promise<boolean>, otherwise: string): Promise<void> {
    const endMs = performance.now() + START_DEADLINE_MS
    while (!(await isSo())) {
      if (performance.now() > endMs) throw new Error(otherwise)
      await delay(POLL_MS)
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()))
    rmSync(this.directory, { recursive: true, force: true })
  }
}

async function ok(node: RedisNode, ...words: readonly string[]): Promise<void> {
  const reply = await node.ask(...words)
  if (!reply.startsWith('+OK')) throw new Error(`${words.join(' ')}: ${reply}`)
}

/** Below the port, so that it is one that may be had where the port is. */
function busPort(port: number | undefined): number {
  return (port ?? 0) - 1
}

async function startNode(
  directory: string,
  index: number,
  { nodeTimeoutMs = 2000, flags = [] }: ClusterOptions,
): Promise<RedisNode> {
  const own = join(directory, String(index))
  mkdirSync(own)
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = spawn(
      'redis-server',
      [
        ...['--port', String(port), '--bind', HOST, '--dir', own, '--daemonize', 'no'],
        ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort(port))],
        ...['--cluster-config-file', `nodes-${attempt}.conf`],
        ...['--cluster-node-timeout', String(nodeTimeoutMs)],
        ...['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0'],
        ...['--repl-ping-replica-period', '1', '--loglevel', 'warning'],
        ...flags,
      ],
      { stdio: 'ignore' },
    )
    running.add(child)
    if (await listens(child, port)) return new RedisNode(port, child)
    running.delete(child)
    if (attempt === START_ATTEMPTS) throw new Error('redis-server does not start')
  }
}

/** False: it has ended, as somebody else has one of its ports. */
async function listens(child: ChildProcess, port: number): Promise<boolean> {
  const endMs = performance.now() + START_DEADLINE_MS
  while (child.exitCode === null && child.signalCode === null) {
    const reply = await ask(port, 'PING').catch(() => '')
    if (reply.startsWith('+PONG')) return true
    if (performance.now() > endMs) throw new Error('redis-server does not answer')
    await delay(POLL_MS)
  }
  return false
}

/** A port that is free, and so is the one below it. */
async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, HOST)
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const below = createServer().listen(busPort(port), HOST)
    const isFree = await Promise.race([
      once(below, 'listening').then(() => true),
      once(below, 'error').then(() => false),
    ]).catch(() => false)
    below.close()
    server.close()
    await once(server, 'close')
    if (isFree) return port
  }
}

/** An inline command and its whole reply: one line, or a string behind its length. */
async function ask(port: number, command: string): Promise<string> {
  const socket = connect(port, HOST)
  let received = ''
  try {
    return await new Promise((resolve, reject) => {
      socket.setEncoding('latin1')
      socket.setTimeout(REPLY_DEADLINE_MS, () => reject(new Error(`no reply to ${command}`)))
      socket.on('error', reject)
      socket.on('close', () => reject(new Error(`the end instead of a reply to ${command}`)))
      socket.on('connect', () => socket.write(`${command}\r\n`))
      socket.on('data', (text: string) => {
        received += text
        const length = /^\$(\d+)\r\n/.exec(received)
        const isWhole =
          length === null
            ? received.endsWith('\r\n')
            : received.length >= length[0].length + Number(length[1]) + 2
        if (isWhole) resolve(received)
      })
    })
  } finally {
    socket.destroy()
  }
}
