/**
 * What requests that have not come whole may hold in the process, over all workers. Where one is refused for want of room,
 * those that come too slowly give way for a second (connection/wanted-room.ts).
 *
 * Invariants: what strangers hold is apart from what clients need: neither takes room from the other. Namespaces
 * share the clients' room (connection/namespace-shares.ts), and each share has room for one request of the largest item.
 */
import { NamespaceShares } from '../../connection/namespace-shares.ts'
import { sumCounter } from '../../observe/counters.ts'
import type { WorkerSettings } from './worker-messages.ts'

const MEBIBYTE = 1024 * 1024
/**
 * What unfinished requests of clients that are logged in hold in the process, or two of the largest item
 * if that is more.
 */
const UNFINISHED_BYTES_MAX = 64 * MEBIBYTE
/** What all others hold of theirs, or four times the largest request before login if that is more. */
const STRANGER_BYTES_MAX = 32 * MEBIBYTE
/** Of a request around the value: its line or header, and the key. */
const AROUND_VALUE_BYTES = 4096

export class UnfinishedBudget {
  private readonly settings: Pick<WorkerSettings, 'counters'>
  private readonly shares: NamespaceShares
  private readonly strangerBytesMax: number

  /** `namespaceCount`: with the default one. */
  constructor(
    settings: Pick<
      WorkerSettings,
      'counters' | 'unfinished' | 'workerIndex' | 'valueBytesMax' | 'saslBytesMax'
    >,
    namespaceCount: () => number,
  ) {
    this.settings = settings
    // Smaller ones may take a block of 1 MiB (receive-buffer.ts).
    const requestBytesMax = Math.max(MEBIBYTE, settings.valueBytesMax + AROUND_VALUE_BYTES)
    this.shares = new NamespaceShares({
      lanes: settings.unfinished,
      workerIndex: settings.workerIndex,
      commonBytes: Math.max(UNFINISHED_BYTES_MAX / 2, requestBytesMax),
      shareBytesMin: requestBytesMax,
      namespaceCount,
    })
    this.strangerBytesMax = Math.max(STRANGER_BYTES_MAX, 4 * settings.saslBytesMax)
  }

  /** Whether there is room for so many bytes more. A client for whom there is none is refused. */
  hasRoomFor(bytes: number, isLoggedIn: boolean, namespace: number): boolean {
    const { shares } = this
    if (isLoggedIn) {
      const hasRoom = shares.hasRoomFor(bytes, namespace, 1)
      if (!hasRoom) shares.wanted.refused(bytes, namespace)
      return hasRoom
    }
    const strangerBytes = sumCounter(this.settings.counters, 'unauthenticated_buf_bytes')
    return strangerBytes + bytes <= this.strangerBytesMax
  }

  /** What the clients of a namespace hold has changed by so many bytes. */
  count(namespace: number, change: number): void {
    this.shares.count(namespace, change)
  }

  /** A value that was on its way into a namespace's store was refused for want of room there. */
  refuseArriving(namespace: number): void {
    this.shares.wantedInStores.refused(1, namespace)
  }

  /** Looks at who was refused, on all workers; to be called ten times a second. */
  look(nowMs: number): void {
    this.shares.wanted.look(nowMs)
    this.shares.wantedInStores.look(nowMs)
  }

  /** Whether others lack what the slow clients of a namespace hold: here, or in its store. */
  isWantedOf(namespace: number, isInStore: boolean): boolean {
    const { wanted, wantedInStores } = this.shares
    return (isInStore ? wantedInStores : wanted).isWantedOf(namespace)
  }
}
