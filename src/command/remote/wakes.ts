/**
 * Hot path. Who waits for replies goes on when all that a read has brought were taken: in one microtask, where a promise
 * for each request would take one each, and four objects (test/bench/README.md).
 *
 * Invariant: nobody is called within add(), and each once, in the order in which they were added.
 */
export class Wakes {
  private waiting: (() => void)[] = []
  private readonly run: () => void = () => this.wakeAll()

  add(wake: () => void): void {
    if (this.waiting.length === 0) queueMicrotask(this.run)
    this.waiting.push(wake)
  }

  private wakeAll(): void {
    const { waiting } = this
    this.waiting = []
    for (let index = 0; index < waiting.length; index++) waiting[index]!()
  }
}
