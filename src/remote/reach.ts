/**
 * Whether the cluster can be reached: whether any of its masters carries out a command. While requests are
 * answered, that is known without asking; while none are, keys that nobody stores are read, a few at a time, from all over
 * the slots.
 *
 * Invariant: it is out of reach from the start until the first command is carried out, and again when none was for
 * as long as `lostMs`. A node that refuses a command for what it is (memory, rights) is reached.
 */
import type { Engine, EngineClock } from './engine.ts'
import { FAILURE_FULL, FAILURE_NONE, FAILURE_REFUSED } from './failure.ts'

const LOOK_MS = 500
/** All of them within `lostMs`: one node that is gone is not the cluster. */
const PROBES_PER_LOOK = 4
const PROBES = 16
const LOST_MS_MIN = 2000

/** As long as this nothing was carried out: it is out of reach. */
export function lostMs(timeoutMs: number): number {
  return Math.max(LOST_MS_MIN, 2 * timeoutMs)
}

/** Whether a node was reached that ended a command so. */
export function isReached(failure: number): boolean {
  return failure === FAILURE_NONE || failure === FAILURE_FULL || failure === FAILURE_REFUSED
}

export interface ReachOptions {
  readonly engine: Pick<Engine, 'send'>
  readonly clock: EngineClock
  readonly timeoutMs: number
  /** Whether a command of others was carried out since it was asked last. */
  readonly takeHeard: () => boolean
  readonly onChange: (isReached: boolean) => void
}

export class Reach {
  private readonly options: ReachOptions
  private readonly endLooks: () => void
  private isReached = false
  private heardMs: number
  private nextProbe = 0

  constructor(options: ReachOptions) {
    this.options = options
    this.heardMs = options.clock.nowMs()
    options.onChange(false)
    this.endLooks = options.clock.every(LOOK_MS, () => void this.look())
  }

  /**
   * Looks at once, and not only when the time has come. Is fulfilled when a node was reached, or none was: within the
   * bound of a command.
   */
  async look(): Promise<void> {
    const { takeHeard, clock, timeoutMs } = this.options
    const probes: Promise<void>[] = []
    if (takeHeard()) this.heard()
    else while (probes.length < PROBES_PER_LOOK) probes.push(this.probe())
    if (this.isReached && clock.nowMs() - this.heardMs >= lostMs(timeoutMs)) this.change(false)
    await Promise.any(probes).catch(nothing)
  }

  close(): void {
    this.endLooks()
  }

  /** Is rejected where it reaches nobody. */
  private probe(): Promise<void> {
    // Two colons fewer than the key of an item: no client's key is one of these.
    const key = Buffer.from(`mc:probe-${this.nextProbe}`)
    this.nextProbe = (this.nextProbe + 1) % PROBES
    return new Promise((resolve, reject) => {
      const settle = (_: unknown, failure: number): void => {
        if (isReached(failure)) {
          this.heard()
          resolve()
        } else reject(new Error('no node was reached'))
      }
      this.options.engine.send({ key, args: ['GET', key], bytes: key.length, settle }, 0)
    })
  }

  private heard(): void {
    this.heardMs = this.options.clock.nowMs()
    if (!this.isReached) this.change(true)
  }

  private change(isReached: boolean): void {
    this.isReached = isReached
    this.options.onChange(isReached)
  }
}

function nothing(): void {}
