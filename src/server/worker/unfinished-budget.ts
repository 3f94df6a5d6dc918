/**
 * What requests that have not come whole may hold in the process, over all workers.
 *
 * Invariant: what strangers hold is apart from what clients need: neither takes room from the other.
 */
import { sumCounter } from '../../observe/counters.ts'
import type { WorkerSettings } from './worker-messages.ts'

const MEBIBYTE = 1024 * 1024
/**
 * What unfinished requests of clients that are logged in hold in the process, or twice the largest item
 * if that is more.
 */
const UNFINISHED_BYTES_MAX = 64 * MEBIBYTE
/** What all others hold of theirs, or four times the largest request before login if that is more. */
const STRANGER_BYTES_MAX = 32 * MEBIBYTE

/** Whether there is room for so many bytes more. */
export function unfinishedBudget(
  settings: Pick<WorkerSettings, 'counters' | 'valueBytesMax' | 'saslBytesMax'>,
): (bytes: number, isLoggedIn: boolean) => boolean {
  const { counters } = settings
  const unfinishedBytesMax = Math.max(UNFINISHED_BYTES_MAX, 2 * settings.valueBytesMax)
  const strangerBytesMax = Math.max(STRANGER_BYTES_MAX, 4 * settings.saslBytesMax)
  return (bytes, isLoggedIn) => {
    const strangerBytes = sumCounter(counters, 'unauthenticated_buf_bytes')
    if (!isLoggedIn) return strangerBytes + bytes <= strangerBytesMax
    const allBytes = sumCounter(counters, 'read_buf_bytes')
    return allBytes - strangerBytes + bytes <= unfinishedBytesMax
  }
}
