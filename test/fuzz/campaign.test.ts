/**
 * Strangers and logged-in clients at once, in all dialects, over TLS and in the clear, on several workers,
 * while budgets are full, memory is short and logins are throttled: nothing of an owner's is changed, lost,
 * cut, refused, answered twice or not at all because of strangers or of users with few rights, and none
 * of those is answered as if it were let in, or had a right that it lacks
 * (support/campaign/owner.ts, campaign-strangers.worker.mjs).
 *
 * A long run, which goes through all rows and prints its progress:
 *
 *     npm run build && MINUTES=30 npx vitest run --project fuzz test/fuzz/campaign.test.ts
 *
 * SEED= repeats the choices of a run (not their timing), TEST_NODE= names the `node` that runs the server.
 */
import { fork } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LARGE_KEYS, largeKey } from '../support/campaign/keys.js'
import { Owner } from '../support/campaign/owner.ts'
import { Violations } from '../support/campaign/violations.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TestTls } from '../support/tls.ts'
import { seedOfRun } from '../unit/storage/model.ts'

const KIB = 1024
const MINUTES = Number(process.env.MINUTES ?? 0)
/** Of an owner in a short run. */
const BATCHES = MINUTES === 0 ? 12 : 30
/** Of the owners but the first, whose long pipelines are as long as the row says. */
const SHORTER_PIPELINE = 500
const OWNERS = 5
const READY_DEADLINE_MS = 60_000
const STILL_MS = 300
const RELOAD_PAUSE_MS = 1000

interface Run {
  readonly name: string
  readonly flags: readonly string[]
  readonly mayVanish: boolean
  readonly largeBytesMax: number
  readonly longPipeline: number
  readonly reconnectEvery: number
  /** Random strangers, at a time. */
  readonly acts: number
  /** Strangers who hold an unfinished request of `hogBytes`. */
  readonly hogs: number
  readonly hogBytes: number
  /** Strangers who say nothing. */
  readonly idlers: number
  /** Logged-in clients who ask for large values and read nothing. */
  readonly silentReaders: number
  /** Strangers have a login, too, and lose it before they do harm. */
  readonly haveLogin: boolean
  /** Who may do everything in another namespace does it with the same keys there. */
  readonly hasNeighbour: boolean
  /** Nobody speaks in the clear but by mistake, and certificates and ticket keys are exchanged all the time. */
  readonly isAllTls: boolean
}

const USUAL = {
  mayVanish: false,
  largeBytesMax: 500 * KIB,
  longPipeline: 2000,
  reconnectEvery: 0,
  acts: 24,
  hogs: 0,
  hogBytes: 64 * KIB,
  idlers: 0,
  silentReaders: 0,
  haveLogin: false,
  hasNeighbour: false,
  isAllTls: false,
}

const RUNS: readonly Run[] = [
  {
    ...USUAL,
    name: 'strangers hold all that unfinished requests may',
    flags: [
      '-t',
      '2',
      '-m',
      '64',
      '-c',
      '4096',
      '--prelogin-conn-limit',
      '700',
      '--login-timeout',
      '300',
    ],
    longPipeline: MINUTES === 0 ? 8000 : 20_000,
    hogs: 560,
  },
  {
    ...USUAL,
    name: 'memory is short and strangers hold all that unfinished requests may',
    flags: [
      '-t',
      '3',
      '-m',
      '4',
      '-c',
      '4096',
      '--prelogin-conn-limit',
      '700',
      '--login-timeout',
      '300',
    ],
    mayVanish: true,
    largeBytesMax: 200 * KIB,
    hogs: 560,
  },
  {
    ...USUAL,
    name: 'the server is full of strangers, whose requests are small',
    flags: ['-t', '4', '-m', '64', '-c', '64', '--prelogin-request-size', '4096'],
    reconnectEvery: 25,
    acts: 60,
    hogs: 20,
    hogBytes: 4 * KIB,
    idlers: 40,
  },
  {
    ...USUAL,
    name: 'others who are logged in do not read their replies',
    flags: ['-t', '2', '-m', '64', '-c', '1024'],
    silentReaders: 150,
  },
  {
    ...USUAL,
    name: 'memory is short, and large values are on their way to who does not read them',
    flags: ['-t', '2', '-m', '4', '-c', '1024'],
    mayVanish: true,
    largeBytesMax: 200 * KIB,
    silentReaders: 60,
  },
  {
    ...USUAL,
    name: 'strangers have been logged in before',
    flags: ['-t', '2', '-m', '64', '-c', '1024'],
    haveLogin: true,
    hasNeighbour: true,
  },
  {
    ...USUAL,
    name: 'everybody comes over TLS, many with half a handshake or half a request',
    flags: ['-t', '3', '-m', '64', '-c', '4096', '--prelogin-conn-limit', '500'],
    hogs: 60,
    idlers: 40,
    silentReaders: 20,
    haveLogin: true,
    isAllTls: true,
  },
]

const INSIDER = { name: 'insider', password: 'in-and-out' }
const users = [
  ...Array.from({ length: OWNERS }, (_, owner) => ({
    name: `owner${owner}`,
    password: `s3cret${owner}`,
  })),
  INSIDER,
]

/** Who is logged in and may do little; what they are told is looked at as well. */
const LIMITED = ['prefixed', 'monitor']
const LIMITED_ENTRIES = `
[users.prefixed]
password = "little"
rights = ["read", "write", "delete", "arithmetic", "touch"]
key_prefixes = ["prefixed:"]
[users.monitor]
password = "little"
roles = ["monitor"]
`
const NEIGHBOUR_ENTRIES = `
[namespaces.next]
memory = "6m"
[users.neighbour]
password = "little"
namespace = "next"
`

let tls: TestTls

beforeAll(() => {
  tls = new TestTls()
})

afterAll(() => tls.remove())

/** A server with a port of each kind. */
interface House {
  readonly server: TestServer
  readonly host: string
  /** In the clear. */
  readonly port: number
  readonly tlsPort: number
}

async function openHouse(run: Run): Promise<House> {
  const server = await startSaslcached({
    users,
    usersFileEnd: run.hasNeighbour ? LIMITED_ENTRIES + NEIGHBOUR_ENTRIES : LIMITED_ENTRIES,
    flags: [
      ...[...tls.server.flags, '-l', 'notls:tag_clear_:127.0.0.1:-1', '--throttle', 'on'],
      ...run.flags,
    ],
  })
  const { port } = await server.waitForLog(
    ({ event, tag }) => event === 'listening' && tag === 'clear',
  )
  return { server, host: server.host, port: Number(port), tlsPort: server.port }
}

type Message =
  | { readonly kind: 'ready' }
  | { readonly kind: 'violation'; readonly what: string }
  | { readonly kind: 'ended'; readonly counts: Readonly<Record<string, number>> }

interface Strangers {
  /** Ends them; tells how often each act was played. */
  stop(): Promise<Readonly<Record<string, number>>>
}

async function releaseStrangers(
  { host, port, tlsPort }: House,
  run: Run,
  seed: number,
  violations: Violations,
): Promise<Strangers> {
  const options = {
    host,
    port,
    tlsPort,
    seed,
    ownerCount: OWNERS,
    actCount: run.acts,
    hogCount: run.hogs,
    hogBytes: run.hogBytes,
    idleCount: run.idlers,
    isAllTls: run.isAllTls,
    insider: run.haveLogin ? { user: INSIDER.name, password: INSIDER.password } : null,
    limited: run.hasNeighbour ? [...LIMITED, 'neighbour'] : LIMITED,
  }
  // Not a thread: one that has connections over TLS left does not always end.
  const child = fork(join(import.meta.dirname, 'campaign-strangers.worker.mjs'), [
    JSON.stringify(options),
  ])
  let ended: (counts: Readonly<Record<string, number>>) => void = () => undefined
  let hasExited = false
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, READY_DEADLINE_MS)
    const ready = () => {
      clearTimeout(timer)
      resolve()
    }
    child.on('exit', (code, signal) => {
      hasExited = true
      if (signal !== 'SIGKILL') violations.add('strangers', `ended with ${code ?? signal}`)
      ended({})
      ready()
    })
    child.on('message', (message: Message) => {
      if (message.kind === 'violation') violations.add('stranger', message.what)
      else if (message.kind === 'ended') ended(message.counts)
      else ready()
    })
  })
  return {
    stop: async () => {
      const counts = await new Promise<Readonly<Record<string, number>>>((resolve) => {
        ended = resolve
        if (hasExited) resolve({})
        else child.send({ kind: 'stop' })
      })
      child.kill('SIGKILL')
      return counts
    },
  }
}

/** Clients who log in, ask for every large value several times, and never read. */
function openSilentReaders({ host, port, tlsPort }: House, run: Run): Socket[] {
  const keys = Array.from({ length: OWNERS * LARGE_KEYS }, (_, index) =>
    largeKey(index % OWNERS, Math.floor(index / OWNERS)),
  )
  const login = `${INSIDER.name} ${INSIDER.password}`
  return Array.from({ length: run.silentReaders }, () => {
    const socket = run.isAllTls
      ? connectTls({ host, port: tlsPort, rejectUnauthorized: false })
      : connect(port, host)
    socket.on('error', () => undefined)
    socket.pause()
    const gets = keys.map((key) => `get ${key}\r\n`).join('')
    socket.write(`set login 0 0 ${login.length}\r\n${login}\r\n${gets}`)
    return socket
  })
}

/** One row of the server's statistics, as somebody reads it who is logged in. */
async function statistic(house: House, name: string, group = ''): Promise<number> {
  const endMs = performance.now() + READY_DEADLINE_MS
  while (performance.now() < endMs) {
    const rows = await readStatistics(house, group)
    const row = new RegExp(`^STAT ${name} (\\d+)`, 'm').exec(rows)
    if (row !== null) return Number(row[1])
    await delay(STILL_MS)
  }
  throw new Error(`the server did not let the reader of ${name} in`)
}

/** All of them; less where the server is full and turns its reader away. */
async function readStatistics({ host, port }: House, group: string): Promise<string> {
  const login = `${INSIDER.name} ${INSIDER.password}`
  const socket = connect(port, host)
  let text = ''
  socket.setEncoding('latin1')
  socket.write(`set login 0 0 ${login.length}\r\n${login}\r\nstats${group}\r\n`)
  return await new Promise((resolve) => {
    socket.on('data', (piece) => {
      text += piece
      if (text.endsWith('END\r\n')) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(text))
  })
}

/** Until the server holds no more of unfinished requests than a moment ago. */
async function waitUntilStill(house: House): Promise<void> {
  const endMs = performance.now() + READY_DEADLINE_MS
  let before = -1
  while (performance.now() < endMs) {
    const held = await statistic(house, 'read_buf_bytes')
    if (held === before) return
    before = held
    await delay(STILL_MS)
  }
}

async function campaign(run: Run, seed: number, endMs: number): Promise<void> {
  const house = await openHouse(run)
  const { tlsPort } = house
  const violations = new Violations()
  const owners = users.slice(0, OWNERS).map(
    ({ name, password }, number) =>
      new Owner(house, {
        number,
        ownerCount: OWNERS,
        seed,
        user: name,
        password,
        mayVanish: run.mayVanish,
        mayRefuseReads: run.silentReaders > 0,
        largeBytesMax: run.largeBytesMax,
        reconnectEvery: run.reconnectEvery,
        localAddress: `127.0.0.${2 + number}`,
        tlsPort,
        isAllTls: run.isAllTls,
        report: (kind, what) => violations.add(kind, what),
      }),
  )
  let silentReaders: Socket[] = []
  let strangers: Strangers | undefined
  let counts: Readonly<Record<string, number>> = {}
  let reloads: NodeJS.Timeout | undefined
  try {
    await Promise.all(owners.map((owner) => owner.open()))
    // Whoever reads statistics is known before others fail under that name.
    await statistic(house, 'uptime')
    silentReaders = openSilentReaders(house, run)
    strangers = await releaseStrangers(house, run, seed, violations)
    // Over TLS it hardly ever is: handshakes come and go.
    if (run.hogs > 0 && !run.isAllTls) await waitUntilStill(house)
    if (run.isAllTls) reloads = setInterval(() => house.server.signal('SIGHUP'), RELOAD_PAUSE_MS)
    do {
      await Promise.all(
        owners.map(async (owner) => {
          await owner.runLargeValues(8)
          for (let batch = 0; batch < BATCHES; batch++) await owner.runBatch()
          await owner.runLongPipelines(owner === owners[0] ? run.longPipeline : SHORTER_PIPELINE)
          await owner.readAll()
        }),
      )
    } while (performance.now() < endMs)
    counts = await strangers.stop()
    strangers = undefined
    await Promise.all(owners.map((owner) => owner.readAll()))
    for (const socket of silentReaders) socket.destroy()
    if (run.mayVanish) expect(await statistic(house, 'evictions')).toBeGreaterThan(0)
    else {
      expect(await statistic(house, 'default:evictions', ' namespaces')).toBe(0)
      const itemCount = owners.reduce((sum, owner) => sum + owner.itemCount, 0)
      const heldCount = await statistic(house, 'default:curr_items', ' namespaces')
      if (heldCount !== itemCount) {
        violations.add('items', `${heldCount} items are held, of which owners stored ${itemCount}`)
      }
    }
  } finally {
    clearInterval(reloads)
    await strangers?.stop()
    for (const socket of silentReaders) socket.destroy()
    for (const owner of owners) owner.close()
    await house.server.stop()
  }
  const answered = owners.reduce((sum, owner) => sum + owner.answeredCount, 0)
  const played = Object.values(counts).reduce((sum, count) => sum + count, 0)
  console.log(`${run.name}: ${answered} answers to owners, ${played} acts of strangers`)
  expect(violations.lines()).toEqual([])
  // None of the acts was left out for want of time, and each kind of server was met.
  expect(Object.keys(counts).length).toBeGreaterThan(15)
  expect(counts).toHaveProperty('brokenTls')
  if (run.idlers === 0) expect(counts.letIn, 'users with few rights').toBeGreaterThan(0)
}

const seed = seedOfRun()
const secondsPerRun = (MINUTES * 60) / RUNS.length

for (const [row, run] of RUNS.entries()) {
  test(run.name, { timeout: 600_000 + secondsPerRun * 1000 }, async () => {
    await campaign(run, seed + row * 1000, performance.now() + secondsPerRun * 1000)
  })
}
