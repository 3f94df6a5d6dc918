/**
 * The watchers among one worker's connections: who watches what, and the lines on their way to them.
 * The events come from all workers (observe/watch-log.ts).
 *
 * Invariant: what waits to be sent to a watcher is at most `bufferBytesMax`. A line that does not
 * fit any more is dropped and counted; the next that does is preceded by `skipped=<count>`. So a
 * watcher that does not read costs that much and no more, for as long as it stays, as in memcached.
 * Whether a line may fit is asked before it is written, and it is written once for all who see it.
 */
import { NAMESPACE_DEFAULT } from '../credential/principal.ts'
import { COUNTER } from '../observe/counters.ts'
import { lineBegin, lineBytesMin, lineEnd } from '../observe/watch-line.ts'
import type { WatchLog, WatchRecord } from '../observe/watch-log.ts'
import { ConnectionTags } from '../sasl/key-tag.ts'
import type { Connection } from './connection.ts'

export interface WatchersOptions {
  readonly log: WatchLog
  readonly lane: Float64Array
  /** Of all threads (ConnectionTags). */
  readonly secret: Uint8Array
  /** `-o watcher_logbuf_size`. */
  readonly bufferBytesMax: number
  /** The first watcher has come, or the last has gone: `drain` is to be called regularly, or not. */
  readonly onActiveChanged: (isActive: boolean) => void
  /** Calls `run` when what has arrived meanwhile was looked at. */
  readonly soon: (run: () => void) => void
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
  /** What it may be sent in this drain, in which nothing is sent yet; UNKNOWN until it is asked for. */
  roomBytes: number
}

const UNKNOWN = -1
const OK = Buffer.from('OK\r\n')

export class Watchers {
  /** True while there are watchers. */
  isActive = false

  private readonly options: WatchersOptions
  private readonly watchers: Map<Connection, Watcher> = new Map()
  /** Made once: a drain allocates nothing but the lines. */
  private readonly take: (record: WatchRecord) => void = (record) => this.offer(record)
  private readonly goOn: () => void = () => {
    this.goesOn = false
    this.drain()
  }
  private readonly tags: ConnectionTags
  /** A drain is to come that takes what one before it has left. */
  private goesOn = false
  /** The line of the record that is offered, as far as somebody had room for it; the end as a tenant is told it, too. */
  private begin = ''
  private end = ''
  private tenantEnd = ''

  constructor(options: WatchersOptions) {
    this.options = options
    this.tags = new ConnectionTags(options.secret)
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
    const counts = { seenCount: 0, skippedCount: 0, roomBytes: UNKNOWN }
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

  /**
   * Sends what has happened, a portion of it at once: the rest comes soon. Goes past the send buffer, so it may
   * be called within a turn.
   */
  drain(): void {
    if (!this.isActive) return
    const isAll = this.options.log.drain(this.take)
    if (!isAll && !this.goesOn) {
      this.goesOn = true
      this.options.soon(this.goOn)
    }
    for (const [connection, watcher] of this.watchers) {
      watcher.roomBytes = UNKNOWN
      if (watcher.lines === '') continue
      connection.push(Buffer.from(watcher.lines, 'latin1'))
      watcher.lines = ''
    }
  }

  private offer(record: WatchRecord): void {
    const { eventId } = record
    const bytesMin = lineBytesMin(record)
    this.begin = ''
    this.end = ''
    this.tenantEnd = ''
    for (const [connection, watcher] of this.watchers) {
      if (watcher.namespace !== record.namespace) continue
      if ((watcher.kinds & record.kind) === 0 || eventId <= watcher.lastEventId) continue
      watcher.seenCount++
      if (watcher.roomBytes === UNKNOWN) {
        watcher.roomBytes = this.options.bufferBytesMax - connection.transport.unsentBytes
      }
      if (watcher.lines.length + bytesMin > watcher.roomBytes) this.skip(watcher)
      else this.append(watcher, this.lineFor(watcher, record))
    }
  }

  private lineFor(watcher: Watcher, record: WatchRecord): string {
    if (this.begin === '') this.begin = lineBegin(record)
    const number = watcher.namespace === NAMESPACE_DEFAULT ? record.eventId : watcher.seenCount
    return `${this.begin}${number}${this.endFor(watcher, record)}`
  }

  private endFor(watcher: Watcher, record: WatchRecord): string {
    const { namespace, connectionId } = record
    if (watcher.ownNamespace === NAMESPACE_DEFAULT) {
      if (this.end === '') this.end = lineEnd(record, connectionId)
      return this.end
    }
    // Numbers over all connections would tell a tenant of other namespaces.
    if (this.tenantEnd === '') {
      this.tenantEnd = lineEnd(record, this.tags.of(namespace, connectionId))
    }
    return this.tenantEnd
  }

  private append(watcher: Watcher, line: string): void {
    const notice = watcher.skippedCount === 0 ? '' : `skipped=${watcher.skippedCount}\n`
    if (watcher.lines.length + notice.length + line.length > watcher.roomBytes) {
      this.skip(watcher)
      return
    }
    watcher.skippedCount = 0
    watcher.lines += notice + line
    this.options.lane[COUNTER.log_watcher_sent]!++
  }

  private skip(watcher: Watcher): void {
    watcher.skippedCount++
    this.options.lane[COUNTER.log_watcher_skipped]!++
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
    if (!isActive) this.tags.clear()
    this.options.onActiveChanged(isActive)
  }
}
