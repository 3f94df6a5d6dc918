/**
 * A queue in which neither the order of coming alone decides who is next, nor how many connections
 * somebody sends. What waits is listed three times, and each operation takes the same time however
 * long the queue is.
 *
 *     all:      oldest ................................ newest
 *     sites:    A, B, C ... in turn     a site:   its sources, in turn     a source: oldest ... newest
 *
 * Sites and sources are numbers of source-counts.ts. Invariant: no site and no source that is listed
 * is empty.
 */
import { Chain, type Link } from '../../base/chain.ts'

interface SourceLine<T> {
  readonly id: number
  readonly site: SiteLine<T>
  readonly values: Chain<T>
  link: Link<SourceLine<T>> | undefined
}

interface SiteLine<T> {
  readonly id: number
  readonly sources: Chain<SourceLine<T>>
  link: Link<SiteLine<T>> | undefined
}

/** Where a value stands in its queue. */
export interface Place<T> {
  readonly source: SourceLine<T>
  readonly inAll: Link<T>
  readonly inSource: Link<T>
}

export class FairQueue<T> {
  private readonly all = new Chain<T>()
  private readonly sites = new Chain<SiteLine<T>>()
  private readonly siteById = new Map<number, SiteLine<T>>()
  private readonly sourceById = new Map<number, SourceLine<T>>()

  get size(): number {
    return this.all.size
  }

  get siteCount(): number {
    return this.sites.size
  }

  /** Whoever adds a value keeps its place, to remove it. */
  add(value: T, site: number, source: number): Place<T> {
    const line = this.sourceById.get(source) ?? this.listSource(site, source)
    const inAll = this.all.append(value)
    return { source: line, inAll, inSource: line.values.append(value) }
  }

  /** `place` must be of this queue, and is of none afterwards. */
  remove(place: Place<T>): void {
    this.all.remove(place.inAll)
    const { source } = place
    source.values.remove(place.inSource)
    if (source.values.size > 0 || source.link === undefined) return
    const { site } = source
    site.sources.remove(source.link)
    this.sourceById.delete(source.id)
    if (site.sources.size > 0 || site.link === undefined) return
    this.sites.remove(site.link)
    this.siteById.delete(site.id)
  }

  get oldest(): T | undefined {
    return this.all.first?.value
  }

  oldestOf(source: number): T | undefined {
    return this.sourceById.get(source)?.values.first?.value
  }

  newestOf(source: number): T | undefined {
    return this.sourceById.get(source)?.values.last?.value
  }

  /** Up to `lookMax`, the oldest first. */
  *eachOf(source: number, lookMax: number): Iterable<T> {
    let link = this.sourceById.get(source)?.values.first
    for (let look = 0; look < lookMax && link !== undefined; look++) {
      yield link.value
      link = link.next
    }
  }

  /** Up to `lookMax`, the oldest first. */
  *each(lookMax: number): Iterable<T> {
    let link = this.all.first
    for (let look = 0; look < lookMax && link !== undefined; look++) {
      yield link.value
      link = link.next
    }
  }

  /**
   * Whose turn it is: of the next `lookMax` sites, the one that comes before the others by `precedes`,
   * or the first. Its turn, and that of its source, is over with this call.
   */
  takeTurn(lookMax: number, precedes: (site: number, other: number) => boolean): T | undefined {
    let chosen = this.sites.first
    let link = chosen
    for (let look = 0; look < lookMax && link !== undefined && chosen !== undefined; look++) {
      if (precedes(link.value.id, chosen.value.id)) chosen = link
      link = link.next
    }
    if (chosen === undefined) return undefined
    this.sites.moveToEnd(chosen)
    const { sources } = chosen.value
    const source = sources.first
    if (source === undefined) return undefined
    sources.moveToEnd(source)
    return source.value.values.first?.value
  }

  private listSource(site: number, source: number): SourceLine<T> {
    let siteLine = this.siteById.get(site)
    if (siteLine === undefined) {
      siteLine = { id: site, sources: new Chain(), link: undefined }
      siteLine.link = this.sites.append(siteLine)
      this.siteById.set(site, siteLine)
    }
    const line: SourceLine<T> = { id: source, site: siteLine, values: new Chain(), link: undefined }
    line.link = siteLine.sources.append(line)
    this.sourceById.set(source, line)
    return line
  }
}
