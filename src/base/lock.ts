/**
 * A lock in one word of shared memory. Hot path: an uncontended acquire and release are one atomic
 * operation each.
 *
 *     FREE (0) --acquire--> HELD (1) --another comes--> AWAITED (2) --release--> FREE, one is woken
 *
 * Invariant: whoever finds the word not FREE and gives up spinning sets it to AWAITED before it
 * sleeps, so the holder knows to wake. Locks are not re-entrant. The order in which those of the store
 * may nest is in storage/README.md, "Locks".
 */

const FREE = 0
const HELD = 1
const AWAITED = 2

/** Longer than a holder that runs needs; a holder that was preempted is waited for asleep. */
const SPIN_COUNT = 100
/** Only a safety net: a release wakes its waiter. */
const WAIT_MS = 20

export function acquire(words: Int32Array, index: number): void {
  if (Atomics.compareExchange(words, index, FREE, HELD) !== FREE) acquireSlowly(words, index)
}

function acquireSlowly(words: Int32Array, index: number): void {
  for (let spin = 0; spin < SPIN_COUNT; spin++) {
    if (
      Atomics.load(words, index) === FREE &&
      Atomics.compareExchange(words, index, FREE, HELD) === FREE
    ) {
      return
    }
  }
  while (Atomics.exchange(words, index, AWAITED) !== FREE) {
    Atomics.wait(words, index, AWAITED, WAIT_MS)
  }
}

export function tryAcquire(words: Int32Array, index: number): boolean {
  return Atomics.compareExchange(words, index, FREE, HELD) === FREE
}

export function release(words: Int32Array, index: number): void {
  if (Atomics.exchange(words, index, FREE) === AWAITED) Atomics.notify(words, index, 1)
}
