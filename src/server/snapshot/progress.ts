/** Tells how far something is that takes long: at each tenth, and no more often than once in a second. */

const TOLD_MS = 1000

export class Progress {
  private readonly nowMs: () => number
  private readonly tell: (percent: number) => void
  private toldMs: number
  private tenths = 0

  constructor(nowMs: () => number, tell: (percent: number) => void) {
    this.nowMs = nowMs
    this.tell = tell
    this.toldMs = nowMs()
  }

  at(done: number, all: number): void {
    const tenths = all === 0 ? 0 : Math.floor((10 * done) / all)
    if (tenths <= this.tenths || tenths >= 10) return
    const nowMs = this.nowMs()
    if (nowMs - this.toldMs < TOLD_MS) return
    this.tenths = tenths
    this.toldMs = nowMs
    this.tell(10 * tenths)
  }
}
