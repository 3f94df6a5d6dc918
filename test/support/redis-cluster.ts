/**
 * A cluster of real redis-server processes for a test: masters and their replicas on free ports of 127.0.0.1, in a
 * directory of its own, each killed by its own process id at the end.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.js'
import type { Prerequisite } from './program.ts'

/** REDIS_SERVER names another build, valkey-server for example. */
const SERVER = process.env.REDIS_SERVER ?? 'redis-server'

export const REDIS: Prerequisite = {
  packages: 'redis-server redis-tools',
  probe: [SERVER, '--version'],
}

const HOST = '127.0.0.1'
const START_DEADLINE_MS = 120_000
const REPLY_DEADLINE_MS = 60_000
const POLL_MS = 20
const SLOTS = 16384
const START_ATTEMPTS = 5
/** Of nodes that nobody stops: a busy machine leaves one alone for seconds. */
const NODE_TIMEOUT_MS = 15_000

export interface ClusterOptions {
  readonly masters?: number
  readonly hasReplicas?: boolean
  /** After which a silent master is replaced. */
  readonly nodeTimeoutMs?: number
  readonly flags?: readonly string[]
  /** Each node speaks TLS on a second port, and in the clear on the first. */
  readonly tls?: {
    readonly caFile: string
    readonly certificateFile: string
    readonly keyFile: string
  }
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class RedisNode {
  readonly port: number
  /** Where it speaks TLS, if it does. */
  readonly tlsPort: number
  child: ChildProcess
  private readonly command: readonly string[]

  constructor(port: number, tlsPort: number, command: readonly string[], child: ChildProcess) {
    this.port = port
    this.tlsPort = tlsPort
    this.command = command
    this.child = child
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** One command, whose words have no blanks; the reply as the protocol writes it. */
  async ask(...words: readonly string[]): Promise<string> {
    return await ask(this.port, words.join(' '))
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  async kill(): Promise<void> {
    if (!this.isRunning) return
    const exited = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exited
    running.delete(this.child)
  }

  /** Brings it back behind kill(), with what it knew of the cluster and none of its items. */
  async restart(): Promise<void> {
    this.child = spawnNode(this.command)
    if (!(await listens(this.child, this.port))) throw new Error('a node does not come back')
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

  /** One node that is no cluster. */
  static async startPlain(): Promise<RedisCluster> {
    const directory = mkdtempSync(join(tmpdir(), 'redis-cluster-'))
    const node = await startNode(directory, 0, { flags: ['--cluster-enabled', 'no'] })
    return new RedisCluster([node], [], directory)
  }

  get nodes(): readonly RedisNode[] {
    return [...this.masters, ...this.replicas]
  }

  /** What --store-nodes is given. */
  get seeds(): string {
    return this.masters.map(({ port }) => `${HOST}:${port}`).join(',')
  }

  /** The same for who speaks TLS. */
  get tlsSeeds(): string {
    return this.masters.map(({ tlsPort }) => `${HOST}:${tlsPort}`).join(',')
  }

  /** Makes the user of the gates, with the rights that docs/cluster.md states, on every node. */
  async makeUserOfGuide(password: string): Promise<void> {
    const guide = readFileSync(join(import.meta.dirname, '../../docs/cluster.md'), 'utf8')
    const [, rules = ''] = /^```\n(ACL SETUSER saslcached [^`]*)```$/m.exec(guide) ?? []
    const words = rules.replace('PASSWORD', password).trim().split(/\s+/)
    for (const node of this.nodes) await ok(node, ...words)
  }

  /** Moves a slot with all that is in it, as `redis-cli --cluster reshard` does. */
  async moveSlot(slot: number, from: RedisNode, to: RedisNode): Promise<void> {
    const number = String(slot)
    const [fromId, toId] = [await idOf(from), await idOf(to)]
    await ok(to, 'CLUSTER', 'SETSLOT', number, 'IMPORTING', fromId)
    await ok(from, 'CLUSTER', 'SETSLOT', number, 'MIGRATING', toId)
    for (;;) {
      const reply = await from.ask('CLUSTER', 'GETKEYSINSLOT', number, '100')
      const keys = reply.split('\r\n').filter((line) => !/^[*$]\d+$/.test(line) && line !== '')
      if (keys.length === 0) break
      for (const key of keys) {
        const moved = await from.ask('MIGRATE', HOST, String(to.tlsPort), key, '0', '5000')
        if (!/^\+(OK|NOKEY)/.test(moved)) throw new Error(`MIGRATE: ${moved}`)
      }
    }
    for (const node of [to, from]) await ok(node, 'CLUSTER', 'SETSLOT', number, 'NODE', toId)
  }

  /** The node that serves a key of the engine now. */
  async masterOf(key: string): Promise<RedisNode> {
    const slot = await this.slotOf(key)
    // id, address, flags, master, ping, pong, epoch, state, slots
    for (const line of (await this.askAny('CLUSTER', 'NODES')).split('\n')) {
      const [, address = '', flags = '', , , , , , ...ranges] = line.trim().split(' ')
      if (!/\bmaster\b/.test(flags) || /\bfail\b/.test(flags)) continue
      const isIts = ranges.some((range) => {
        const [from, to = from] = range.split('-').map(Number)
        return from !== undefined && slot >= from && slot <= (to ?? from)
      })
      const port = Number(/:(\d+)@/.exec(address)?.[1])
      const node = this.nodes.find((each) => each.port === port || each.tlsPort === port)
      if (isIts && node !== undefined) return node
    }
    throw new Error(`nobody serves slot ${slot}`)
  }

  async slotOf(key: string): Promise<number> {
    return Number((await this.askAny('CLUSTER', 'KEYSLOT', key)).slice(1))
  }

  async askAny(...words: readonly string[]): Promise<string> {
    for (const node of this.nodes) {
      if (node.isRunning) return await node.ask(...words)
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
      await ok(node, 'CLUSTER', 'MEET', HOST, String(first?.tlsPort), String(busPort(first?.port)))
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
      const master = masters[index]
      const id = master === undefined ? '' : await idOf(master)
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

async function idOf(node: RedisNode): Promise<string> {
  return (await node.ask('CLUSTER', 'MYID')).split('\r\n')[1] ?? ''
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
  { nodeTimeoutMs = NODE_TIMEOUT_MS, flags = [], tls }: ClusterOptions,
): Promise<RedisNode> {
  const own = join(directory, String(index))
  mkdirSync(own)
  for (let attempt = 1; ; attempt++) {
    // Its own, and two below it: of its bus, and of TLS.
    const port = await freePort(3)
    const command = [
      ...['--port', String(port), '--bind', HOST, '--dir', own, '--daemonize', 'no'],
      ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort(port))],
      ...['--cluster-config-file', `nodes-${attempt}.conf`],
      ...['--cluster-node-timeout', String(nodeTimeoutMs)],
      ...['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0'],
      ...['--repl-ping-replica-period', '1', '--loglevel', 'warning'],
      ...(tls === undefined ? [] : tlsFlags(tls, port)),
      ...flags,
    ]
    const child = spawnNode(command)
    const tlsPort = tls === undefined ? port : tlsPortOf(port)
    if (await listens(child, port)) return new RedisNode(port, tlsPort, command, child)
    running.delete(child)
    if (attempt === START_ATTEMPTS) throw new Error(`${SERVER} does not start`)
  }
}

function spawnNode(command: readonly string[]): ChildProcess {
  const child = spawn(SERVER, command, { stdio: 'ignore' })
  running.add(child)
  return child
}

function tlsPortOf(port: number): number {
  return port - 2
}

function tlsFlags(tls: NonNullable<ClusterOptions['tls']>, port: number): string[] {
  return [
    ...['--tls-port', String(tlsPortOf(port)), '--tls-ca-cert-file', tls.caFile],
    ...['--tls-cert-file', tls.certificateFile, '--tls-key-file', tls.keyFile],
    // The port of TLS is what a client that speaks it is told, and needs this.
    ...['--tls-auth-clients', 'no', '--tls-cluster', 'yes', '--tls-replication', 'yes'],
  ]
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

/** An inline command and its whole reply: one line, a string behind its length, or a list of such strings. */
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
        if (isWhole(received)) resolve(received)
      })
    })
  } finally {
    socket.destroy()
  }
}

function isWhole(reply: string): boolean {
  const line = /^(?:\$(-?\d+)|\*(\d+))\r\n/.exec(reply)
  if (line === null) return reply.endsWith('\r\n')
  if (line[1] !== undefined)
    return reply.length >= line[0].length + Math.max(-2, Number(line[1])) + 2
  let rest = reply.slice(line[0].length)
  for (let left = Number(line[2]); left > 0; left--) {
    const string = /^\$(\d+)\r\n/.exec(rest)
    if (string === null) return false
    const length = string[0].length + Number(string[1]) + 2
    if (rest.length < length) return false
    rest = rest.slice(length)
  }
  return true
}
