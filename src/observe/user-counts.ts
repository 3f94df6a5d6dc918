/**
 * What is counted of each user: a table of names in shared memory, which gives each a number, and a lane a
 * worker (shared-lanes.ts) with the counts of all numbers. The way of a request adds at the number that
 * its connection holds, and looks up nothing.
 *
 *   number 0   whoever is not logged in; not shown
 *          1   OTHER_USERS: all for whom there was no number
 *          2   the first user that logged in, and so on
 *
 * Invariants: only names that have logged in get a number, COUNTED_USERS_MAX in all, and they keep it; of those, names
 * that are no users here (which come with tokens and may be any number) get half. A name is complete in the
 * table before its number is given out.
 */
import { acquire, release } from '../base/lock.ts'
import type { MetricFamily, ValueSample } from './metric-family.ts'
import { createSharedLanes, type SharedLanes, sharedLane, sumSharedLanes } from './shared-lanes.ts'

/** Users that are counted one by one. */
export const COUNTED_USERS_MAX = 256
/** The label of all others. A user who is really called so is counted with them. */
export const OTHER_USERS = 'other'

export const NO_USER = 0
const OTHER = 1
const FIRST = 2
/** Of a name in UTF-8; who has a longer one is among the others. */
const NAME_BYTES_MAX = 255

const LOCK_WORD = 0
const COUNT_WORD = 1
const LENGTHS_WORD = 16
const NAMES_BYTE: number = 4 * (LENGTHS_WORD + COUNTED_USERS_MAX)

/** What is counted, as offsets from USER_SLOTS times the number. */
export const USER_REQUESTS = 0
export const USER_HITS = 1
export const USER_MISSES = 2
export const USER_BYTES_READ = 3
export const USER_BYTES_WRITTEN = 4
const USER_CONNECTIONS = 5
/** Doubles a user. */
export const USER_SLOTS = 8

export interface UserMemory {
  readonly names: SharedArrayBuffer
  readonly lanes: SharedLanes
}

export function createUserMemory(workerCount: number): UserMemory {
  return {
    names: new SharedArrayBuffer(NAMES_BYTE + COUNTED_USERS_MAX * NAME_BYTES_MAX),
    lanes: createSharedLanes(workerCount, (FIRST + COUNTED_USERS_MAX) * USER_SLOTS),
  }
}

/** One worker's view. */
export class UserCounts {
  readonly lane: Float64Array
  private readonly names: UserNames
  /** Numbers by name, as far as this worker has read the table. */
  private readonly numbers: Map<string, number> = new Map()
  private readCount = 0

  constructor(memory: UserMemory, workerIndex: number) {
    this.names = new UserNames(memory.names)
    this.lane = sharedLane(memory.lanes, workerIndex)
  }

  /** The number of who has logged in. `isGuest`: the name is no user's here. */
  numberOf(name: string, isGuest: boolean): number {
    if (name === OTHER_USERS) return OTHER
    const known = this.find(name)
    if (known !== undefined) return known
    if (this.readCount >= (isGuest ? COUNTED_USERS_MAX / 2 : COUNTED_USERS_MAX)) return OTHER
    const added = this.names.add(name)
    if (added < 0) return OTHER
    return this.find(name) ?? OTHER
  }

  /** A connection is another user's now. */
  move(from: number, to: number): void {
    this.lane[from * USER_SLOTS + USER_CONNECTIONS]!--
    this.lane[to * USER_SLOTS + USER_CONNECTIONS]!++
  }

  private find(name: string): number | undefined {
    const { names, numbers } = this
    for (const end = names.count; this.readCount < end; this.readCount++) {
      numbers.set(names.at(this.readCount), FIRST + this.readCount)
    }
    return numbers.get(name)
  }
}

class UserNames {
  private readonly words: Int32Array
  private readonly bytes: Uint8Array

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer, 0, LENGTHS_WORD + COUNTED_USERS_MAX)
    this.bytes = new Uint8Array(buffer, NAMES_BYTE)
  }

  get count(): number {
    return Atomics.load(this.words, COUNT_WORD)
  }

  at(index: number): string {
    const start = index * NAME_BYTES_MAX
    const length = this.words[LENGTHS_WORD + index]!
    return Buffer.from(this.bytes.slice(start, start + length)).toString('utf8')
  }

  /** Its place, unless there is none for it, or another worker has added it in between; then -1 or that. */
  add(name: string): number {
    const encoded = Buffer.from(name, 'utf8')
    if (encoded.length > NAME_BYTES_MAX) return -1
    const { words, bytes } = this
    acquire(words, LOCK_WORD)
    const count = words[COUNT_WORD]!
    let index = 0
    while (index < count && this.at(index) !== name) index++
    if (index === count && count < COUNTED_USERS_MAX) {
      bytes.set(encoded, index * NAME_BYTES_MAX)
      words[LENGTHS_WORD + index] = encoded.length
      Atomics.store(words, COUNT_WORD, count + 1)
    }
    release(words, LOCK_WORD)
    return index < COUNTED_USERS_MAX ? index : -1
  }
}

const FAMILIES = [
  ['user_requests', 'counter', USER_REQUESTS, 'Requests answered, by user.'],
  ['user_hits', 'counter', USER_HITS, 'Keys that were looked up and found, by user.'],
  ['user_misses', 'counter', USER_MISSES, 'Keys that were looked up and not found, by user.'],
  ['user_read_bytes', 'counter', USER_BYTES_READ, 'Bytes received, by user.'],
  ['user_written_bytes', 'counter', USER_BYTES_WRITTEN, 'Bytes sent in answers, by user.'],
  ['user_connections', 'gauge', USER_CONNECTIONS, 'Connections open now, by user.'],
] as const

/** Readable from any thread. */
export function userFamilies(memory: UserMemory): MetricFamily[] {
  const names = new UserNames(memory.names)
  return FAMILIES.map(([name, kind, slot, help]) => ({
    name,
    kind,
    help,
    samples: (): ValueSample[] => {
      const count = names.count
      const sums = sumSharedLanes(memory.lanes)
      const counted = (number: number): number => sums[number * USER_SLOTS + slot]!
      const users = Array.from({ length: count }, (_, index) => ({
        labels: { user: names.at(index) },
        value: counted(FIRST + index),
      }))
      // There is none where everybody is counted alone.
      const hasOthers = sums[OTHER * USER_SLOTS + USER_REQUESTS]! > 0
      return hasOthers
        ? [...users, { labels: { user: OTHER_USERS }, value: counted(OTHER) }]
        : users
    },
  }))
}
