/**
 * A demonstration: a cluster of three masters and three replicas of redis-server on loopback, and a gate before it, in
 * folders of their own that go with it.
 *
 *   npm run cluster-demo                   until Ctrl-C
 *   npm run cluster-demo -- --load 20      a load of 20 seconds with verified values, and a master killed in the middle
 *
 * Its invariant: what it starts is ended by its process id, however the demonstration ends. The exit code is 1 where
 * the load has found a wrong value.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { REDIS, RedisCluster } from '../support/redis-cluster.ts'
import { formatReport, VerifiedLoad } from './verified-load.ts'

const HOST = '127.0.0.1'
const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'bin', 'saslcached.js')
const START_DEADLINE_MS = 60_000
const POLL_MS = 20
const CONNECTIONS = 16
/** Until a replica begins to take over. */
const NODE_TIMEOUT_MS = 2000
const USER = 'demo'

const USAGE = `Usage: npm run cluster-demo -- [--port PORT] [--load SECONDS]

  --port PORT      of the gate; a free one if it is not given
  --load SECONDS   runs a load with verified values, kills a master in the middle, reports, and ends
`

class Gate {
  readonly port: number
  readonly password: string
  private readonly child: ChildProcess
  private readonly directory: string

  private constructor(child: ChildProcess, directory: string, port: number, password: string) {
    this.child = child
    this.directory = directory
    this.port = port
    this.password = password
  }

  static async start(seeds: string, port: string): Promise<Gate> {
    const directory = mkdtempSync(join(tmpdir(), 'saslcached-demo-'))
    const password = randomBytes(12).toString('base64url')
    const users = join(directory, 'users.toml')
    writeFileSync(users, `[users.${USER}]\npassword = "${password}"\n`, { mode: 0o600 })
    const portFile = join(directory, 'port')
    const child = spawn(
      process.execPath,
      [
        ...[PROGRAM, '-l', HOST, '-p', port, '--users-file', users],
        ...['--store', 'cluster', '--store-nodes', seeds, '--log-level', 'error'],
      ],
      {
        env: { ...process.env, MEMCACHED_PORT_FILENAME: portFile },
        stdio: ['ignore', 'inherit', 'inherit'],
        // Ctrl-C is for the demonstration, which ends it.
        detached: true,
      },
    )
    process.once('exit', () => child.kill('SIGKILL'))
    const endMs = performance.now() + START_DEADLINE_MS
    while (!existsSync(portFile)) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > endMs) {
        rmSync(directory, { recursive: true, force: true })
        throw new Error('the gate does not start')
      }
      await delay(POLL_MS)
    }
    const listening = /^TCP INET: (\d+)$/m.exec(readFileSync(portFile, 'utf8'))?.[1]
    return new Gate(child, directory, Number(listening), password)
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit')
      this.child.kill('SIGTERM')
      await exited
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

function describe(cluster: RedisCluster, { port, password }: Gate): string {
  const rows = [
    ...cluster.masters.map((node) => ['master', node] as const),
    ...cluster.replicas.map((node) => ['replica', node] as const),
  ].map(([role, node]) => `  ${role.padEnd(8)} ${HOST}:${node.port}  process ${node.child.pid}`)
  const words = `${USER} ${password}`
  return [
    `A gate listens on ${HOST}:${port}, before this cluster:`,
    ...rows,
    '',
    `Log in as ${USER} with the password ${password}, with any client, for example`,
    `  memccat --servers=${HOST}:${port} --binary --username=${USER} --password=${password} greeting`,
    `  printf 'set login 0 0 ${words.length}\\r\\n${words}\\r\\nset greeting 0 0 5\\r\\nhello\\r\\nget greeting\\r\\nquit\\r\\n' | nc ${HOST} ${port}`,
    `Kill a master, and see its replica take over some ${NODE_TIMEOUT_MS / 1000} seconds later:`,
    `  kill -9 ${cluster.masters[0]?.child.pid}`,
    '',
  ].join('\n')
}

/** Whether all values were right. */
async function runLoad(cluster: RedisCluster, gate: Gate, seconds: number): Promise<boolean> {
  const load = new VerifiedLoad({
    host: HOST,
    port: gate.port,
    login: { name: USER, password: gate.password },
    connections: CONNECTIONS,
  })
  let isOver = false
  const running = load.run(() => isOver)
  const trouble = async (): Promise<void> => {
    await delay(seconds * 500)
    const [master] = cluster.masters
    load.masterKilled()
    await master?.kill()
    process.stdout.write(`Killed the master at ${HOST}:${master?.port}.\n`)
    await delay(seconds * 500)
    isOver = true
  }
  const [report] = await Promise.all([running, trouble()])
  process.stdout.write(formatReport(report))
  return report.wrong === 0
}

async function untilAsked(): Promise<void> {
  const waiting = setInterval(() => undefined, 1 << 30)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  clearInterval(waiting)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '-1' },
      load: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  const seconds = values.load === undefined ? undefined : Number(values.load)
  if (seconds !== undefined && !(seconds > 0)) throw new Error('--load takes a number of seconds')
  const [server = '', ...words] = REDIS.probe
  if (spawnSync(server, words).error !== undefined) {
    throw new Error(`${server} is not installed: apt-get install redis-server`)
  }
  // From here on a signal ends in order what has been started.
  const asked = untilAsked()
  const ends: (() => Promise<void>)[] = []
  const end = async (): Promise<void> => {
    for (const each of ends.splice(0).reverse()) await each()
  }
  try {
    process.stdout.write(
      'Starting three masters, three replicas and a gate; Ctrl-C ends all of them ...\n',
    )
    const cluster = await RedisCluster.start({
      nodeTimeoutMs: NODE_TIMEOUT_MS,
      // Else the nodes refuse all slots when one of them is without a master.
      flags: ['--cluster-require-full-coverage', 'no'],
    })
    ends.push(() => cluster.stop())
    const gate = await Gate.start(cluster.seeds, values.port)
    ends.push(() => gate.stop())
    process.stdout.write(describe(cluster, gate))
    if (seconds === undefined) await asked
    else {
      const isRight = await Promise.race([runLoad(cluster, gate, seconds), asked])
      if (isRight === false) process.exitCode = 1
    }
  } finally {
    await end()
  }
  process.exit()
}

try {
  await main()
} catch (error) {
  process.stderr.write(`cluster-demo: ${error instanceof Error ? error.message : error}\n`)
  process.exit(1)
}
