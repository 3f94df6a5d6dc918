/**
 * What requests that have not come whole may hold in the process, over all workers.
 *
 * Invariants: what strangers hold is apart from what clients need: neither takes room from the other. Namespaces
 * share the clients' room (base/share.ts), and each share has room for one request of the largest item.
 */
import { isWithinShare, type SharedBound } from '../../base/share.ts'
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
/** As many as a namespace's number can say. */
const NAMESPACE_IDS = 256

/** What the clients of each namespace hold. */
export function createUnfinishedMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(NAMESPACE_IDS * Int32Array.BYTES_PER_ELEMENT)
}

export class UnfinishedBudget {
  private readonly settings: Pick<WorkerSettings, 'counters' | 'unfinished'>
  private readonly bytesOf: Int32Array
  private readonly bound: SharedBound
  private readonly strangerBytesMax: number
  private readonly namespaceCount: () => number

  /** `namespaceCount`: with the default one. */
  constructor(
    settings: Pick<WorkerSettings, 'counters' | 'unfinished' | 'valueBytesMax' | 'saslBytesMax'>,
    namespaceCount: () => number,
  ) {
    this.settings = settings
    this.bytesOf = new Int32Array(settings.unfinished)
    // Smaller ones may take a block of 1 MiB (receive-buffer.ts).
    const requestBytesMax = Math.max(MEBIBYTE, settings.valueBytesMax + AROUND_VALUE_BYTES)
    const commonMax = Math.max(UNFINISHED_BYTES_MAX / 2, requestBytesMax)
    this.bound = { commonMax, shareMin: requestBytesMax }
    this.strangerBytesMax = Math.max(STRANGER_BYTES_MAX, 4 * settings.saslBytesMax)
    this.namespaceCount = namespaceCount
  }

  /** Whether there is room for so many bytes more. */
  hasRoomFor(bytes: number, isLoggedIn: boolean, namespace: number): boolean {
    const { counters } = this.settings
    const strangerBytes = sumCounter(counters, 'unauthenticated_buf_bytes')
    if (!isLoggedIn) return strangerBytes + bytes <= this.strangerBytesMax
    const allBytes = sumCounter(counters, 'read_buf_bytes') - strangerBytes
    const ownBytes = Atomics.load(this.bytesOf, namespace)
    return isWithinShare(ownBytes + bytes, allBytes + bytes, this.namespaceCount(), this.bound)
  }

  /** What the clients of a namespace hold has changed by so many bytes. */
  count(namespace: number, change: number): void {
    Atomics.add(this.bytesOf, namespace, change)
  }
}
