/**
 * Hot path. Counters shared by all threads without a lock: each worker owns one lane of doubles in
 * a SharedArrayBuffer and only it writes there; readers add the lanes up. A double counts exactly
 * to 2^53 and an aligned 8-byte store is seen whole or not at all.
 *
 * Invariant: a lane has a single writer. Gauges (CURR_CONNECTIONS) go up and down in the lane of
 * the worker that owns the connection. `stats reset` does not write into the lanes of others: one
 * more lane, the last, remembers the sums of that moment as the new zero.
 */

/** Every counter, in the order of its slot. Names are those of memcached where it has one. */
export const COUNTER_NAMES = [
  'curr_connections',
  'total_connections',
  'rejected_connections',
  'listen_disabled_num',
  'time_in_listen_disabled_us',
  'unauthenticated_connections',
  'waiting_connections',
  'cmd_get',
  'cmd_set',
  'cmd_flush',
  'cmd_touch',
  'cmd_meta',
  'get_hits',
  'get_misses',
  'get_expired',
  'get_flushed',
  'delete_misses',
  'delete_hits',
  'incr_misses',
  'incr_hits',
  'decr_misses',
  'decr_hits',
  'cas_misses',
  'cas_hits',
  'cas_badval',
  'touch_hits',
  'touch_misses',
  'store_too_large',
  'store_no_memory',
  'auth_cmds',
  'auth_errors',
  'auth_challenges',
  'auth_attempts_exceeded',
  'auth_refused_commands',
  'login_timeouts',
  'login_successes',
  'login_remembered',
  'login_failed_unknown_user',
  'login_failed_wrong_password',
  'login_failed_malformed',
  'login_failed_bad_authzid',
  'login_failed_unknown_mechanism',
  'login_failed_channel_binding',
  'login_failed_out_of_sequence',
  'login_failed_busy',
  'login_failed_credentials_changed',
  'login_failed_aborted',
  'request_too_large',
  'protocol_errors',
  'idle_kicks',
  'stalled_kicks',
  'bytes_read',
  'bytes_written',
  'conn_yields',
  'read_buf_count',
  'read_buf_bytes',
  'read_buf_oom',
  'unauthenticated_buf_bytes',
  'unauthenticated_buf_oom',
  'unread_reply_bytes',
  'unread_reply_oom',
  'log_worker_dropped',
  'log_worker_written',
  'log_watcher_skipped',
  'log_watcher_sent',
  'log_watchers',
] as const

export type CounterName = (typeof COUNTER_NAMES)[number]

export const COUNTER = Object.fromEntries(
  COUNTER_NAMES.map((name, index) => [name, index]),
) as Readonly<Record<CounterName, number>>

/** Gauges keep their value across `stats reset`. */
const GAUGES: ReadonlySet<CounterName> = new Set<CounterName>([
  'curr_connections',
  'unauthenticated_connections',
  'waiting_connections',
  'read_buf_count',
  'read_buf_bytes',
  'unauthenticated_buf_bytes',
  'unread_reply_bytes',
  'log_watchers',
])

/** Doubles a lane: a whole number of 64-byte cache lines, so that no two workers share one. */
const LANE_DOUBLES = Math.ceil(COUNTER_NAMES.length / 8) * 8

export interface CounterMemory {
  readonly buffer: SharedArrayBuffer
  readonly laneCount: number
}

export function createCounterMemory(laneCount: number): CounterMemory {
  return { buffer: new SharedArrayBuffer((laneCount + 1) * LANE_DOUBLES * 8), laneCount }
}

/** One worker's own lane: `lane[COUNTER.cmd_get]!++`. */
export function counterLane(memory: CounterMemory, laneIndex: number): Float64Array {
  return new Float64Array(memory.buffer, laneIndex * LANE_DOUBLES * 8, LANE_DOUBLES)
}

/** The sum of one counter over all lanes since the last reset. */
export function sumCounter(memory: CounterMemory, name: CounterName): number {
  return counterSums(memory)(name)
}

/** The same for many counters: the memory is looked at once. */
export function counterSums(memory: CounterMemory): (name: CounterName) => number {
  const all = new Float64Array(memory.buffer)
  const { laneCount } = memory
  return (name) => {
    const slot = COUNTER[name]
    return sumSlot(all, laneCount, slot) - all[laneCount * LANE_DOUBLES + slot]!
  }
}

/** Makes the sums of this moment the new zero of every counter that is not a gauge. */
export function resetCounters(memory: CounterMemory): void {
  const all = new Float64Array(memory.buffer)
  for (const name of COUNTER_NAMES) {
    if (GAUGES.has(name)) continue
    const slot = COUNTER[name]
    all[memory.laneCount * LANE_DOUBLES + slot] = sumSlot(all, memory.laneCount, slot)
  }
}

function sumSlot(all: Float64Array, laneCount: number, slot: number): number {
  let sum = 0
  for (let lane = 0; lane < laneCount; lane++) sum += all[lane * LANE_DOUBLES + slot]!
  return sum
}
