/**
 * Work that many may ask for and that one run does for all of them. A run that has begun may have missed
 * what the asker has changed, so whoever comes meanwhile gets the next one.
 *
 * Invariant: at most one run is under way, and at most one waits.
 */
export class Coalesced<Result> {
  private readonly work: () => Promise<Result>
  private running: Promise<unknown> | undefined = undefined
  private next: Promise<Result> | undefined = undefined

  constructor(work: () => Promise<Result>) {
    this.work = work
  }

  /** The result of a run that begins now or later. */
  run(): Promise<Result> {
    if (this.next !== undefined) return this.next
    if (this.running === undefined) return this.begin()
    const next = this.running.then(() => {
      this.next = undefined
      return this.begin()
    })
    this.next = next
    return next
  }

  private begin(): Promise<Result> {
    const run = this.work()
    const over = run.then(
      () => undefined,
      () => undefined,
    )
    this.running = over
    void over.then(() => {
      if (this.running === over) this.running = undefined
    })
    return run
  }
}
