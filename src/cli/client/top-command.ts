/**
 * `saslcached top`: a table in the terminal, drawn again each second; where there is no terminal, a line
 * for each interval.
 *
 * Invariant: the terminal leaves the alternate screen and raw mode, and shows its cursor, on every way
 * out: q, a signal, a server that goes away, a defect.
 */
import { EXIT_OK } from '../../base/exit-code.ts'
import { formatAddress } from '../../client/address.ts'
import { ClientError } from '../../client/client-error.ts'
import { openSession } from '../../client/connect.ts'
import type { Session, StatRow } from '../../client/session.ts'
import { formatTop, formatTopLine, type Sample, topJson } from '../../client/top-screen.ts'
import { type ClientCommand, type ClientContext, numberOf, secondsOf } from './client-command.ts'

const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const CLEAR_LINE_END = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'
const CONTROL_C = '\u0003'
const STOP_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

export const TOP_COMMAND: ClientCommand = {
  operandsMax: 0,
  declare: (command) => {
    command
      .option('--interval <seconds>', 'how often it is drawn', '1')
      .option('--count <number>', 'end after so many intervals; 0: never', '0')
  },
  examples: [
    ['top', 'q quits'],
    ['top --interval 10 >> cache.log', 'a line each ten seconds'],
    ['top --count 1 --json', 'one object, a second from now'],
  ],
  run: async (context) => {
    const intervalMs =
      secondsOf(context, 'interval', { flag: '--interval', min: 0.1, max: 3600 }) * 1000
    const count = numberOf(context, 'count', { flag: '--count', min: 0, max: 1e9 })
    const session = await openSession(context.target)
    const { output, isJson } = context
    const screen = output.isTerminal && !isJson ? new Screen(context) : undefined
    const stop = new Stop()
    try {
      screen?.enter(stop)
      const sampler = new Sampler(session)
      let before = await sampler.sample()
      for (let seen = 1; !stop.isAsked; seen++) {
        await stop.wait(intervalMs)
        if (stop.isAsked) break
        const now = await sampler.sample()
        if (screen !== undefined) screen.show(before, now)
        else if (isJson) await output.json(topJson(before, now))
        else await output.line(formatTopLine(before, now))
        before = now
        if (seen === count) break
      }
      return EXIT_OK
    } finally {
      screen?.leave()
      session.close()
    }
  },
}

class Sampler {
  readonly #session: Session
  #asksForNamespaces = true

  constructor(session: Session) {
    this.#session = session
  }

  async sample(): Promise<Sample> {
    const { rows } = await this.#session.stats('')
    return {
      atMs: performance.now(),
      general: new Map(rows),
      namespaces: await this.#namespaces(),
    }
  }

  /** None of a server without namespaces, or of a user who may not see them; it is asked once. */
  async #namespaces(): Promise<readonly StatRow[]> {
    if (!this.#asksForNamespaces) return []
    try {
      return (await this.#session.stats('namespaces')).rows
    } catch (error) {
      const isRefusal =
        error instanceof ClientError && (error.kind === 'refused' || error.kind === 'permission')
      if (!isRefusal) throw error
      this.#asksForNamespaces = false
      return []
    }
  }
}

/** Whether the person wants to go, and a pause that ends when they do. */
class Stop {
  isAsked = false
  #wake: () => void = () => undefined

  readonly ask = (): void => {
    this.isAsked = true
    this.#wake()
  }

  async wait(ms: number): Promise<void> {
    if (this.isAsked) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
  }
}

class Screen {
  readonly #context: ClientContext
  #shown: readonly [before: Sample, now: Sample] | undefined
  #stop: Stop | undefined
  #isEntered = false

  constructor(context: ClientContext) {
    this.#context = context
  }

  enter(stop: Stop): void {
    const { stdin, stdout } = this.#context.io
    this.#stop = stop
    this.#isEntered = true
    // Also on a way out that nobody thought of: writing to a terminal is done at once.
    process.on('exit', this.leave)
    for (const signal of STOP_SIGNALS) process.on(signal, stop.ask)
    stdout?.on('resize', this.#draw)
    stdout?.on('error', stop.ask)
    if (stdin.isTTY === true) {
      stdin.setRawMode?.(true)
      stdin.on('data', this.#type)
      stdin.on('end', stop.ask)
      stdin.resume()
    }
    this.#write(
      `${ENTER}${HOME}${CLEAR_BELOW}asking ${formatAddress(this.#context.target.address)}`,
    )
  }

  show(before: Sample, now: Sample): void {
    this.#shown = [before, now]
    this.#draw()
  }

  readonly leave = (): void => {
    if (!this.#isEntered) return
    this.#isEntered = false
    const { stdin, stdout } = this.#context.io
    process.off('exit', this.leave)
    stdout?.off('resize', this.#draw)
    if (this.#stop !== undefined) {
      for (const signal of STOP_SIGNALS) process.off(signal, this.#stop.ask)
      stdin.off('end', this.#stop.ask)
    }
    if (stdin.isTTY === true) {
      stdin.off('data', this.#type)
      stdin.setRawMode?.(false)
      stdin.pause()
    }
    this.#write(LEAVE)
  }

  readonly #type = (chunk: Buffer | string): void => {
    const typed = chunk.toString()
    if (/^[qQ]/.test(typed) || typed.includes(CONTROL_C)) this.#stop?.ask()
  }

  readonly #draw = (): void => {
    if (this.#shown === undefined || !this.#isEntered) return
    const { output, target } = this.#context
    const size = { columns: output.columns, rows: output.rows }
    const lines = formatTop(formatAddress(target.address), ...this.#shown, size)
    // Cleared first: behind a line as wide as the screen the cursor still stands on its last character.
    const text = lines.map((line) => CLEAR_LINE_END + line).join('\r\n')
    this.#write(HOME + text + CLEAR_BELOW)
  }

  #write(text: string): void {
    this.#context.io.stdout?.write(text)
  }
}
