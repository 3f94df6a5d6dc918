/**
 * The connections of all workers, for `stats conns`: one row each in shared memory.
 *
 *     0     4       8               12          16
 *     | id  | state | last activity | socket    | peer: length, then at most 111 bytes of text |
 *
 * Invariant: a row belongs to the worker that took it, until it is given back; `id` is 0 in a row
 * that nobody has. Taking, giving back and reading happen under one lock, a row at a time. State and
 * last activity are as of the worker's last tick. Connections beyond the table's size are not shown.
 */
import { acquire, release } from '../storage/lock.ts'

const LOCK_WORD = 0
const FREE_ROW_WORD = 1
const ROWS_USED_WORD = 2
const HEADER_WORDS = 16

const ROW_WORDS = 32
const ID = 0
const STATE = 1
const ACTIVITY_SECONDS = 2
const SOCKET = 3
/** In a free row, the next free one. */
const NEXT_FREE = 1
const PEER_LENGTH_OFFSET = 16
const PEER_OFFSET = 17
const PEER_BYTES_MAX = ROW_WORDS * 4 - PEER_OFFSET

export interface ConnectionTableMemory {
  readonly buffer: SharedArrayBuffer
  readonly rowCount: number
}

export function createConnectionTableMemory(connectionsMax: number): ConnectionTableMemory {
  const words = HEADER_WORDS + connectionsMax * ROW_WORDS
  return { buffer: new SharedArrayBuffer(words * 4), rowCount: connectionsMax }
}

/** What a row tells. */
export interface ConnectionRow {
  readonly id: number
  /** A number that the workers agree on. */
  readonly state: number
  readonly activitySeconds: number
  /** Index of the socket that it came in on. */
  readonly socketIndex: number
  readonly peer: string
}

/** No row: the table is full. */
export const NO_ROW = 0

export class ConnectionTable {
  private readonly words: Int32Array
  private readonly bytes: Buffer
  private readonly rowCount: number

  constructor(memory: ConnectionTableMemory) {
    this.words = new Int32Array(memory.buffer)
    this.bytes = Buffer.from(memory.buffer)
    this.rowCount = memory.rowCount
  }

  /** Takes a row; returns its number, or NO_ROW. */
  add(connection: ConnectionRow): number {
    const { words, bytes } = this
    acquire(words, LOCK_WORD)
    const row = this.takeRow()
    if (row !== NO_ROW) {
      const at = wordOf(row)
      words[at + STATE] = connection.state
      words[at + ACTIVITY_SECONDS] = connection.activitySeconds
      words[at + SOCKET] = connection.socketIndex
      const length = bytes.write(connection.peer, at * 4 + PEER_OFFSET, PEER_BYTES_MAX, 'latin1')
      bytes[at * 4 + PEER_LENGTH_OFFSET] = length
      words[at + ID] = connection.id
    }
    release(words, LOCK_WORD)
    return row
  }

  /** Only the worker that took the row may call this. */
  update(row: number, state: number, activitySeconds: number): void {
    if (row === NO_ROW) return
    const at = wordOf(row)
    this.words[at + STATE] = state
    this.words[at + ACTIVITY_SECONDS] = activitySeconds
  }

  remove(row: number): void {
    if (row === NO_ROW) return
    const { words } = this
    acquire(words, LOCK_WORD)
    words[wordOf(row) + ID] = 0
    words[wordOf(row) + NEXT_FREE] = words[FREE_ROW_WORD]!
    words[FREE_ROW_WORD] = row
    release(words, LOCK_WORD)
  }

  *rows(): Iterable<ConnectionRow> {
    const { words } = this
    for (let row = 1; row <= Atomics.load(words, ROWS_USED_WORD); row++) {
      if (Atomics.load(words, wordOf(row) + ID) === 0) continue
      acquire(words, LOCK_WORD)
      const found = this.read(row)
      release(words, LOCK_WORD)
      if (found.id !== 0) yield found
    }
  }

  private read(row: number): ConnectionRow {
    const { words, bytes } = this
    const at = wordOf(row)
    const start = at * 4 + PEER_OFFSET
    return {
      id: words[at + ID]!,
      state: words[at + STATE]!,
      activitySeconds: words[at + ACTIVITY_SECONDS]!,
      socketIndex: words[at + SOCKET]!,
      peer: bytes.toString('latin1', start, start + bytes[at * 4 + PEER_LENGTH_OFFSET]!),
    }
  }

  /** With the lock held. */
  private takeRow(): number {
    const { words } = this
    const free = words[FREE_ROW_WORD]!
    if (free !== NO_ROW) {
      words[FREE_ROW_WORD] = words[wordOf(free) + NEXT_FREE]!
      return free
    }
    const used = words[ROWS_USED_WORD]!
    if (used >= this.rowCount) return NO_ROW
    words[ROWS_USED_WORD] = used + 1
    return used + 1
  }
}

function wordOf(row: number): number {
  return HEADER_WORDS + (row - 1) * ROW_WORDS
}
