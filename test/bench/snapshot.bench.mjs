/**
 * How long a snapshot takes, out and in, and what others notice of it.
 *
 *     npm run build && node test/bench/snapshot.bench.mjs [MIB] [--key] [--rounds N] [--program FILE]...
 *
 * Fills a server with MIB (1024) of items of 100 bytes, writes a snapshot while a client gets items, stops it, starts it again on
 * the snapshot, and gets items meanwhile. A get is one request on a connection of its own at a fixed rate, timed from when it was
 * due. Prints one line for each step; figures beside each other are of one run.
 *
 * Behind each restore a server that has just started without a snapshot is asked the same twice, for as long: with nothing beside, which is
 * what gets take of a new server, whose code is not compiled yet; and beside the control, as many threads of another process that compute at
 * the same low priority, which is the machine's share. With more rounds, medians of the ratios; with more programs (builds of the server), these in turn.
 */
import { spawn } from 'node:child_process'
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'bin', 'saslcached.js')
const { values, positionals } = parseArgs({
  options: {
    key: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '1' },
    program: { type: 'string', multiple: true, default: [PROGRAM] },
  },
  allowPositionals: true,
})
const MIB = Number(positionals[0] ?? 1024)
if (!Number.isInteger(MIB) || MIB < 1)
  throw new Error(`MIB is a whole number, not ${positionals[0]}`)
const HAS_KEY = values.key
const ROUNDS = Number(values.rounds)
const PROGRAMS = values.program
const VALUE = 'v'.repeat(100)
/** Record and place in the index. */
const ITEM_BYTES = 132
const COUNT = Math.floor((MIB * 2 ** 20) / ITEM_BYTES)
const BATCH = 500
const GETS_EVERY_MS = 1

const directory = mkdtempSync(join(tmpdir(), 'snapshot-bench-'))
const snapshot = join(directory, 'snapshot')
const keyFile = join(directory, 'key')
writeFileSync(keyFile, 'ab'.repeat(32), { mode: 0o600 })
const keyFlags = HAS_KEY ? ['--snapshot-key-file', keyFile] : []

async function start(program, ...flags) {
  const portFile = join(directory, `port-${Math.random()}`)
  const child = spawn(
    process.execPath,
    [
      program,
      '--no-auth',
      ...['-l', '127.0.0.1', '-p', '-1', '-t', '2', '-m', String(Math.ceil(MIB * 1.25))],
      ...['--log-format', 'json', '--snapshot', snapshot, ...keyFlags, ...flags],
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, MEMCACHED_PORT_FILENAME: portFile },
    },
  )
  const server = { child, output: '', port: 0 }
  child.stdout.on('data', (text) => {
    server.output += text
  })
  let hasExited = false
  server.exited = new Promise((resolve) => child.once('close', resolve)).then(() => {
    hasExited = true
  })
  server.log = (event) =>
    server.output
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line))
  await until(() => hasExited || server.log('started').length > 0)
  if (hasExited) throw new Error('the server did not start; what it said stands above')
  server.port = Number(/:? (\d+)/.exec(readFileSync(portFile, 'utf8'))[1])
  return server
}

async function until(isSo) {
  while (!isSo()) await delay(5)
}

function keyOf(index) {
  return `item:${String(index).padStart(9, '0')}`
}

async function fill(port) {
  const socket = net.connect(port, '127.0.0.1')
  for (let index = 0; index < COUNT; index += BATCH) {
    let text = ''
    for (let at = index; at < Math.min(COUNT, index + BATCH); at++) {
      text += `set ${keyOf(at)} 0 0 ${VALUE.length} noreply\r\n${VALUE}\r\n`
    }
    if (!socket.write(text)) await new Promise((resolve) => socket.once('drain', resolve))
  }
  await ask(socket, 'mn\r\n', 'MN\r\n')
  socket.destroy()
}

function ask(socket, text, end) {
  return new Promise((resolve) => {
    let answer = ''
    const take = (bytes) => {
      answer += bytes
      if (!answer.endsWith(end)) return
      socket.off('data', take)
      resolve(answer)
    }
    socket.on('data', take)
    socket.write(text)
  })
}

/** Gets items at a fixed rate until `isDone`; latencies in ms, and how many were found. */
async function gets(port, isDone) {
  const sockets = Array.from({ length: 16 }, () => net.connect(port, '127.0.0.1'))
  const latencies = []
  const result = { found: 0, latencies }
  const idle = [...sockets]
  const startMs = performance.now()
  for (let sent = 0; !isDone(); sent++) {
    const dueMs = startMs + sent * GETS_EVERY_MS
    if (performance.now() < dueMs) await delay(dueMs - performance.now())
    const socket = idle.pop()
    if (socket === undefined) {
      await delay(1)
      continue
    }
    void ask(socket, `get ${keyOf(Math.floor(Math.random() * COUNT))}\r\n`, 'END\r\n').then(
      (text) => {
        latencies.push(performance.now() - Math.max(dueMs, startMs))
        if (text.length > 5) result.found++
        idle.push(socket)
      },
    )
  }
  await until(() => idle.length === sockets.length)
  for (const socket of sockets) socket.destroy()
  return result
}

/** Prints it, and returns the p99 in ms. */
function describe(what, { latencies, found }) {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => at(share).toFixed(2))
  console.log(
    `${what}: p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms; ${found} of ${sorted.length} found`,
  )
  return at(0.99)
}

function figure(server, event) {
  const line = server.log(event).at(-1)
  return line === undefined
    ? 'it was not'
    : JSON.stringify({ ...line, time: undefined, path: undefined })
}

const server = await start(PROGRAMS[0], '--snapshot-every', '1')
console.log(
  `${COUNT} items of ${VALUE.length} bytes in ${MIB} MiB, ${HAS_KEY ? 'encrypted' : 'in the clear'}`,
)
await fill(server.port)
const endMs = performance.now() + 8000
if (server.log('snapshot_begun').length === 0) {
  describe('gets, nothing beside', await gets(server.port, () => performance.now() > endMs))
}
await until(() => server.log('snapshot_begun').length > server.log('snapshot_written').length)
describe(
  'gets, a periodic snapshot beside',
  await gets(server.port, () => server.log('snapshot_written').length > 0),
)
console.log(figure(server, 'snapshot_written'))
const beganMs = performance.now()
server.child.kill('SIGTERM')
await server.exited
console.log(
  `stop: ${((performance.now() - beganMs) / 1000).toFixed(2)} s in all; ${figure(server, 'snapshot_written')}`,
)
console.log(`file: ${(statSync(snapshot).size / 2 ** 20).toFixed(0)} MiB`)
const kept = `${snapshot}.kept`
renameSync(snapshot, kept)
const ratios = PROGRAMS.map(() => ({ warm: [], young: [], control: [] }))
for (let round = 0; round < ROUNDS; round++) {
  for (const [index, program] of PROGRAMS.entries()) {
    if (PROGRAMS.length > 1) console.log(program)
    const { restore, control, young, warm } = await restoreRound(program)
    ratios[index].warm.push(restore / warm)
    ratios[index].young.push(restore / young)
    ratios[index].control.push(restore / control)
  }
}
for (const [index, program] of PROGRAMS.entries()) {
  const { warm, young, control } = ratios[index]
  console.log(
    `${program}: p99 beside the restore, of that afterwards ${range(warm)}, of that of a new server with nothing beside ${range(young)}, of that beside the same CPU burnt elsewhere ${range(control)}`,
  )
}
rmSync(directory, { recursive: true, force: true })

/** p99 in ms: of gets beside a restore and afterwards, of a new server with nothing beside, and beside as much CPU burnt elsewhere. */
async function restoreRound(program) {
  copyFileSync(kept, snapshot)
  const beganMs = performance.now()
  const server = await start(program)
  const isBack = () => server.log('snapshot_restored').length > 0
  const beside = await gets(server.port, isBack)
  const tookMs = performance.now() - beganMs
  console.log(
    `start: ${(tookMs / 1000).toFixed(2)} s until all is back; ${figure(server, 'snapshot_restored')}`,
  )
  const restore = describe('gets, the restore beside', beside)
  const { seconds } = server.log('snapshot_restored').at(-1)
  const lastMs = 1000 * Math.max(seconds, 1)
  const during = async (port) => {
    const endMs = performance.now() + lastMs
    return await gets(port, () => performance.now() > endMs)
  }
  const warm = describe('gets, afterwards', await during(server.port))
  server.child.kill('SIGKILL')
  await server.exited
  // As new as the other one was, and with nothing to restore.
  const ofNew = async (what) => {
    const empty = await start(program)
    const p99 = describe(what, await during(empty.port))
    empty.child.kill('SIGKILL')
    await empty.exited
    return p99
  }
  const young = await ofNew('gets, a new server with nothing beside')
  const burner = burn()
  const control = await ofNew('gets, a new server, as much CPU burnt elsewhere')
  burner.kill('SIGKILL')
  return { restore, control, young, warm }
}

/** As many threads as restore, as busy with memory, at their priority. */
function burn() {
  const thread = `
    require('node:os').setPriority(0, 10)
    const words = new Int32Array(2 ** 24)
    for (let at = 1; ; at = (Math.imul(at, 1103515245) + 12345) >>> 0) words[at >>> 8]++`
  const code = `
    const { Worker } = require('node:worker_threads')
    for (let left = 2; left > 0; left--) new Worker(${JSON.stringify(thread)}, { eval: true })`
  return spawn(process.execPath, ['-e', code], { stdio: 'ignore' })
}

function range(values) {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted[Math.floor(sorted.length / 2)]
  return `${middle.toFixed(2)} (${sorted[0].toFixed(2)}-${sorted.at(-1).toFixed(2)})`
}
