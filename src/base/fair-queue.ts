/**
 * A queue in which neither the order of coming alone decides who is next, nor how many connections
 * somebody sends, nor from how many sources of a site. What waits is listed three times, and each
 * operation takes the same time however long the queue is, but for `newestOfMost`.
 *
 *     all:      oldest ................................ newest
 *     sites:    A, B, C ... in turn     a site:   its sources, in turn     a source: oldest ... newest
 *
 * A site is whom sources belong to: the /48 of IPv6 /64s, and an IPv4 address that of its own. Both go by
 * names, as a Peer has them, or by numbers of source-counts.ts.
 *
 * Invariant: no site and no source that is listed is empty.
 */
import { Chain, type Link } from './chain.ts'

interface SourceLine<T, Id> {
  readonly id: Id
  readonly site: SiteLine<T, Id>
  readonly values: Chain<T>
  link: Link<SourceLine<T, Id>> | undefined
}

interface SiteLine<T, Id> {
  readonly id: Id
  readonly sources: Chain<SourceLine<T, Id>>
  /** Values of all its sources. */
  size: number
  link: Link<SiteLine<T, Id>> | undefined
}

/** Where a value stands in its queue. */
export interface Place<T, Id = number> {
  readonly source: SourceLine<T, Id>
  readonly inAll: Link<T>
  readonly inSource: Link<T>
}

export class FairQueue<T, Id = number> {
  private readonly all = new Chain<T>()
  private readonly sites = new Chain<SiteLine<T, Id>>()
  private readonly siteById = new Map<Id, SiteLine<T, Id>>()
  private readonly sourceById = new Map<Id, SourceLine<T, Id>>()

  get size(): number {
    return this.all.size
  }

  get siteCount(): number {
    return this.sites.size
  }

  /** Whoever adds a value keeps its place, to remove it. */
  add(value: T, site: Id, source: Id): Place<T, Id> {
    const line = this.sourceById.get(source) ?? this.listSource(site, source)
    const inAll = this.all.append(value)
    line.site.size++
    return { source: line, inAll, inSource: line.values.append(value) }
  }

  /** `place` must be of this queue, and is of none afterwards. */
  remove(place: Place<T, Id>): void {
    this.all.remove(place.inAll)
    const { source } = place
    const { site } = source
    source.values.remove(place.inSource)
    site.size--
    if (source.values.size > 0 || source.link === undefined) return
    site.sources.remove(source.link)
    this.sourceById.delete(source.id)
    if (site.sources.size > 0 || site.link === undefined) return
    this.sites.remove(site.link)
    this.siteById.delete(site.id)
  }

  get oldest(): T | undefined {
    return this.all.first?.value
  }

  oldestOf(source: Id): T | undefined {
    return this.sourceById.get(source)?.values.first?.value
  }

  newestOf(source: Id): T | undefined {
    return this.sourceById.get(source)?.values.last?.value
  }

  /**
   * Of the site that has most here, and in it of the source that has most: the newest. Of those that have
   * equally many, the one whose turn comes last. Looks at each site.
   */
  newestOfMost(): T | undefined {
    const site = mostOf(this.sites, ({ size }) => size)
    const source =
      site === undefined ? undefined : mostOf(site.sources, ({ values }) => values.size)
    return source?.values.last?.value
  }

  /** Up to `lookMax`, the oldest first. */
  *eachOf(source: Id, lookMax: number): Iterable<T> {
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
   * or the first. Its turn, and that of its source, is over with this call; its place is not given up.
   */
  takeTurn(lookMax = 1, precedes: (site: Id, other: Id) => boolean = () => false): T | undefined {
    let chosen = this.sites.first
    let link = chosen
    for (let look = 0; look < lookMax && link !== undefined && chosen !== undefined; look++) {
      if (precedes(link.value.id, chosen.value.id)) chosen = link
      link = link.next
    }
    if (chosen === undefined) return undefined
    return this.takeTurnOf(chosen)?.values.first?.value
  }

  /**
   * As `takeTurn`, and whoever had it comes last of its source from now on, so that all of them have turns while they keep their
   * places. In such a queue `oldestOf` and `newestOf` do not go by who came first.
   */
  rotate(): T | undefined {
    const { first: site } = this.sites
    const values = site === undefined ? undefined : this.takeTurnOf(site)?.values
    const link = values?.first
    if (values !== undefined && link !== undefined) values.moveToEnd(link)
    return link?.value
  }

  /** The source of `site` whose turn it was. */
  private takeTurnOf(site: Link<SiteLine<T, Id>>): SourceLine<T, Id> | undefined {
    this.sites.moveToEnd(site)
    const { sources } = site.value
    const source = sources.first
    if (source !== undefined) sources.moveToEnd(source)
    return source?.value
  }

  private listSource(site: Id, source: Id): SourceLine<T, Id> {
    let siteLine = this.siteById.get(site)
    if (siteLine === undefined) {
      siteLine = { id: site, sources: new Chain(), size: 0, link: undefined }
      siteLine.link = this.sites.append(siteLine)
      this.siteById.set(site, siteLine)
    }
    const values = new Chain<T>()
    const line: SourceLine<T, Id> = { id: source, site: siteLine, values, link: undefined }
    line.link = siteLine.sources.append(line)
    this.sourceById.set(source, line)
    return line
  }
}

function mostOf<V>(chain: Chain<V>, sizeOf: (value: V) => number): V | undefined {
  let most = chain.first
  for (let link = most; link !== undefined && most !== undefined; link = link.next) {
    if (sizeOf(link.value) >= sizeOf(most.value)) most = link
  }
  return most?.value
}
