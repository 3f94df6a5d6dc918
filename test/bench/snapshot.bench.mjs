/**
 * How long a snapshot takes, out and in, and what others notice of it.
 *
 *     npm run build && node test/bench/snapshot.bench.mjs [MIB] [--key]
 *
 * Fills a server with MIB (1024) of items of 100 bytes, writes a snapshot while a client gets items, stops it, starts it again on
 * the snapshot, and gets items meanwhile. A get is one request on a connection of its own at a fixed rate, timed from when it was
 * due. Prints one line for each step; figures beside each other are of one run.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'bin', 'saslcached.js')
const { values, positionals } = parseArgs({
  options: { key: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const MIB = Number(positionals[0] ?? 1024)
if (!Number.isInteger(MIB) || MIB < 1)
  throw new Error(`MIB is a whole number, not ${positionals[0]}`)
const HAS_KEY = values.key
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

async function start(...flags) {
  const portFile = join(directory, `port-${Math.random()}`)
  const child = spawn(
    process.execPath,
    [
      PROGRAM,
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

function describe(what, { latencies, found }) {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => at(share).toFixed(2))
  console.log(
    `${what}: p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms; ${found} of ${sorted.length} found`,
  )
}

function figure(server, event) {
  const line = server.log(event).at(-1)
  return line === undefined
    ? 'it was not'
    : JSON.stringify({ ...line, time: undefined, path: undefined })
}

let server = await start('--snapshot-every', '1')
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
let beganMs = performance.now()
server.child.kill('SIGTERM')
await server.exited
console.log(
  `stop: ${((performance.now() - beganMs) / 1000).toFixed(2)} s in all; ${figure(server, 'snapshot_written')}`,
)
console.log(`file: ${(statSync(snapshot).size / 2 ** 20).toFixed(0)} MiB`)
beganMs = performance.now()
server = await start()
describe(
  'gets, the restore beside',
  await gets(server.port, () => server.log('snapshot_restored').length > 0),
)
console.log(
  `start: ${((performance.now() - beganMs) / 1000).toFixed(2)} s until all is back; ${figure(server, 'snapshot_restored')}`,
)
const afterMs = performance.now() + 8000
describe('gets, afterwards', await gets(server.port, () => performance.now() > afterMs))
server.child.kill('SIGKILL')
await server.exited
rmSync(directory, { recursive: true, force: true })
