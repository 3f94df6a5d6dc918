/**
 * What a start takes: milliseconds until the server says that it is ready, CPU of all its threads by then, and
 * resident memory. With more than one build they start in turns:
 *
 *     node test/bench/start.bench.mjs [-t THREADS] [--rounds N] [--node PROGRAM] [FOLDER ...]
 *
 * A FOLDER has a build in dist/; without any it is this one. Medians.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { freePort } from '../support/free-port.js'
import { residentMib, threadTimes } from './machine.mjs'
import { formatColumns, median } from './report.mjs'
import { PASSWORD, USER } from './servers.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', short: 't', default: '2' },
    rounds: { type: 'string', default: '12' },
    node: { type: 'string', default: process.execPath },
  },
})
const HERE = resolve(import.meta.dirname, '..', '..')

async function start(folder) {
  const program = join(folder, 'dist', 'bin', 'saslcached.js')
  const port = await freePort()
  const began = performance.now()
  const child = spawn(
    values.node,
    [
      ...['--single-threaded-gc', program, '-l', '127.0.0.1', '-p', String(port), '-U', '0'],
      ...['-m', '64', '-t', values.threads],
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, SASLCACHED_USERNAME: USER, SASLCACHED_PASSWORD: PASSWORD },
    },
  )
  const closed = once(child, 'close')
  let figures
  for await (const line of createInterface(child.stdout)) {
    if (figures !== undefined || !line.includes('"event":"started"')) continue
    const ms = performance.now() - began
    const cpuMs = [...threadTimes(child.pid).values()].reduce((sum, ns) => sum + ns / 1e6, 0)
    figures = { ms, cpuMs, mib: residentMib(child.pid) }
    child.kill()
  }
  await closed
  if (figures === undefined) throw new Error(`${program} did not start`)
  return figures
}

const folders = positionals.length > 0 ? positionals : [HERE]
const starts = new Map(folders.map((folder) => [folder, []]))
for (let round = 0; round < Number(values.rounds); round++) {
  // Whoever comes first in a round has what the machine does then.
  for (const folder of round % 2 === 0 ? folders : folders.toReversed()) {
    starts.get(folder).push(await start(folder))
  }
}
const rows = [...starts].map(([folder, all]) => {
  const of = (figure) => median(all.map((each) => each[figure])).toFixed(0)
  return [folder, of('ms'), of('cpuMs'), of('mib')]
})
console.log(formatColumns(['build', 'ready ms', 'CPU ms', 'MiB'], new Set(['build']), rows))
