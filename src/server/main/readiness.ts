/**
 * Whether clients are to be sent here. It is a set of holds: whoever has a reason against it raises
 * one and releases it when the reason is gone, or is asked whenever somebody wants to know. Ready is who has none.
 *
 * Invariant: a hold is there or not, however often it was raised: each has one owner.
 */

/** Why not, in the order in which it is told. What is not ready may be alive all the same. */
export const HOLDS = {
  starting: 'the server is starting',
  restoring: 'items are being restored',
  draining: 'the server is stopping',
  stuck: 'a worker thread is stuck',
  store: 'the store is out of reach',
} as const

export type Hold = keyof typeof HOLDS

const HOLD_NAMES = Object.keys(HOLDS) as Hold[]

export class Readiness {
  private readonly held: Set<Hold> = new Set(['starting'])
  private readonly asked: Map<Hold, () => boolean> = new Map()

  get isReady(): boolean {
    return this.reasons.length === 0
  }

  /** Empty if it is ready. */
  get reasons(): readonly Hold[] {
    return HOLD_NAMES.filter((hold) => this.held.has(hold) || this.asked.get(hold)?.() === true)
  }

  /** From now on that hold is there while `isHeld`. */
  ask(hold: Hold, isHeld: () => boolean): void {
    this.asked.set(hold, isHeld)
  }

  raise(hold: Hold): void {
    this.held.add(hold)
  }

  release(hold: Hold): void {
    this.held.delete(hold)
  }
}
