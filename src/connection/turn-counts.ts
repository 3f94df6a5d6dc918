/**
 * Hot path. What a turn of a connection amounts to: its requests by dialect and verb, what they did for
 * which user, and how long they took. One object a worker, since one connection has its turn at a time.
 * A request adds to two numbers; all else is done once a turn, whose requests came with one read and whose
 * replies leave with one write.
 *
 * A time is that from the moment at which the worker began to look at a read that had the last byte of
 * the request until its reply has been handed to the socket:
 *
 *      read        request, request, request         write
 *   ----|--------------------------------------------|-----
 *       begin()    count()  count()  count()         end()
 *
 * So all requests of a turn took as long as the turn, which is what each of their senders waited for. What
 * is not answered in its turn goes on in later ones and is counted in the one that answers it, from
 * the first one on: a login, a long list, whoever gave its turn away. Not in it: what a request waited for
 * in the kernel while the worker served others, which the lag of its event loop tells of.
 *
 * A look at the clock between two reads takes as long as a fortieth of a request that comes alone. So of a busy worker
 * not every turn is timed: the first ones after each tick, and then one in some nine, chosen at random. It stands for those
 * before it: their requests are counted when one of the same verb is timed, with its time, or at the next tick. What
 * waited for another turn is always timed.
 *
 * Invariants: nothing is allocated a turn. Every request that is answered is counted once, in its histogram by the next
 * tick. Without `latencies` no clock is read.
 */
import { COUNTER } from '../observe/counters.ts'
import { HISTOGRAM_SLOTS, observe } from '../observe/power-histogram.ts'
import {
  USER_BYTES_READ,
  USER_BYTES_WRITTEN,
  USER_HITS,
  USER_MISSES,
  USER_REQUESTS,
  USER_SLOTS,
} from '../observe/user-counts.ts'
import { findVerb, hasVerb, META_VERBS, VERBS_MAX } from '../protocol/verbs.ts'

/** What is counted for each of its own is at `base` and its verb: a number for each verb there may be. */
export const BINARY_VERBS = 0
export const TEXT_VERBS: number = BINARY_VERBS + VERBS_MAX
/** Over both dialects. */
export const VERB_SLOTS: number = TEXT_VERBS + VERBS_MAX
/** A lane of `latencies`: a histogram for each of those. */
export const LATENCY_SLOTS: number = VERB_SLOTS * HISTOGRAM_SLOTS

/** Of a connection that waits for nothing. */
export const NOT_WAITING = -1
/** No request was counted. */
export const NO_REQUEST = -1

/** Of a turn that is not timed. */
const UNTIMED = -2
/** So many turns from a tick on are timed, whatever they are. */
export const TIMED_TURNS = 64
/** Later, up to so many are not behind each that is; a power of two less one. */
const UNTIMED_RUN_MAX = 15

const HITS = 0
const MISSES = 1
const WRITTEN = 2

export interface TurnCountsOptions {
  /** The worker's lane of counters. */
  readonly lane: Float64Array
  /** Its lane of what is counted by user. */
  readonly users: Float64Array
  /** Its lane of requests by dialect and verb, VERB_SLOTS long. */
  readonly requests: Float64Array
  /** Its lane of times; undefined: none are taken. */
  readonly latencies: Float64Array | undefined
  /** The lane of a namespace that counts what its requests found; undefined: it is no more. */
  readonly itemLane: (namespace: number) => Float64Array | undefined
  readonly nowMs: () => number
}

export class TurnCounts {
  /** When the turn began, or the first one of what it goes on with. */
  private startedMs: number = NOT_WAITING
  /** Of the turns until the next tick, how many are timed in any case; then, how many are not before the next that is. */
  private timedLeft = TIMED_TURNS
  private untimedLeft = 0
  private random = 1
  /** Requests of turns that were not timed, by slot; how many in all. */
  private readonly carried: Int32Array = new Int32Array(VERB_SLOTS)
  private carriedTotal = 0
  /** What the last turn took that was timed. */
  private lastMicros = 0
  private readonly options: TurnCountsOptions
  private readonly lane: Float64Array
  private readonly users: Float64Array
  private readonly counts: Int32Array = new Int32Array(VERB_SLOTS)
  private total = 0
  private last = 0
  private receivedBytes = 0
  /** What the lanes had counted when the turn began. */
  private readonly before: Float64Array = new Float64Array(3)
  private itemLane: Float64Array
  private namespace: number | undefined = undefined

  constructor(options: TurnCountsOptions) {
    this.options = options
    this.lane = options.lane
    this.users = options.users
    this.itemLane = options.lane
  }

  /** A turn begins. `sinceMs`: since when it waits for this one, or NOT_WAITING. */
  begin(namespace: number, sinceMs: number, receivedBytes: number): void {
    if (namespace !== this.namespace) this.enter(namespace)
    const { before, itemLane, options } = this
    this.receivedBytes = receivedBytes
    before[HITS] = itemLane[COUNTER.get_hits]!
    before[MISSES] = itemLane[COUNTER.get_misses]!
    before[WRITTEN] = this.lane[COUNTER.bytes_written]!
    if (options.latencies === undefined) return
    if (sinceMs >= 0) this.startedMs = sinceMs
    else this.startedMs = this.takesTime() ? options.nowMs() : UNTIMED
  }

  /** Whether the turn that begins is timed. */
  private takesTime(): boolean {
    if (this.timedLeft > 0) {
      this.timedLeft--
      return true
    }
    if (this.untimedLeft > 0) {
      this.untimedLeft--
      return false
    }
    // Xorshift: turns that come by turns must not be timed by turns.
    let { random } = this
    random ^= random << 13
    random ^= random >>> 17
    random ^= random << 5
    this.random = random
    this.untimedLeft = random & UNTIMED_RUN_MAX
    return true
  }

  /** Since when what this turn leaves for another one waits; NOT_WAITING where nobody asks. */
  get waitsSinceMs(): number {
    // A few microseconds late, which is nothing to what it goes on to wait for.
    if (this.startedMs === UNTIMED) this.startedMs = this.options.nowMs()
    return this.startedMs
  }

  /** To be called ten times a second: what was left untimed is counted as what took as long as the last turn that was timed. */
  tick(): void {
    const { carried, options, lastMicros } = this
    this.timedLeft = TIMED_TURNS
    if (this.carriedTotal === 0 || options.latencies === undefined) return
    this.carriedTotal = 0
    for (const [slot, times] of carried.entries()) {
      if (times > 0) observe(options.latencies, slot * HISTOGRAM_SLOTS, lastMicros, times)
    }
    carried.fill(0)
  }

  /** A namespace is no more; another may get its number. */
  forget(namespace: number): void {
    if (this.namespace === namespace) this.namespace = undefined
  }

  private enter(namespace: number): void {
    this.namespace = namespace
    this.itemLane = this.options.itemLane(namespace) ?? this.lane
  }

  /** A request is answered in this turn, unless `takeBack` says otherwise. `slot`: BINARY_VERBS + verb, say. */
  count(slot: number): void {
    this.counts[slot]!++
    this.total++
    this.last = slot
  }

  /** The request that was counted last is not answered yet; returns its slot, or NO_REQUEST. */
  takeBack(): number {
    const { counts, last } = this
    if (counts[last] === 0) return NO_REQUEST
    counts[last]!--
    this.total--
    return last
  }

  /** What was taken back is answered now. Returns NO_REQUEST. */
  recount(slot: number): number {
    if (slot !== NO_REQUEST) this.count(slot)
    return NO_REQUEST
  }

  /** The turn is over, and what it had to say is with the socket. `user`: the number of whose turn it was. */
  end(user: number): void {
    const { users, lane, before, total, itemLane } = this
    const at = user * USER_SLOTS
    users[at + USER_BYTES_READ]! += this.receivedBytes
    users[at + USER_BYTES_WRITTEN]! += lane[COUNTER.bytes_written]! - before[WRITTEN]!
    if (total === 0) return
    users[at + USER_REQUESTS]! += total
    users[at + USER_HITS]! += itemLane[COUNTER.get_hits]! - before[HITS]!
    users[at + USER_MISSES]! += itemLane[COUNTER.get_misses]! - before[MISSES]!
    this.total = 0
    this.addUp(total)
  }

  private addUp(total: number): void {
    const { counts, last, options, startedMs } = this
    const { requests, latencies } = options
    const isTimed = latencies !== undefined && startedMs !== UNTIMED
    if (isTimed) this.lastMicros = (options.nowMs() - startedMs) * 1000
    // A pipeline is mostly of one verb.
    const isUniform = counts[last] === total
    const end = isUniform ? last + 1 : VERB_SLOTS
    for (let slot = isUniform ? last : 0; slot < end; slot++) {
      const times = counts[slot]!
      if (times === 0) continue
      counts[slot] = 0
      requests[slot]! += times
      if (isTimed) this.observeWithCarried(latencies, slot, times)
      else if (latencies !== undefined) this.carry(slot, times)
    }
  }

  private observeWithCarried(latencies: Float64Array, slot: number, times: number): void {
    const { carried, lastMicros } = this
    const more = carried[slot]!
    observe(latencies, slot * HISTOGRAM_SLOTS, lastMicros, times + more)
    if (more === 0) return
    carried[slot] = 0
    this.carriedTotal -= more
  }

  private carry(slot: number, times: number): void {
    this.carried[slot]! += times
    this.carriedTotal += times
  }
}

export interface VerbLabels extends Readonly<Record<string, string>> {
  readonly dialect: 'binary' | 'text' | 'meta'
  readonly verb: string
}

/** What is counted at each slot; undefined: nothing. */
export function verbLabels(slot: number): VerbLabels | undefined {
  const isText = slot >= TEXT_VERBS
  const verb = isText ? slot - TEXT_VERBS : slot - BINARY_VERBS
  const name = findVerb(verb)?.name
  if (name === undefined) return undefined
  const isMeta = hasVerb(META_VERBS, verb)
  return { dialect: isText ? (isMeta ? 'meta' : 'text') : 'binary', verb: name }
}
