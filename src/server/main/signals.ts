/**
 * The signals of the process, from its first line of JavaScript on: bin holds them before anything
 * else is loaded, because until somebody listens a SIGHUP kills the process and a SIGUSR1 opens
 * Node's debugger. What comes while they are held is remembered: the server gets it when it can act
 * on it, and a command that serves nobody ends by it, as any program does.
 *
 * SIGUSR1 is never given back: a command that asks for a password must not be open to a debugger.
 *
 * Invariant: this file imports nothing, so that nothing is loaded before the signals are held. What
 * Node does before its first line of JavaScript is out of reach from here; docs/operations.md
 * says how long that takes.
 */

export type StopSignal = 'SIGTERM' | 'SIGINT' | 'SIGUSR1'
type HeldSignal = StopSignal | 'SIGHUP'

/** Who acts on signals. */
export interface SignalTaker {
  stop(signal: StopSignal): void
  reload(): void
}

/** What is used of the process; tests have one of their own. */
export interface SignalProcess {
  readonly pid: number
  on(signal: HeldSignal, listener: (signal: HeldSignal) => void): unknown
  off(signal: HeldSignal, listener: (signal: HeldSignal) => void): unknown
  kill(pid: number, signal: HeldSignal): unknown
}

const HELD: readonly HeldSignal[] = ['SIGUSR1', 'SIGHUP', 'SIGTERM', 'SIGINT']

export class Signals {
  private readonly process: SignalProcess
  private readonly closeDebugger: () => boolean
  private taker: SignalTaker | undefined = undefined
  private stopSignal: StopSignal | undefined = undefined
  private isReloadAsked = false

  /** `closeDebugger` ends a debugger that nobody asked for; true if there was one. */
  constructor(process: SignalProcess, closeDebugger: () => boolean) {
    this.process = process
    this.closeDebugger = closeDebugger
  }

  hold(): void {
    for (const signal of HELD) this.process.on(signal, this.receive)
    this.lookAtDebugger()
    // One that came just before the first line opens the debugger a turn later.
    setImmediate(this.lookAtDebugger)
  }

  /** The signal that asks for the end, if one has come and nobody has taken it. */
  get stopAsked(): StopSignal | undefined {
    return this.stopSignal
  }

  /** From now on `taker` acts on signals, and at once on those that have come. */
  handTo(taker: SignalTaker): void {
    this.taker = taker
    this.lookAtDebugger()
    if (this.isReloadAsked) taker.reload()
    if (this.stopSignal !== undefined) taker.stop(this.stopSignal)
  }

  /** Gives the signals back to the system, for a command; one that has come ends the process. */
  release(): void {
    for (const signal of HELD) if (signal !== 'SIGUSR1') this.process.off(signal, this.receive)
    const pending = this.isReloadAsked ? 'SIGHUP' : this.stopSignal
    if (pending !== undefined && pending !== 'SIGUSR1') this.process.kill(this.process.pid, pending)
  }

  private readonly receive = (signal: HeldSignal): void => {
    if (signal === 'SIGHUP') {
      if (this.taker === undefined) this.isReloadAsked = true
      else this.taker.reload()
    } else if (this.taker === undefined) this.stopSignal ??= signal
    else this.taker.stop(signal)
  }

  /** A debugger that nobody asked for shows that a SIGUSR1 came before the first line. */
  private readonly lookAtDebugger = (): void => {
    if (this.closeDebugger()) this.receive('SIGUSR1')
  }
}

export const signals: Signals = new Signals(process, closeUnaskedDebugger)

function closeUnaskedDebugger(): boolean {
  if (!process.features.inspector) return false
  const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? '']
  if (flags.some((flag) => flag.includes('--inspect'))) return false
  // Not imported at the top: see the invariant.
  const inspector = process.getBuiltinModule('node:inspector')
  if (inspector.url() === undefined) return false
  inspector.close()
  return true
}
