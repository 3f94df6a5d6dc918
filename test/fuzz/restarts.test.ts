/**
 * A server that is stopped and killed again and again under load, on one snapshot file: whatever a client gets is what it
 * was told was stored, or nothing.
 *
 *     ROUNDS=200 SEED=1 npx vitest run --project fuzz test/fuzz/restarts.test.ts
 *
 * Each of several clients has keys of its own, so it knows what they may have: what it set last and was told so, or
 * what was under way when the connection ended. After a stop that was asked for, all of that may come back, with other memory and threads,
 * while the clients already go on. After kill -9 nothing may. CAS ids stand for one value each.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { type Random, randomOf, seedOfRun } from '../unit/storage/model.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 4)
const CLIENTS = 3
const KEYS = 300
const OPERATIONS_MAX = 2500
/** Of each of the first rounds at least: enough that something comes back. */
const OPERATIONS_MIN = 300
/** What an expiry in whole seconds, and a machine that is busy, add to what a client sees. */
const SLACK_MS = 3000
const BEGINS: readonly string[] = ['snapshot_none', 'snapshot_found']
const ENDS = ['stop', 'kill', 'stop and kill'] as const

/** What a key may have beside nothing, and until when. */
type Allowed = Map<string, number>

interface Counted {
  gets: number
  hits: number
  /** Of values that were set before the last start. */
  restored: number
}

/** One client, over all servers. */
class Writer {
  readonly keys: Allowed[] = Array.from({ length: KEYS }, () => new Map())
  readonly casOf: Map<string, string>
  readonly counted: Counted
  private readonly name: number
  private readonly random: Random
  private round = 0
  private version = 0

  constructor(name: number, random: Random, casOf: Map<string, string>, counted: Counted) {
    this.name = name
    this.random = random
    this.casOf = casOf
    this.counted = counted
  }

  /** Works until the connection ends, or for so many requests; `onRequest` is called before each. */
  async work(
    server: TestServer,
    round: number,
    count: number,
    onRequest: () => void,
  ): Promise<void> {
    this.round = round
    const line = new Line(connect(server.port, server.host))
    for (let left = count; left > 0 && !line.isEnded; left--) {
      onRequest()
      const key = this.random.below(KEYS)
      const kind = this.random.below(20)
      if (kind < 9) await this.get(line, key)
      else if (kind < 17) await this.set(line, key)
      else await this.remove(line, key)
    }
    line.end()
  }

  /** Looks at all keys. */
  async checkAll(server: TestServer): Promise<void> {
    const line = new Line(connect(server.port, server.host))
    for (let key = 0; key < KEYS; key++) await this.get(line, key)
    line.end()
  }

  /** The server starts empty: nothing may be left. */
  forget(): void {
    for (const allowed of this.keys) allowed.clear()
  }

  private keyOf(key: number): string {
    return `w${this.name}:${key}`
  }

  private async get(line: Line, key: number): Promise<void> {
    const name = this.keyOf(key)
    const askedMs = performance.now()
    const answer = await line.ask(`gets ${name}\r\n`)
    if (answer === undefined) return
    this.counted.gets++
    if (answer === 'END\r\n') return
    const [head = '', text = ''] = answer.split('\r\n')
    const [, , , , cas = ''] = head.split(' ')
    // A value is its first word, over and over.
    const value = text.slice(0, text.indexOf('.') + 1)
    const isWhole =
      text === value.repeat(Math.ceil(text.length / value.length)).slice(0, text.length)
    expect(isWhole, `a mixture under ${name}`).toBe(true)
    const until = this.keys[key]!.get(value)
    if (until === undefined || askedMs > until) {
      const may = [...this.keys[key]!.keys()].join(' ')
      expect.fail(`${name} has ${value} in round ${this.round}, and may have ${may || 'nothing'}`)
    }
    const seen = this.casOf.get(cas)
    expect(seen ?? `${name} ${value}`, `CAS ${cas} stands for two values`).toBe(`${name} ${value}`)
    this.casOf.set(cas, `${name} ${value}`)
    this.counted.hits++
    if (!value.startsWith(`${this.round}-`)) this.counted.restored++
  }

  private async set(line: Line, key: number): Promise<void> {
    const value = `${this.round}-${this.name}-${this.version++}.`
    const length = this.random.below(200) === 0 ? 1_500_000 : this.random.below(1500) + value.length
    const text = value.repeat(Math.ceil(length / value.length)).slice(0, length)
    const ttl = this.random.below(6) === 0 ? 1 + this.random.below(4) : 0
    const until = ttl === 0 ? Number.POSITIVE_INFINITY : performance.now() + ttl * 1000 + SLACK_MS
    const allowed = this.keys[key]!
    allowed.set(value, until)
    const answer = await line.ask(`set ${this.keyOf(key)} 0 ${ttl} ${length}\r\n${text}\r\n`)
    if (answer === undefined) return
    expect(answer).toBe('STORED\r\n')
    allowed.clear()
    // It may have been answered later than it was stored.
    allowed.set(value, ttl === 0 ? until : performance.now() + ttl * 1000 + SLACK_MS)
  }

  private async remove(line: Line, key: number): Promise<void> {
    const answer = await line.ask(`delete ${this.keyOf(key)}\r\n`)
    if (answer !== undefined) this.keys[key]!.clear()
  }
}

/** A connection on which one request is under way. */
class Line {
  isEnded = false
  private readonly socket: Socket
  private readonly answer: Buffer[] = []
  private answered: (answer: string | undefined) => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => this.take(bytes))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isEnded = true
      this.answered(undefined)
    })
  }

  /** Undefined if the connection ended first. */
  async ask(request: string): Promise<string | undefined> {
    if (this.isEnded) return undefined
    return await new Promise((resolve) => {
      this.answered = resolve
      this.socket.write(request)
    })
  }

  end(): void {
    this.socket.destroy()
  }

  private take(bytes: Buffer): void {
    this.answer.push(bytes)
    const end = Buffer.concat(this.answer.slice(-2)).toString('latin1').slice(-16)
    if (!/(END|STORED|DELETED|NOT_FOUND)\r\n$/.test(end)) return
    const answer = Buffer.concat(this.answer.splice(0)).toString('latin1')
    this.answered(answer)
  }
}

test(
  `after ${ROUNDS} stops and kills under load nobody got what was not stored`,
  async () => {
    const random = randomOf(seedOfRun())
    const directory = mkdtempSync(join(tmpdir(), 'saslcached-restarts-'))
    const key = join(directory, 'key')
    writeFileSync(key, 'c0'.repeat(32), { mode: 0o600 })
    const casOf = new Map<string, string>()
    const counted: Counted = { gets: 0, hits: 0, restored: 0 }
    const writers = Array.from(
      { length: CLIENTS },
      (_, name) => new Writer(name, randomOf(random.below(2 ** 31)), casOf, counted),
    )
    let isKilled = false
    const ends = { stop: 0, kill: 0, 'stop and kill': 0 }
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const server = await startSaslcached({
          flags: [
            ...['-m', String(64 + random.below(3) * 64), '-t', String(1 + random.below(3))],
            ...['-I', '2m', '--drain-timeout', '1', '--snapshot', join(directory, 'snapshot')],
            ...['--snapshot-key-file', key, '--restore', random.below(4) === 0 ? 'wait' : 'serve'],
          ],
        })
        const { event: begin } = await server.waitForLog(({ event }) =>
          BEGINS.includes(String(event)),
        )
        if (isKilled) expect(begin).toBe('snapshot_none')
        if (begin === 'snapshot_none') {
          for (const writer of writers) writer.forget()
          casOf.clear()
        }
        // The first rounds have one of each.
        const end = ENDS[round < 3 ? [0, 0, 2][round]! : random.below(ENDS.length)]!
        ends[end]++
        if (random.below(3) === 0)
          await Promise.all(writers.map((writer) => writer.checkAll(server)))
        let left = random.below(OPERATIONS_MAX) + (round < 3 ? OPERATIONS_MIN : 1)
        const onRequest = (): void => {
          if (--left === 0) server.signal(end === 'kill' ? 'SIGKILL' : 'SIGTERM')
        }
        const work = writers.map((writer) => writer.work(server, round, OPERATIONS_MAX, onRequest))
        if (end === 'stop and kill') {
          await server.waitForLog(({ event }) => event === 'snapshot_begun')
          server.signal('SIGKILL')
        }
        await Promise.all(work)
        const exit = await server.exited
        if (end === 'stop') expect(exit, server.output()).toEqual({ code: 0, signal: undefined })
        rmSync(server.directory, { recursive: true, force: true })
        isKilled = end === 'kill'
      }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
    console.log(JSON.stringify({ ...ends, ...counted }))
    expect(counted.restored).toBeGreaterThan(0)
  },
  Math.max(600_000, ROUNDS * 20_000),
)
