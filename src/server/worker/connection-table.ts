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
import { acquire, release } from '../../base/lock.ts'

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

/** Rows that are looked at, and rows that are shown, in one step of a walk. */
const LOOKED_AT_PER_STEP = 8192
const SHOWN_PER_STEP = 32
/** Rows whose order a walk knows at a time. */
const ORDERED_MAX = 512

export class ConnectionTable {
  private readonly words: Int32Array
  private readonly bytes: Buffer
  readonly rowCount: number

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

  /** Goes through all connections that are there now; `refresh` brings a row that is read up to date. */
  walk(refresh: (row: number) => void): ConnectionWalk {
    return new ConnectionWalk(this, refresh)
  }

  /** Rows that were ever taken. */
  get rowsUsed(): number {
    return Atomics.load(this.words, ROWS_USED_WORD)
  }

  /** The id in a row, as it may have been a moment ago; 0 if nobody has it. */
  idOf(row: number): number {
    return this.words[wordOf(row) + ID]!
  }

  read(row: number): ConnectionRow {
    acquire(this.words, LOCK_WORD)
    const found = this.readLocked(row)
    release(this.words, LOCK_WORD)
    return found
  }

  private readLocked(row: number): ConnectionRow {
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

/**
 * A walk through the table in the order of the ids, in steps of bounded work and with memory for
 * ORDERED_MAX rows, however many there are: it goes over the table once for each so many, and takes
 * those with the lowest ids above the last that was shown. A row is read when its turn comes. Who
 * comes after the first pass is not shown, for ids rise; who leaves before its turn is not, either.
 */
export class ConnectionWalk {
  private readonly table: ConnectionTable
  private readonly refresh: (row: number) => void
  /** Rows by id: `id * rowFactor + row`. The lower part is in order when it is shown. */
  private readonly candidates: Float64Array = new Float64Array(2 * ORDERED_MAX)
  private readonly rowFactor: number
  private candidateCount = 0
  /** Of those there are ORDERED_MAX lower ones already. */
  private idLimit = Number.POSITIVE_INFINITY
  /** The next row that this pass looks at; 0 while rows are shown. */
  private row = 1
  private shownCount = 0
  private lastId = Number.NEGATIVE_INFINITY
  /** The highest id of the first pass. */
  private idMax = Number.NEGATIVE_INFINITY
  private isFirstPass = true

  constructor(table: ConnectionTable, refresh: (row: number) => void) {
    this.table = table
    this.refresh = refresh
    this.rowFactor = table.rowCount + 1
  }

  /** The next rows, maybe none; undefined after the last. */
  next(): readonly ConnectionRow[] | undefined {
    if (this.row > 0) {
      this.look()
      return []
    }
    if (this.shownCount < this.candidateCount) return this.show()
    // Fewer than it could keep: there are no more.
    if (this.candidateCount < ORDERED_MAX) return undefined
    this.candidateCount = 0
    this.shownCount = 0
    this.idLimit = Number.POSITIVE_INFINITY
    this.row = 1
    return []
  }

  /** Goes on with the pass over the table. Sorting takes as long as all else, so it ends the step. */
  private look(): void {
    const { table, candidates, rowFactor } = this
    const { rowsUsed } = table
    const end = Math.min(this.row + LOOKED_AT_PER_STEP, rowsUsed + 1)
    for (; this.row < end; this.row++) {
      const id = table.idOf(this.row)
      if (id === 0) continue
      if (this.isFirstPass) this.idMax = Math.max(this.idMax, id)
      if (id <= this.lastId || id >= this.idLimit || id > this.idMax) continue
      candidates[this.candidateCount++] = id * rowFactor + this.row
      if (this.candidateCount < candidates.length) continue
      this.keepLowest()
      this.row++
      return
    }
    if (this.row <= rowsUsed) return
    this.keepLowest()
    this.isFirstPass = false
    this.row = 0
  }

  private keepLowest(): void {
    this.candidates.subarray(0, this.candidateCount).sort()
    if (this.candidateCount < ORDERED_MAX) return
    this.candidateCount = ORDERED_MAX
    this.idLimit = Math.floor(this.candidates[ORDERED_MAX - 1]! / this.rowFactor)
  }

  private show(): readonly ConnectionRow[] {
    const { table, candidates, rowFactor } = this
    const rows: ConnectionRow[] = []
    const end = Math.min(this.shownCount + SHOWN_PER_STEP, this.candidateCount)
    for (; this.shownCount < end; this.shownCount++) {
      const candidate = candidates[this.shownCount]!
      this.lastId = Math.floor(candidate / rowFactor)
      const row = candidate - this.lastId * rowFactor
      this.refresh(row)
      const found = table.read(row)
      if (found.id === this.lastId) rows.push(found)
    }
    return rows
  }
}
