/**
 * Failovers one after the other, for as long as is asked: masters of a cluster on loopback are killed in turn under a load
 * whose values are verified, each is brought back as a replica, and the gate's memory is looked at all the while.
 *
 *   npm run cluster-failovers -- [--minutes N] [--pause-ms N] [--dist DIST]
 *
 * Each failover prints a line: how long requests failed, and what the gate holds. The exit code is 1 where a
 * value was wrong. A master is killed only when all of the cluster is up, so that each failover is seen by itself.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { RedisCluster, type RedisNode } from '../support/redis-cluster.ts'
import { formatReport, VerifiedLoad } from './verified-load.ts'

const HOST = '127.0.0.1'
const NODE_TIMEOUT_MS = 2000
const CONNECTIONS = 16
const START_DEADLINE_MS = 60_000
const POLL_MS = 50
/** Requests are served, before a master is killed and after one has come back. */
const CALM_MS = 4000
const MIB = 1024 * 1024

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    'pause-ms': { type: 'string', default: '10' },
    dist: { type: 'string', default: join(import.meta.dirname, '..', '..', 'dist') },
  },
})

interface Gate {
  readonly child: ChildProcess
  readonly port: number
}

async function startGate(seeds: string, folder: string): Promise<Gate> {
  const portFile = join(folder, 'port')
  const child = spawn(
    process.execPath,
    [
      ...[
        join(options.dist, 'bin', 'saslcached.js'),
        '-l',
        HOST,
        '-p',
        '-1',
        '-t',
        '1',
        '--no-auth',
      ],
      ...['--store', 'cluster', '--store-nodes', seeds, '--log-level', 'error'],
    ],
    {
      env: {
        ...process.env,
        MEMCACHED_PORT_FILENAME: portFile,
        MEMORY_SAMPLES: join(folder, 'memory'),
        NODE_OPTIONS: `--require ${join(process.cwd(), 'test', 'bench', 'memory-sampler.cjs')}`,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  process.once('exit', () => child.kill('SIGKILL'))
  const endMs = performance.now() + START_DEADLINE_MS
  while (!existsSync(portFile)) {
    if (child.exitCode !== null || performance.now() > endMs) throw new Error('no gate starts')
    await delay(POLL_MS)
  }
  const port = Number(/^TCP INET: (\d+)$/m.exec(readFileSync(portFile, 'utf8'))?.[1])
  return { child, port }
}

function residentMib({ child }: Gate): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

/** Of each thread, what its last sample says. */
function threadsMib(folder: string): string {
  const file = join(folder, 'memory')
  if (!existsSync(file)) return ''
  const last = new Map<number, Record<string, number>>()
  for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
    const sample = JSON.parse(line)
    last.set(sample.threadId, sample)
  }
  const mib = (bytes = 0): string => (bytes / MIB).toFixed(1)
  return [...last]
    .map(([id, { heapTotal, heapUsed, external, arrayBuffers }]) => {
      const heap = `heap ${mib(heapUsed)}/${mib(heapTotal)}`
      return `thread ${id}: ${heap} external ${mib(external)} buffers ${mib(arrayBuffers)}`
    })
    .join('; ')
}

async function masters(cluster: RedisCluster): Promise<readonly RedisNode[]> {
  const roles = await Promise.all(cluster.nodes.map((node) => node.ask('INFO', 'replication')))
  return cluster.nodes.filter((_, index) => roles[index]?.includes('role:master'))
}

/** Kills the master that has served longest, waits until another one serves its keys, and brings it back. */
async function failOver(
  cluster: RedisCluster,
  load: VerifiedLoad,
  killed: RedisNode[],
): Promise<void> {
  const serving = await masters(cluster)
  const node = serving.toSorted(
    (one, other) => killed.lastIndexOf(one) - killed.lastIndexOf(other),
  )[0]
  if (node === undefined) throw new Error('no master serves')
  killed.push(node)
  load.masterKilled()
  load.takeSpan()
  await node.kill()
  await cluster.until(async () => {
    const info = await cluster.askAny('CLUSTER', 'INFO')
    const nodes = await cluster.askAny('CLUSTER', 'NODES')
    const isReplaced = !nodes.split('\n').some((line) => {
      const [, address = '', flags = '', , , , , , ...ranges] = line.trim().split(' ')
      return (
        address.startsWith(`${HOST}:${node.port}@`) && flags.includes('master') && ranges.length > 0
      )
    })
    return isReplaced && info.includes('cluster_state:ok')
  }, 'no replica takes over')
  await node.restart()
  await cluster.settle()
}

async function run(folder: string): Promise<boolean> {
  const cluster = await RedisCluster.start({ nodeTimeoutMs: NODE_TIMEOUT_MS })
  try {
    const gate = await startGate(cluster.seeds, folder)
    const { port } = gate
    const pauseMs = Number(options['pause-ms'])
    const load = new VerifiedLoad({ host: HOST, port, connections: CONNECTIONS, pauseMs })
    let isOver = false
    const running = load.run(() => isOver)
    const startMs = performance.now()
    const endMs = startMs + Number(options.minutes) * 60_000
    const killed: RedisNode[] = []
    const failovers = async (): Promise<void> => {
      await delay(CALM_MS)
      while (performance.now() < endMs) {
        await failOver(cluster, load, killed)
        await delay(CALM_MS)
        const { failed, ms } = load.takeSpan()
        const { requests, wrong, lost } = load.report
        const minute = ((performance.now() - startMs) / 60_000).toFixed(1)
        process.stdout.write(
          `${minute} min, failover ${killed.length}: failed ${failed} in ${(ms / 1000).toFixed(1)} s; ` +
            `requests ${requests}, wrong ${wrong}, lost ${lost}; ` +
            `resident ${residentMib(gate).toFixed(1)} MiB; ${threadsMib(folder)}\n`,
        )
      }
    }
    await Promise.race([failovers(), running.then(() => undefined)])
    isOver = true
    const report = await running
    process.stdout.write(formatReport(report))
    const exited = once(gate.child, 'exit')
    gate.child.kill('SIGTERM')
    await exited
    return report.wrong === 0
  } finally {
    await cluster.stop()
  }
}

// What was started is ended with this process, however that ends.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const folder = mkdtempSync(join(tmpdir(), 'cluster-failovers-'))
try {
  if (!(await run(folder))) process.exitCode = 1
} catch (error) {
  process.stderr.write(`cluster-failovers: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
