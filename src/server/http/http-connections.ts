/**
 * The connections of one address that HTTP is answered on, bounded over all and by site. Strangers who
 * hold places must not keep a probe out, whatever they hold them with: saying nothing, or not reading what
 * they are answered. Where all places are taken, one gives way to a newcomer, in this order:
 *
 *     idle      between two requests
 *     overdue   has not asked, or not taken its answer, for longer than OVERDUE_MS: a probe asks and reads at once
 *     late      has not asked
 *     served    only where its site has FAR more than the newcomer's
 *
 * Among equals it is one of the site that has most, and of that the first. But for the idle, none gives way to a
 * newcomer whose own site has more: strangers compete with each other for places, not with who has one or two.
 *
 * A site is an IPv4 address or an IPv6 /48 (base/source-network.ts). At its limit one of its own gives way, and
 * none that is served.
 *
 * Invariant: there are never more than `max` of them, nor more than `perSiteMax` of one site.
 */
import type { Peer } from '../../base/peer.ts'

/** Of a socket, what is used of it here. */
export interface HttpConnection {
  destroy(): unknown
}

/** Has not asked yet; waits for an answer, or has not taken all of it; has taken its last one. */
type State = 'late' | 'served' | 'idle'

interface Place {
  readonly site: string
  readonly state: State
  readonly sinceMs: number
}

export interface HttpConnectionsOptions {
  readonly max: number
  readonly perSiteMax: number
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
}

/** Who asks and reads without delay is through in less, over any network. */
const OVERDUE_MS = 1000
/** As for strangers of the workers (admission/stranger-places.ts): with one less, two sites would go in circles. */
const FAR = 2

/** The order in which they give way. */
const IDLE = 0
const OVERDUE = 1
const LATE = 2
const SERVED = 3

export class HttpConnections<Connection extends HttpConnection> {
  private readonly options: HttpConnectionsOptions
  /** Those that have been in their state for longest come first. */
  private readonly places: Map<Connection, Place> = new Map()
  private readonly sites: Counts = new Counts()

  constructor(options: HttpConnectionsOptions) {
    this.options = options
  }

  get count(): number {
    return this.places.size
  }

  /** False, and there is no place for it. */
  admit(connection: Connection, { site }: Pick<Peer, 'site'>): boolean {
    const { max, perSiteMax, nowMs } = this.options
    const isFull = this.sites.of(site) >= perSiteMax
    if (isFull && !this.evictFor(site, ({ site: other }) => other === site)) return false
    if (this.places.size >= max && !this.evictFor(site)) return false
    this.places.set(connection, { site, state: 'late', sinceMs: nowMs() })
    this.sites.add(site, 1)
    return true
  }

  /** Who asks again before it has taken an answer has been served since it asked first. */
  asked(connection: Connection): void {
    this.change(connection, 'served')
  }

  answered(connection: Connection): void {
    this.change(connection, 'idle')
  }

  remove(connection: Connection): void {
    const place = this.places.get(connection)
    if (place === undefined) return
    this.places.delete(connection)
    this.sites.add(place.site, -1)
  }

  destroyAll(): void {
    for (const connection of [...this.places.keys()]) {
      this.remove(connection)
      connection.destroy()
    }
  }

  private change(connection: Connection, state: State): void {
    const place = this.places.get(connection)
    if (place === undefined || place.state === state) return
    this.places.delete(connection)
    this.places.set(connection, { ...place, state, sinceMs: this.options.nowMs() })
  }

  /** Closes who gives way to a newcomer of `site`, among those that may; false if nobody does. */
  private evictFor(site: string, mayGo: (place: Place) => boolean = () => true): boolean {
    const overdueMs = this.options.nowMs() - OVERDUE_MS
    const newcomersCount = this.sites.of(site)
    let victim: Connection | undefined
    let first = Number.POSITIVE_INFINITY
    let most = 0
    for (const [connection, place] of this.places) {
      if (!mayGo(place)) continue
      const order = orderOf(place, overdueMs)
      const count = this.sites.of(place.site)
      if (order > first || (order === first && count <= most)) continue
      if (!givesWay(order, count, newcomersCount)) continue
      victim = connection
      first = order
      most = count
    }
    if (victim === undefined) return false
    this.remove(victim)
    victim.destroy()
    return true
  }
}

/** Whoever has been in its state since before `overdueMs` is overdue. */
function orderOf({ state, sinceMs }: Place, overdueMs: number): number {
  if (state === 'idle') return IDLE
  if (sinceMs < overdueMs) return OVERDUE
  return state === 'late' ? LATE : SERVED
}

/** `siteCount` and `newcomersCount`: how many its site has, and that of the newcomer. */
function givesWay(order: number, siteCount: number, newcomersCount: number): boolean {
  if (order === IDLE) return true
  return siteCount >= newcomersCount + (order === SERVED ? FAR : 0)
}

/** How many there are of a name; none that nobody has is kept. */
class Counts {
  private readonly counts: Map<string, number> = new Map()

  of(name: string): number {
    return this.counts.get(name) ?? 0
  }

  add(name: string, change: 1 | -1): void {
    const count = this.of(name) + change
    if (count > 0) this.counts.set(name, count)
    else this.counts.delete(name)
  }
}
