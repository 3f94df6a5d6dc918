/**
 * What a request through `--store cluster` costs the gate, beside the same program with a store of its own and, where
 * it is installed, twemproxy (Debian: nutcracker) before as many memcached: CPU of the process a request, and its memory.
 *
 *   node test/bench/cluster-gate.mjs [--rounds N] [--seconds N] [--pipelines 1,50] [--memcached PATH] [--before DIST]
 *     [--keys N] [--ratio GETS:SETS] [--near-cache SIZE]
 *
 * Three masters (redis-server, redis-cli) run on loopback. `--before` names the dist of another build, measured as
 * well; `--near-cache` measures a gate that has one, too, which is of use for few keys (`--keys 100`). All are up at
 * once and idle but for the one that is measured; rounds alternate, and ratios are taken within a round, as is due where
 * other programs run: times and rates say nothing there. `gates, two` are two gates under the same load at once: what a
 * request costs each of them more than one alone is what gates cost each other.
 */

import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort } from '../support/free-port.js'
import { compileGenerator, runGenerator } from './generator.mjs'
import { residentMib } from './machine.mjs'
import { formatColumns, median } from './report.mjs'
import { outputOf, startServer } from './servers.mjs'

const MASTERS = 3
const CONNECTIONS = 50
const START_DEADLINE_MS = 30_000

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    pipelines: { type: 'string', default: '1,50' },
    memcached: { type: 'string', default: 'memcached' },
    before: { type: 'string' },
    'near-cache': { type: 'string' },
    keys: { type: 'string', default: '10000' },
    ratio: { type: 'string', default: '10:1' },
  },
})

const folder = mkdtempSync(join(tmpdir(), 'cluster-gate-'))
const children = new Set()

function start(command, parameters) {
  const child = spawn(command, parameters, { stdio: 'ignore' })
  children.add(child)
  return child
}

async function startMaster() {
  // And one below it, which a node of a cluster needs.
  const port = await freePort(2)
  const own = join(folder, String(port))
  mkdirSync(own)
  start('redis-server', [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', own, '--save', ''],
    ...['--cluster-enabled', 'yes', '--cluster-port', String(port - 1), '--loglevel', 'warning'],
  ])
  await until(() => outputOf('redis-cli', '-p', String(port), 'PING') === 'PONG')
  return port
}

async function until(isSo) {
  const endMs = Date.now() + START_DEADLINE_MS
  while (!isSo()) {
    if (Date.now() > endMs) throw new Error('a node does not start')
    await pause(50)
  }
}

async function startCluster() {
  const ports = await Promise.all(Array.from({ length: MASTERS }, startMaster))
  const nodes = ports.map((port) => `127.0.0.1:${port}`)
  execFileSync('redis-cli', ['--cluster', 'create', ...nodes, '--cluster-yes'], { stdio: 'ignore' })
  for (const port of ports) {
    await until(() =>
      outputOf('redis-cli', '-p', String(port), 'CLUSTER', 'INFO')?.includes('cluster_state:ok'),
    )
  }
  return nodes.join(',')
}

const HERE = join(import.meta.dirname, '../../dist')

/** saslcached of a build, one thread, without logins. */
const program = (name, dist, flags) => ({
  name,
  command: ({ port }) => ({
    words: [
      ...[process.execPath, join(dist, 'bin/saslcached.js'), '-l', '127.0.0.1', '-p', String(port)],
      ...['-U', '0', '-t', '1', '-c', '1024', '--no-auth', ...flags],
    ],
    environment: {},
  }),
})

async function startTwemproxy() {
  if (outputOf('nutcracker', '--help') === null || outputOf(options.memcached, '-V') === null) {
    return undefined
  }
  const servers = []
  for (let count = 0; count < MASTERS; count++) {
    const port = await freePort()
    start(options.memcached, ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-u', 'nobody'])
    servers.push(`   - 127.0.0.1:${port}:1`)
  }
  return {
    name: 'twemproxy',
    command: ({ port }) => {
      const lines = [
        ...['pool:', `  listen: 127.0.0.1:${port}`, '  hash: fnv1a_64', '  distribution: ketama'],
        ...['  auto_eject_hosts: false', '  servers:', ...servers, ''],
      ]
      const file = join(folder, 'twemproxy.yml')
      writeFileSync(file, lines.join('\n'))
      const stats = ['-s', String(port - 1), '-a', '127.0.0.1']
      return { words: ['nutcracker', '-c', file, ...stats], environment: {} }
    },
  }
}

/** Microseconds of a server's CPU a request, where all of them are under load at once. */
async function measure(generator, servers, pipeline, prefill) {
  const { seconds, keys, ratio } = options
  const figures = await Promise.all(
    servers.map(async ({ port, pid }) => {
      const load = { host: '127.0.0.1', port, dialect: 'text', connections: CONNECTIONS, pipeline }
      const whole = { ...load, seconds, keys, ratio, serverPid: pid, prefill }
      return (await runGenerator(generator, [], whole, children)).serverCpuUsPerRequest
    }),
  )
  return figures.reduce((sum, figure) => sum + figure, 0) / figures.length
}

async function run() {
  const nodes = await startCluster()
  const cluster = ['--store', 'cluster', '--store-nodes', nodes]
  const twemproxy = await startTwemproxy()
  const kinds = [
    program('own store', HERE, ['-m', '256']),
    program('gate', HERE, cluster),
    ...(options['near-cache'] === undefined
      ? []
      : [program('near cache', HERE, [...cluster, '--near-cache', options['near-cache']])]),
    ...(options.before === undefined ? [] : [program('gate before', options.before, cluster)]),
    ...(twemproxy === undefined ? [] : [twemproxy]),
    program('gates, two', HERE, cluster),
  ]
  const generator = compileGenerator(folder)
  const servers = []
  for (const kind of kinds) {
    const log = join(folder, `${kind.name}.log`)
    servers.push({ name: kind.name, ...(await startServer(kind, {}, [], log, children)) })
  }
  const [, gate] = servers
  const loadedBy = (server) => (server === servers.at(-1) ? [gate, server] : [server])
  const rows = []
  for (const pipeline of options.pipelines.split(',').map(Number)) {
    const figures = servers.map(() => ({ cpu: [], ratio: [] }))
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [index, server] of servers.entries()) {
        const { cpu, ratio } = figures[index]
        cpu.push(await measure(generator, loadedBy(server), pipeline, round === 0))
        ratio.push(cpu.at(-1) / figures[0].cpu.at(-1))
      }
    }
    for (const [index, { name, pid }] of servers.entries()) {
      const { cpu, ratio } = figures[index]
      const cells = [median(cpu).toFixed(1), median(ratio).toFixed(2), residentMib(pid).toFixed(0)]
      rows.push([name, `x${pipeline}`, ...cells])
    }
  }
  const columns = ['server', 'in a write', 'us a request', 'of own store', 'MiB']
  console.log(formatColumns(columns, new Set(['server', 'in a write']), rows))
  for (const server of servers) await server.stop()
}

try {
  await run()
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
