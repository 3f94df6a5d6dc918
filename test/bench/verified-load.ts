/**
 * A load whose values are verified, against a gate that may lose nodes meanwhile: each connection has keys of its own,
 * writes values that say which key and which write they are of, and knows what a read may find.
 *
 *      acknowledged   what was last STORED; a read finds that or a later one
 *      attempted      what was last sent; of those in between it is not known whether they were done
 *
 * Invariant: a value that belongs to another key, was never sent, or is not whole is wrong, whatever happened. One
 * that is older than what was acknowledged is wrong, too, unless a master was killed: the engine replicates without
 * waiting, and what a replica had not been told is lost.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const KEYS = 40
const VALUE_BYTES_MAX = 1000
const ANSWER_DEADLINE_MS = 60_000
/** A connection is served again when so many requests in a row were. */
const SERVED_AGAIN = 2 * KEYS
/** How long that may take. */
const SERVED_AGAIN_DEADLINE_MS = 60_000

export interface LoadOptions {
  readonly host: string
  readonly port: number
  /** Undefined: the gate asks for none. */
  readonly login?: { readonly name: string; readonly password: string }
  readonly connections: number
  /** Of each connection, between a write and a read and the next ones. */
  readonly pauseMs?: number
}

/** Requests that failed, from the first to the last. */
export interface FailedSpan {
  readonly failed: number
  readonly ms: number
}

export interface LoadReport {
  readonly requests: number
  readonly failed: number
  readonly wrong: number
  /** Older than acknowledged, after a master was killed. */
  readonly lost: number
  /** From the first failed request to the last; 0: none has failed. */
  readonly failedForMs: number
  readonly slowestMs: number
  /** What clients were told, and how often. */
  readonly reasons: ReadonlyMap<string, number>
}

interface Written {
  readonly key: string
  acknowledged: number
  attempted: number
}

export class VerifiedLoad {
  private readonly options: LoadOptions
  private readonly reasons: Map<string, number> = new Map()
  private requests = 0
  private failed = 0
  private wrong = 0
  private lost = 0
  private firstFailureMs: number | undefined = undefined
  private lastFailureMs = 0
  private slowestMs = 0
  private mayLose = false
  private spanFailed = 0
  private spanFromMs = 0

  constructor(options: LoadOptions) {
    this.options = options
  }

  /** From now on what was acknowledged may be gone. */
  masterKilled(): void {
    this.mayLose = true
  }

  /** What has failed since the last call. */
  takeSpan(): FailedSpan {
    const failed = this.spanFailed
    this.spanFailed = 0
    return { failed, ms: failed === 0 ? 0 : this.lastFailureMs - this.spanFromMs }
  }

  get report(): LoadReport {
    const { requests, failed, wrong, lost, slowestMs, reasons } = this
    const failedForMs = this.lastFailureMs - (this.firstFailureMs ?? this.lastFailureMs)
    return { requests, failed, wrong, lost, failedForMs, slowestMs, reasons }
  }

  /** Runs until `isOver`, and on until all connections are served again. */
  async run(isOver: () => boolean): Promise<LoadReport> {
    const { connections } = this.options
    await Promise.all(
      Array.from({ length: connections }, (_, index) => this.connection(index, isOver)),
    )
    return this.report
  }

  private async connection(index: number, isOver: () => boolean): Promise<void> {
    const lines = new Lines(this.options)
    const { pauseMs = 0 } = this.options
    try {
      await this.logIn(lines)
      const keys: Written[] = Array.from({ length: KEYS }, (_, at) => ({
        key: `load-${index}-${at}`,
        acknowledged: 0,
        attempted: 0,
      }))
      let servedCount = 0
      let overMs: number | undefined
      for (let turn = 0; overMs === undefined || servedCount < SERVED_AGAIN; turn++) {
        if (isOver()) overMs ??= performance.now()
        if (overMs !== undefined && performance.now() - overMs > SERVED_AGAIN_DEADLINE_MS) {
          throw new Error('requests are not served again')
        }
        const written = keys[turn % KEYS] as Written
        const before = keys[(turn * 7) % KEYS] as Written
        const isServed = (await this.write(lines, written)) && (await this.read(lines, before))
        servedCount = isServed ? servedCount + 2 : 0
        if (pauseMs > 0) await delay(pauseMs)
      }
    } finally {
      lines.close()
    }
  }

  private async logIn(lines: Lines): Promise<void> {
    const { login } = this.options
    if (login === undefined) return
    const words = `${login.name} ${login.password}`
    lines.send(`set login 0 0 ${words.length}\r\n${words}\r\n`)
    if ((await lines.next()) !== 'STORED') throw new Error('the login of the load was refused')
  }

  /** Whether it was served. */
  private async write(lines: Lines, written: Written): Promise<boolean> {
    const number = ++written.attempted
    const value = valueFor(written.key, number)
    const sinceMs = performance.now()
    lines.send(`set ${written.key} 0 0 ${value.length}\r\n${value}\r\n`)
    const reply = await lines.next()
    this.answered(sinceMs)
    if (reply !== 'STORED') return this.fail(reply)
    written.acknowledged = number
    return true
  }

  private async read(lines: Lines, written: Written): Promise<boolean> {
    const sinceMs = performance.now()
    lines.send(`get ${written.key}\r\n`)
    const reply = await lines.next()
    if (reply.startsWith('SERVER_ERROR')) {
      this.answered(sinceMs)
      return this.fail(reply)
    }
    if (reply === 'END') this.older(written, 0)
    else {
      const value = await lines.next()
      const end = await lines.next()
      const number = Number(value.split(' ')[1])
      const isOurs =
        end === 'END' &&
        reply === `VALUE ${written.key} 0 ${value.length}` &&
        number <= written.attempted &&
        value === valueFor(written.key, number)
      if (isOurs) this.older(written, number)
      else this.wrong++
    }
    this.answered(sinceMs)
    return true
  }

  private older(written: Written, number: number): void {
    if (number >= written.acknowledged) return
    if (this.mayLose) this.lost++
    else this.wrong++
    written.acknowledged = number
  }

  private answered(sinceMs: number): void {
    this.requests++
    this.slowestMs = Math.max(this.slowestMs, performance.now() - sinceMs)
  }

  private fail(reply: string): false {
    this.failed++
    this.reasons.set(reply, (this.reasons.get(reply) ?? 0) + 1)
    this.lastFailureMs = performance.now()
    this.firstFailureMs ??= this.lastFailureMs
    if (this.spanFailed++ === 0) this.spanFromMs = this.lastFailureMs
    return false
  }
}

/** Says of which key and write it is, and has a length of its own. */
function valueFor(key: string, number: number): string {
  const length = (number * 37) % VALUE_BYTES_MAX
  return `${key} ${number} `.padEnd(length, `${number}.`)
}

/** A connection, by lines. */
class Lines {
  private readonly socket: Socket
  private text = ''
  private readonly lines: string[] = []
  private error: Error | undefined = undefined
  private wake: () => void = () => undefined

  constructor({ host, port }: LoadOptions) {
    this.socket = connect(port, host).setEncoding('latin1').setNoDelay(true)
    this.socket.on('data', (text: string) => {
      this.text += text
      const lines = this.text.split('\r\n')
      this.text = lines.pop() ?? ''
      this.lines.push(...lines)
      this.wake()
    })
    const end = (error: Error): void => {
      this.error ??= error
      this.wake()
    }
    this.socket.on('error', end)
    this.socket.on('close', () => end(new Error('the gate closed a connection')))
  }

  send(text: string): void {
    this.socket.write(text, 'latin1')
  }

  async next(): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    try {
      while (this.lines.length === 0) {
        if (this.error !== undefined) throw this.error
        await new Promise<void>((resolve, reject) => {
          this.wake = resolve
          timer ??= setTimeout(() => {
            this.error ??= new Error('the gate did not answer')
            this.wake()
          }, ANSWER_DEADLINE_MS)
          if (this.socket.destroyed) reject(this.error)
        })
      }
    } finally {
      clearTimeout(timer)
    }
    return this.lines.shift() ?? ''
  }

  close(): void {
    this.socket.destroy()
  }
}

/** For a person to read. */
export function formatReport(report: LoadReport): string {
  const { requests, failed, wrong, lost, failedForMs, slowestMs, reasons } = report
  const seconds = (ms: number): string => (ms / 1000).toFixed(1)
  return [
    `requests      ${requests}`,
    `wrong values  ${wrong}`,
    `lost          ${lost} (acknowledged by the master that was killed, not yet told to its replica)`,
    `failed        ${failed}, in ${seconds(failedForMs)} s from the first to the last`,
    ...[...reasons].map(([reason, count]) => `              ${count} times ${reason}`),
    `slowest       ${seconds(slowestMs)} s`,
    '',
  ].join('\n')
}
