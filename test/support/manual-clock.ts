/** A thread's clock that a test moves: nothing happens at a time that it has not come to. */
import type { ThreadClock } from '../../src/server/worker/thread-clock.ts'

interface Timer {
  atMs: number
  /** 0: once. */
  readonly periodMs: number
  readonly run: () => void
}

export class ManualClock implements ThreadClock {
  private timeMs = 0
  private readonly timers: Set<Timer> = new Set()
  private waiting: (() => void)[] = []

  nowMs(): number {
    return this.timeMs
  }

  sharedMs(): number {
    return this.timeMs
  }

  every(periodMs: number, run: () => void): () => void {
    const timer = { atMs: this.timeMs + periodMs, periodMs, run }
    this.timers.add(timer)
    return () => this.timers.delete(timer)
  }

  after(delayMs: number, run: () => void): void {
    this.timers.add({ atMs: this.timeMs + delayMs, periodMs: 0, run })
  }

  soon(run: () => void): void {
    this.waiting.push(run)
  }

  /** Periods that still run. */
  get periodCount(): number {
    return [...this.timers].filter(({ periodMs }) => periodMs > 0).length
  }

  /** Time passes without a timer, as while a thread computes. */
  passBusily(ms: number): void {
    this.timeMs += ms
  }

  /** Somebody is to be called soon. */
  get isAwaited(): boolean {
    return this.waiting.length > 0
  }

  /** What was to be called soon is, once; what that wants to be called soon is not. */
  turn(): void {
    const { waiting } = this
    this.waiting = []
    for (const run of waiting) run()
  }

  /** Time passes, and each timer is called at its time, one after the other. */
  pass(ms: number): void {
    const endMs = this.timeMs + ms
    for (;;) {
      const due = [...this.timers].filter(({ atMs }) => atMs <= endMs)
      const [next] = due.sort((one, other) => one.atMs - other.atMs)
      if (next === undefined) break
      this.timeMs = Math.max(this.timeMs, next.atMs)
      if (next.periodMs === 0) this.timers.delete(next)
      next.atMs += next.periodMs
      next.run()
      this.turn()
    }
    this.timeMs = endMs
  }
}
