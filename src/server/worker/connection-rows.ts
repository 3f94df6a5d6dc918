/**
 * One worker's rows of the connection table, which it keeps, and the whole table as `stats conns` shows
 * it to whoever asks this worker.
 */
import type { Clock } from '../../base/clock.ts'
import type { ConnectionFacts, ConnectionSource } from '../../command/operations/stats.ts'
import type { Connection } from '../../connection/connection.ts'
import { STATE_NAMES } from '../../connection/connection-state.ts'
import type { SharedSocket } from '../net/shared-socket.ts'
import {
  type ConnectionRow,
  ConnectionTable,
  type ConnectionTableMemory,
  NO_ROW,
} from './connection-table.ts'
import type { ThreadClock } from './thread-clock.ts'

export interface ConnectionRowsOptions {
  readonly memory: ConnectionTableMemory
  readonly sockets: readonly SharedSocket[]
  readonly clock: Clock
  readonly threadClock: Pick<ThreadClock, 'nowMs'>
}

export class ConnectionRows {
  private readonly options: ConnectionRowsOptions
  private readonly table: ConnectionTable
  /** Some listener speaks TLS. */
  private readonly hasTls: boolean
  /** Ours, by their rows; most of the rows may be those of other workers. */
  private readonly connectionIn: (Connection | undefined)[] = []

  constructor(options: ConnectionRowsOptions) {
    this.options = options
    this.table = new ConnectionTable(options.memory)
    this.hasTls = options.sockets.some(({ tls }) => tls !== undefined)
  }

  add(connection: Connection): void {
    const { peer, channel } = connection.transport
    connection.row = this.table.add({
      id: connection.id,
      state: STATE_NAMES.indexOf(connection.stateName),
      activitySeconds: this.activitySeconds(connection),
      socketIndex: channel.listenerIndex,
      peer: peer.text,
    })
    this.keep(connection.row, connection)
  }

  remove(connection: Connection): void {
    const { row } = connection
    connection.row = NO_ROW
    this.keep(row, undefined)
    this.table.remove(row)
  }

  private keep(row: number, connection: Connection | undefined): void {
    if (row === NO_ROW) return
    const { connectionIn } = this
    // Without holes the array stays one, however far rows are apart.
    while (connectionIn.length <= row) connectionIn.push(undefined)
    connectionIn[row] = connection
  }

  /** Brings our rows up to date, for the other workers. */
  publish(): void {
    for (const [row, connection] of this.connectionIn.entries()) {
      if (connection !== undefined) this.update(row, connection)
    }
  }

  /** The listening sockets, then the connections. */
  list(): ConnectionSource {
    const walk = this.table.walk((row) => {
      const connection = this.connectionIn[row]
      if (connection !== undefined) this.update(row, connection)
    })
    let sockets: readonly ConnectionFacts[] | undefined = this.listSockets()
    return {
      next: () => {
        const facts = sockets ?? walk.next()?.map((row) => this.factsOf(row))
        sockets = undefined
        return facts
      },
    }
  }

  private update(row: number, connection: Connection): void {
    const state = STATE_NAMES.indexOf(connection.stateName)
    this.table.update(row, state, this.activitySeconds(connection))
  }

  /** When a client was last heard of, on the clock that all workers share. */
  private activitySeconds(connection: Connection): number {
    return this.options.clock.epochSeconds(connection.lastActivityMs)
  }

  private listSockets(): readonly ConnectionFacts[] {
    const { sockets, clock, threadClock } = this.options
    return sockets.map(({ address, tls }, index) => {
      const name = this.shownAddress(address.text)
      return {
        id: index + 1,
        peer: name,
        listenAddress: name,
        state: 'conn_listening',
        isTls: this.hasTls ? tls !== undefined : undefined,
        idleSeconds: clock.uptimeSeconds(threadClock.nowMs()),
      }
    })
  }

  private factsOf(row: ConnectionRow): ConnectionFacts {
    const { sockets, clock, threadClock } = this.options
    const nowSeconds = clock.epochSeconds(threadClock.nowMs())
    return {
      id: row.id,
      peer: this.shownAddress(row.peer),
      listenAddress: this.shownAddress(sockets[row.socketIndex]?.address.text ?? ''),
      state: STATE_NAMES[row.state] ?? '',
      isTls: this.hasTls ? sockets[row.socketIndex]?.tls !== undefined : undefined,
      idleSeconds: Math.max(0, nowSeconds - row.activitySeconds),
    }
  }

  /** An address in the words of `stats conns`: `tcp:`, `tcp6:` or `unix:` in front. */
  private shownAddress(address: string): string {
    if (this.options.sockets[0]?.address.family === 'unix') {
      return address === 'unix' ? address : `unix:${address}`
    }
    return address.startsWith('[') ? `tcp6:${address}` : `tcp:${address}`
  }
}
