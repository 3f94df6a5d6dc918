/**
 * Turns at the main thread, for what strangers can have done there: it answers probes, too, and does what the operator
 * asks for.
 *
 * - One a turn of the event loop: all else that this thread does comes in between.
 * - The site that has had fewest of late is next, and of equals the one that waits for longest; its sources take turns
 *   (base/fair-queue.ts). So a probe waits for a turn or two, however many sites ask without end.
 *
 * How many wait is bounded by whoever admits connections (http-connections.ts).
 *
 * Invariant: who has left, or had its turn, is held no more.
 */
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import type { Peer } from '../../base/peer.ts'

interface Waiting {
  readonly site: string
  place: Place<Waiting, string> | undefined
  readonly serve: () => void
}

/** In so many turns what a site has had before counts half; more than there are sites that can wait. */
const HALF_LIFE_TURNS = 1024

export class SiteTurns {
  private readonly waiting: FairQueue<Waiting, string> = new FairQueue()
  /** Of late, by site; none that is 0. */
  private readonly had: Map<string, number> = new Map()
  private hadCount = 0
  private isTurnAwaited = false

  get size(): number {
    return this.waiting.size
  }

  /** `serve` is called at its turn, not before this returns; what is returned gives the turn up, if it was not had yet. */
  wait({ site, network }: Pick<Peer, 'site' | 'network'>, serve: () => void): () => void {
    const waiting: Waiting = { site, place: undefined, serve }
    waiting.place = this.waiting.add(waiting, site, network)
    this.comeSoon()
    return () => this.leave(waiting)
  }

  private leave(waiting: Waiting): void {
    if (waiting.place !== undefined) this.waiting.remove(waiting.place)
    waiting.place = undefined
  }

  private comeSoon(): void {
    if (this.isTurnAwaited) return
    this.isTurnAwaited = true
    setImmediate(() => this.takeTurn())
  }

  private takeTurn(): void {
    this.isTurnAwaited = false
    const hadLess = (site: string, other: string): boolean => this.hadBy(site) < this.hadBy(other)
    const next = this.waiting.takeTurn(this.waiting.siteCount, hadLess)
    if (next === undefined) return
    this.leave(next)
    this.count(next.site)
    if (this.waiting.size > 0) this.comeSoon()
    next.serve()
  }

  private hadBy(site: string): number {
    return this.had.get(site) ?? 0
  }

  private count(site: string): void {
    this.had.set(site, this.hadBy(site) + 1)
    this.hadCount++
    if (this.hadCount < HALF_LIFE_TURNS) return
    this.hadCount = 0
    for (const [each, count] of this.had) {
      if (count > 1) this.had.set(each, count >>> 1)
      else this.had.delete(each)
    }
  }
}
