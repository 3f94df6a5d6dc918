/**
 * The connections of the HTTP listener, bounded over all and by site (an IPv4 address, an IPv6 /48). Who is
 * idle between two requests gives way to a newcomer, and where nobody is, who has not asked for longest:
 * strangers who connect and say nothing must not keep a probe out, and a probe asks at once. Who is served does
 * not give way.
 *
 * Invariant: there are never more than `max` of them, nor more than `perSiteMax` of one site.
 */
import type { Peer } from '../../base/peer.ts'

/** Of a socket, what is used of it here. */
export interface HttpConnection {
  destroy(): unknown
}

interface Place {
  readonly site: string
  /** Has not asked yet; waits for an answer; has been given its last one. */
  state: 'late' | 'served' | 'idle'
}

export interface HttpConnectionsOptions {
  readonly max: number
  readonly perSiteMax: number
}

export class HttpConnections<Connection extends HttpConnection> {
  private readonly options: HttpConnectionsOptions
  /** Those that have been idle, or late, for longest come first. */
  private readonly places: Map<Connection, Place> = new Map()
  private readonly counts: Map<string, number> = new Map()

  constructor(options: HttpConnectionsOptions) {
    this.options = options
  }

  get count(): number {
    return this.places.size
  }

  /** False, and there is no place for it: all are served. */
  admit(connection: Connection, { site }: Pick<Peer, 'site'>): boolean {
    const { max, perSiteMax } = this.options
    if ((this.counts.get(site) ?? 0) >= perSiteMax && !this.evict(site)) return false
    if (this.places.size >= max && !this.evict(undefined)) return false
    this.places.set(connection, { site, state: 'late' })
    this.counts.set(site, (this.counts.get(site) ?? 0) + 1)
    return true
  }

  asked(connection: Connection): void {
    const place = this.places.get(connection)
    if (place !== undefined) place.state = 'served'
  }

  answered(connection: Connection): void {
    const place = this.places.get(connection)
    if (place === undefined) return
    place.state = 'idle'
    this.places.delete(connection)
    this.places.set(connection, place)
  }

  remove(connection: Connection): void {
    const place = this.places.get(connection)
    if (place === undefined) return
    this.places.delete(connection)
    const count = (this.counts.get(place.site) ?? 0) - 1
    if (count > 0) this.counts.set(place.site, count)
    else this.counts.delete(place.site)
  }

  destroyAll(): void {
    for (const connection of [...this.places.keys()]) {
      this.remove(connection)
      connection.destroy()
    }
  }

  /** Closes who has been idle for longest, or else late, of all or of one site; false if nobody is. */
  private evict(site: string | undefined): boolean {
    for (const state of ['idle', 'late'] as const) {
      for (const [connection, place] of this.places) {
        if (place.state !== state || (site !== undefined && place.site !== site)) continue
        this.remove(connection)
        connection.destroy()
        return true
      }
    }
    return false
  }
}
