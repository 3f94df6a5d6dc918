/**
 * The watchers among one worker's connections: who watches what, and the lines on their way to them.
 * The events come from all workers (observe/watch-log.ts).
 *
 * Invariant: what waits to be sent to a watcher is at most `bufferBytesMax`. A line that does not
 * fit any more is dropped and counted; the next that does is preceded by `skipped=<count>`. So a
 * watcher that does not read costs that much and no more, for as long as it stays, as in memcached.
 */
import { NAMESPACE_DEFAULT } from '../credential/principal.ts'
import { COUNTER } from '../observe/counters.ts'
import { watchLine } from '../observe/watch-line.ts'
import type { WatchLog, WatchRecord } from '../observe/watch-log.ts'
import { connectionTag } from '../sasl/key-tag.ts'
import type { Connection } from './connection.ts'

export interface WatchersOptions {
  readonly log: WatchLog
  readonly lane: Float64Array
  /** Of all threads (connectionTag). */
  readonly secret: Uint8Array
  /** `-o watcher_logbuf_size`. */
  readonly bufferBytesMax: number
  /** The first watcher has come, or the last has gone: `drain` is to be called regularly, or not. */
  readonly onActiveChanged: (isActive: boolean) => void
}

interface Watcher {
  readonly kinds: number
  /** Whose events it sees. */
  readonly namespace: number
  /** Whose user it is, and whose place it has. */
  readonly ownNamespace: number
  /** How many of its events there were, which number them outside of the default namespace. */
  seenCount: number
  /** Events up to this one were before its time. */
  readonly lastEventId: number
  lines: string
  skippedCount: number
}

const OK = Buffer.from('OK\r\n')

export class Watchers {
  /** True while there are watchers. */
  isActive = false

  private readonly options: WatchersOptions
  private readonly watchers: Map<Connection, Watcher> = new Map()
  /** Made once: a drain allocates nothing but the lines. */
  private readonly take: (record: WatchRecord) => void = (record) => this.offer(record)

  constructor(options: WatchersOptions) {
    this.options = options
  }

  /** Makes a watcher of the connection, which then takes no more commands; false: too many. */
  add(connection: Connection, kinds: number, namespace: number): boolean {
    const { log } = this.options
    const ownNamespace = connection.gate.namespace
    if (!log.takePlace(ownNamespace)) return false
    this.drain()
    if (!connection.watch()) {
      log.givePlaceBack(ownNamespace)
      return true
    }
    const lastEventId = log.lastEventId()
    const counts = { seenCount: 0, skippedCount: 0 }
    const watcher = { kinds, namespace, ownNamespace, lastEventId, lines: '', ...counts }
    this.watchers.set(connection, watcher)
    this.changed()
    // Not before all threads find it in the shared memory: whoever knows of it may be on another one.
    connection.push(OK)
    return true
  }

  /** The connection is gone; does nothing if it was no watcher. */
  remove(connection: Connection): void {
    const watcher = this.watchers.get(connection)
    if (watcher === undefined) return
    this.watchers.delete(connection)
    this.options.log.givePlaceBack(watcher.ownNamespace)
    this.changed()
  }

  /** Sends what has happened. Goes past the send buffer, so it may be called within a turn. */
  drain(): void {
    if (!this.isActive) return
    this.options.log.drain(this.take)
    for (const [connection, watcher] of this.watchers) {
      if (watcher.lines === '') continue
      connection.push(Buffer.from(watcher.lines, 'latin1'))
      watcher.lines = ''
    }
  }

  private offer(record: WatchRecord): void {
    const { eventId, connectionId } = record
    for (const [connection, watcher] of this.watchers) {
      if (watcher.namespace !== record.namespace) continue
      if ((watcher.kinds & record.kind) === 0 || eventId <= watcher.lastEventId) continue
      watcher.seenCount++
      record.eventId = watcher.namespace === NAMESPACE_DEFAULT ? eventId : watcher.seenCount
      // Numbers over all connections would tell a tenant of other namespaces.
      const isTenant = watcher.ownNamespace !== NAMESPACE_DEFAULT
      record.connectionId = isTenant ? this.tagOf(record, connectionId) : connectionId
      this.append(connection, watcher, watchLine(record))
    }
  }

  private tagOf({ namespace }: WatchRecord, connectionId: number): number {
    return connectionTag(this.options.secret, namespace, connectionId)
  }

  private append(connection: Connection, watcher: Watcher, line: string): void {
    const { lane, bufferBytesMax } = this.options
    const notice = watcher.skippedCount === 0 ? '' : `skipped=${watcher.skippedCount}\n`
    const waiting = connection.transport.unsentBytes + watcher.lines.length
    if (waiting + notice.length + line.length > bufferBytesMax) {
      watcher.skippedCount++
      lane[COUNTER.log_watcher_skipped]!++
      return
    }
    watcher.skippedCount = 0
    watcher.lines += notice + line
    lane[COUNTER.log_watcher_sent]!++
  }

  private changed(): void {
    let kinds = 0
    const namespaces = new Set<number>()
    for (const watcher of this.watchers.values()) {
      kinds |= watcher.kinds
      namespaces.add(watcher.namespace)
    }
    this.options.log.want(kinds, namespaces)
    const isActive = this.watchers.size > 0
    if (isActive === this.isActive) return
    this.isActive = isActive
    this.options.onActiveChanged(isActive)
  }
}
