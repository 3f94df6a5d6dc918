/**
 * The table of all metrics: what is counted or measured, and all that is told of it. Everything else
 * that lists metrics is made from it: the slots of the workers' lanes (counters.ts), those of the
 * store (storage/counters.ts), what `stats reset` clears (metric-reader.ts) and the groups of `stats`.
 * To add a metric, add its row, and count where it happens.
 *
 *   group                  where its values are
 *   connections ... cluster  in the lanes of the workers
 *   items                  in the lanes of the store, which has its own
 *   memory                 in the control words of the store
 *   process                given to whoever reads (metric-reader.ts)
 *
 * Names are those of memcached where it has one. Rows of a group that `stats` shows stand in the order
 * in which it shows them. `cleared`: `stats reset` makes the value of that moment the new zero.
 */

type Row = readonly [
  kind: 'counter' | 'gauge',
  unit: string,
  onReset: 'cleared' | 'kept',
  help: string,
]

// biome-ignore format: a table has a line a row.
export const METRICS = {
  connections: {
    curr_connections: ['gauge', 'connections', 'kept', 'Open now, those that wait included.'],
    total_connections: ['counter', 'connections', 'cleared', 'Accepted.'],
    rejected_connections: ['counter', 'connections', 'cleared', 'Turned away for want of a place.'],
    rejected_full: ['counter', 'connections', 'cleared', 'Of those, there was no place for anybody.'],
    rejected_crowd: ['counter', 'connections', 'cleared', 'Of those, too many were from there.'],
    rejected_displaced: ['counter', 'connections', 'cleared', 'Of those, another one had their place.'],
    listen_disabled_num: ['counter', 'times', 'cleared', 'Newcomers had to wait for a place.'],
    time_in_listen_disabled_us: ['counter', 'microseconds', 'cleared', 'In which newcomers waited.'],
    idle_kicks: ['counter', 'connections', 'cleared', 'Closed because they were idle.'],
    conn_yields: ['counter', 'times', 'cleared', 'A connection gave its turn away.'],
    bytes_read: ['counter', 'bytes', 'cleared', 'Received.'],
    bytes_written: ['counter', 'bytes', 'cleared', 'Sent.'],
  },
  commands: {
    cmd_get: ['counter', 'requests', 'cleared', 'Keys looked up.'],
    cmd_set: ['counter', 'requests', 'cleared', 'Values to be stored.'],
    cmd_flush: ['counter', 'requests', 'cleared', 'Of flush_all.'],
    cmd_touch: ['counter', 'requests', 'cleared', 'That set an expiry, fetching or not.'],
    cmd_meta: ['counter', 'requests', 'cleared', 'Of the meta dialect.'],
    get_hits: ['counter', 'requests', 'cleared', 'Found their item.'],
    get_misses: ['counter', 'requests', 'cleared', 'Found none.'],
    get_expired: ['counter', 'requests', 'cleared', 'Found an item that had expired.'],
    get_flushed: ['counter', 'requests', 'cleared', 'Found an item that had been flushed.'],
    delete_misses: ['counter', 'requests', 'cleared', 'Found nothing to delete.'],
    delete_hits: ['counter', 'requests', 'cleared', 'Deleted an item.'],
    incr_misses: ['counter', 'requests', 'cleared', 'Found nothing to increment.'],
    incr_hits: ['counter', 'requests', 'cleared', 'Incremented a number.'],
    decr_misses: ['counter', 'requests', 'cleared', 'Found nothing to decrement.'],
    decr_hits: ['counter', 'requests', 'cleared', 'Decremented a number.'],
    cas_misses: ['counter', 'requests', 'cleared', 'Found nothing to compare with.'],
    cas_hits: ['counter', 'requests', 'cleared', 'Stored because the CAS was the same.'],
    cas_badval: ['counter', 'requests', 'cleared', 'Not stored because the CAS was another.'],
    touch_hits: ['counter', 'requests', 'cleared', 'Touched an item.'],
    touch_misses: ['counter', 'requests', 'cleared', 'Found nothing to touch.'],
    store_too_large: ['counter', 'requests', 'cleared', 'Had a value that is too large.'],
    store_no_memory: ['counter', 'requests', 'cleared', 'Refused for want of memory.'],
  },
  auth: {
    unauthenticated_connections: ['gauge', 'connections', 'kept', 'Not logged in.'],
    waiting_connections: ['gauge', 'connections', 'kept', 'Wait to be served before login.'],
    auth_cmds: ['counter', 'logins', 'cleared', 'That ended, one way or the other.'],
    auth_errors: ['counter', 'logins', 'cleared', 'That failed.'],
    auth_challenges: ['counter', 'messages', 'cleared', 'Challenges sent.'],
    auth_attempts_exceeded: ['counter', 'connections', 'cleared', 'Closed after too many failures.'],
    auth_refused_commands: ['counter', 'requests', 'cleared', 'Refused because they need a login.'],
    auth_denied_commands: ['counter', 'requests', 'cleared', 'Refused for want of a right, or a key.'],
    login_timeouts: ['counter', 'connections', 'cleared', 'Closed because no login came in time.'],
    login_expired_kicks: ['counter', 'connections', 'cleared', 'Closed: their login had expired.'],
    request_too_large: ['counter', 'requests', 'cleared', 'Announced more bytes than are taken.'],
    protocol_errors: ['counter', 'connections', 'cleared', 'Closed because they made no sense.'],
    stalled_kicks: ['counter', 'connections', 'cleared', 'Closed because they took no replies, or too few.'],
    stalled_requests: ['counter', 'requests', 'cleared', 'Came too slowly while others lacked memory.'],
    unauthenticated_buf_bytes: ['gauge', 'bytes', 'kept', 'Of input kept before login.'],
    unauthenticated_buf_oom: ['counter', 'times', 'cleared', 'No memory for input before login.'],
    unread_reply_bytes: ['gauge', 'bytes', 'kept', 'Of replies that clients have not taken.'],
    unread_reply_oom: ['counter', 'times', 'cleared', 'No memory for replies to be taken.'],
  },
  tls: {
    ssl_new_sessions: ['counter', 'handshakes', 'cleared', 'In full, of sessions to be resumed.'],
    ssl_handshake_errors: ['counter', 'handshakes', 'cleared', 'That failed, or were left.'],
    ssl_proto_errors: ['counter', 'connections', 'cleared', 'That spoke no TLS, or wrong TLS.'],
  },
  logins: {
    login_successes: ['counter', 'logins', 'cleared', 'That succeeded.'],
    login_remembered: ['counter', 'logins', 'cleared', 'Of those, known without a derivation.'],
    login_failed_unknown_user: ['counter', 'logins', 'cleared', 'Failed: no such user.'],
    login_failed_wrong_password: ['counter', 'logins', 'cleared', 'Failed: wrong password.'],
    login_failed_no_password: ['counter', 'logins', 'cleared', 'Failed: the user has no password.'],
    login_failed_malformed: ['counter', 'logins', 'cleared', 'Failed: not as the mechanism has it.'],
    login_failed_bad_authzid: ['counter', 'logins', 'cleared', 'Failed: for somebody else.'],
    login_failed_unknown_mechanism: ['counter', 'logins', 'cleared', 'Failed: mechanism not here.'],
    login_failed_needs_tls: ['counter', 'logins', 'cleared', 'Failed: a password in the clear.'],
    login_failed_channel_binding: ['counter', 'logins', 'cleared', 'Failed: channel binding.'],
    login_failed_downgrade: ['counter', 'logins', 'cleared', 'Failed: told that we cannot bind.'],
    login_failed_no_certificate: ['counter', 'logins', 'cleared', 'Failed: no client certificate.'],
    login_failed_certificate_of_nobody: ['counter', 'logins', 'cleared', 'Failed: certificate of no user.'],
    login_failed_certificate_expired: ['counter', 'logins', 'cleared', 'Failed: certificate expired.'],
    login_failed_certificate_of_several: ['counter', 'logins', 'cleared', 'Failed: certificate of several.'],
    login_failed_out_of_sequence: ['counter', 'logins', 'cleared', 'Failed: none was under way.'],
    login_failed_throttled: ['counter', 'logins', 'cleared', 'Failed: too many failed before.'],
    login_failed_audit: ['counter', 'logins', 'cleared', 'Failed: could not be recorded.'],
    login_failed_namespace_full: ['counter', 'logins', 'cleared', 'Failed: the namespace has all its connections.'],
    login_failed_busy: ['counter', 'logins', 'cleared', 'Failed: too many checks waited.'],
    login_failed_credentials_changed: ['counter', 'logins', 'cleared', 'Failed: the user changed.'],
    login_failed_aborted: ['counter', 'logins', 'cleared', 'Failed: left before the end.'],
    login_answers_delayed: ['counter', 'logins', 'cleared', 'Failed, and were told so later.'],
    throttled_sources: ['counter', 'times', 'cleared', 'A source or network was refused from then.'],
    throttled_users: ['counter', 'times', 'cleared', 'A user was refused from then.'],
    login_failed_token_algorithm: ['counter', 'logins', 'cleared', 'Failed: algorithm of a token.'],
    login_failed_token_key: ['counter', 'logins', 'cleared', 'Failed: no such key for a token.'],
    login_failed_token_signature: ['counter', 'logins', 'cleared', 'Failed: signature of a token.'],
    login_failed_token_expired: ['counter', 'logins', 'cleared', 'Failed: expired token.'],
    login_failed_token_not_yet_valid: ['counter', 'logins', 'cleared', 'Failed: token of tomorrow.'],
    login_failed_token_issuer: ['counter', 'logins', 'cleared', 'Failed: token of another issuer.'],
    login_failed_token_audience: ['counter', 'logins', 'cleared', 'Failed: token for somebody else.'],
    login_failed_token_claims: ['counter', 'logins', 'cleared', 'Failed: claims of a token.'],
  },
  buffers: {
    read_buf_count: ['gauge', 'connections', 'kept', 'Have input kept for them.'],
    read_buf_bytes: ['gauge', 'bytes', 'kept', 'Of input kept, before login and after.'],
    read_buf_oom: ['counter', 'requests', 'cleared', 'Refused for want of memory for input.'],
  },
  watch: {
    log_worker_dropped: ['counter', 'events', 'cleared', 'Did not fit the ring of a worker.'],
    log_worker_written: ['counter', 'events', 'cleared', 'Written to the ring of a worker.'],
    log_watcher_skipped: ['counter', 'lines', 'cleared', 'Did not fit the buffer of a watcher.'],
    log_watcher_sent: ['counter', 'lines', 'cleared', 'Sent to watchers.'],
    log_watchers: ['gauge', 'connections', 'kept', 'Watch.'],
  },
  cluster: {
    cluster_answered: ['counter', 'requests', 'cleared', 'Carried out by the cluster.'],
    cluster_late: ['counter', 'requests', 'cleared', 'Had no answer of the cluster in time.'],
    cluster_down: ['counter', 'requests', 'cleared', 'Refused: node or cluster was out of reach.'],
    cluster_busy: ['counter', 'requests', 'cleared', 'Refused: too much waited for their node.'],
    cluster_full: ['counter', 'requests', 'cleared', 'Refused by a node for want of memory.'],
    cluster_refused: ['counter', 'requests', 'cleared', 'Refused by a node for another reason.'],
    cluster_waiting: ['gauge', 'requests', 'kept', 'Wait for the cluster.'],
    cluster_unreachable: ['gauge', 'threads', 'kept', 'Reach no node of the cluster.'],
    cluster_links: ['gauge', 'connections', 'kept', 'To nodes, of all threads, lost ones included.'],
    cluster_links_silent: ['gauge', 'connections', 'kept', 'Of those, their node owes an answer, late.'],
    cluster_links_lost: ['gauge', 'connections', 'kept', 'Of those, they are to be made anew.'],
    cluster_views: ['counter', 'times', 'cleared', 'A thread has learned anew who has which keys.'],
    cluster_view_failures: ['counter', 'times', 'cleared', 'It wanted to and could not.'],
    near_hits: ['counter', 'reads', 'cleared', 'Answered by a copy in the gate.'],
    near_misses: ['counter', 'reads', 'cleared', 'Found no copy, hot or not.'],
    near_invalidations: ['counter', 'copies', 'cleared', 'Dropped: the item was changed.'],
    near_drops: ['counter', 'copies', 'cleared', 'Dropped: a node tells of changes no more.'],
    near_entries: ['gauge', 'copies', 'kept', 'Held.'],
    near_bytes: ['gauge', 'bytes', 'kept', 'Of copies, and of places for them.'],
  },
  items: {
    items: ['gauge', 'items', 'kept', 'In the index; the expired until something meets them.'],
    total_items: ['counter', 'items', 'cleared', 'Stored.'],
    bytes: ['gauge', 'bytes', 'kept', 'Of the items with header and padding.'],
    evictions: ['counter', 'items', 'cleared', 'Evicted.'],
    evicted_unfetched: ['counter', 'items', 'cleared', 'Evicted without having been read.'],
    evicted_active: ['counter', 'items', 'cleared', 'Evicted although read since the last look.'],
    expired_unfetched: ['counter', 'items', 'cleared', 'Expired without having been read.'],
    reclaimed: ['counter', 'items', 'cleared', 'Expired or flushed when eviction met them.'],
    crawler_reclaimed: ['counter', 'items', 'cleared', 'Expired when the crawler met them.'],
    crawler_checked: ['counter', 'items', 'cleared', 'Looked at by the crawler.'],
    reinserted: ['counter', 'items', 'cleared', 'Kept by eviction.'],
    promoted: ['counter', 'items', 'cleared', 'Of those, from the small queue to the main one.'],
    ghost_hits: ['counter', 'items', 'cleared', 'To the main queue at once: the ghosts had them.'],
    compacted_segments: ['counter', 'segments', 'cleared', 'Compacted.'],
    no_memory_writes: ['counter', 'writes', 'cleared', 'Refused because no room could be made.'],
  },
  memory: {
    bucket_count: ['gauge', 'buckets', 'kept', 'Of the index.'],
    index_bytes: ['gauge', 'bytes', 'kept', 'Of the index.'],
    segment_bytes: ['gauge', 'bytes', 'kept', 'Of one segment.'],
    segments: ['gauge', 'segments', 'kept', 'There may be at the limit in force.'],
    segments_free: ['gauge', 'segments', 'kept', 'Hold nothing.'],
    segments_sealed: ['gauge', 'segments', 'kept', 'Are full.'],
    segments_small: ['gauge', 'segments', 'kept', 'Of those, in the small queue.'],
    segments_open: ['gauge', 'segments', 'kept', 'Are written to.'],
    memory_bytes: ['gauge', 'bytes', 'kept', 'The limit in force.'],
  },
  process: {
    uptime: ['gauge', 'seconds', 'kept', 'Since the start, by the clock of the server.'],
    time: ['gauge', 'seconds', 'kept', 'Since 1970, by the clock of the server.'],
    rusage_user: ['counter', 'seconds', 'kept', 'Of CPU outside of the kernel.'],
    rusage_system: ['counter', 'seconds', 'kept', 'Of CPU in the kernel.'],
    max_connections: ['gauge', 'connections', 'kept', 'There may be.'],
    accepting_conns: ['gauge', 'boolean', 'kept', '1 while newcomers are served.'],
    threads: ['gauge', 'threads', 'kept', 'That serve connections.'],
    time_since_server_cert_refresh: [
      'gauge',
      'seconds',
      'kept',
      'Since the certificates were read; 0 without TLS.',
    ],
  },
} as const

type Table = typeof METRICS
export type MetricGroup = keyof Table
/** The names of some groups. */
export type MetricOf<Group extends MetricGroup> = Group extends MetricGroup
  ? keyof Table[Group]
  : never

export type MetricName = MetricOf<MetricGroup>
/** What the lanes of the workers hold. */
export type CounterName = MetricOf<(typeof LANE_GROUPS)[number]>
/** What the lanes of the store hold, and all that the store tells. */
export type StoreCounterName = MetricOf<'items'>
export type StoreMetricName = MetricOf<'items' | 'memory'>
export type ProcessMetricName = MetricOf<'process'>

export const LANE_GROUPS = [
  'connections',
  'commands',
  'auth',
  'tls',
  'logins',
  'buffers',
  'watch',
  'cluster',
] as const

/** The names of some groups, in the order of the table. */
export function metricsOf<Group extends MetricGroup>(
  ...groups: readonly Group[]
): readonly MetricOf<Group>[] {
  return groups.flatMap((group) => Object.keys(METRICS[group]) as MetricOf<Group>[])
}

/**
 * The place of each name in a list. An object of properties that are set once: the engine compiles a
 * read of one into the number (test/unit/observe/metrics.test.ts holds that it can).
 */
export function placesOf<Name extends string>(
  names: readonly Name[],
): Readonly<Record<Name, number>> {
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<Name, number>
}

/** A row as those have it who show all metrics. */
export interface Metric {
  readonly name: MetricName
  readonly group: MetricGroup
  readonly kind: 'counter' | 'gauge'
  readonly unit: string
  readonly help: string
  /** `stats reset` clears it. */
  readonly isCleared: boolean
}

const ROWS: Readonly<Record<MetricGroup, Readonly<Record<string, Row>>>> = METRICS

export const METRIC_LIST: readonly Metric[] = Object.entries(ROWS).flatMap(([group, rows]) =>
  Object.entries(rows).map(([name, [kind, unit, onReset, help]]) => ({
    name: name as MetricName,
    group: group as MetricGroup,
    kind,
    unit,
    help,
    isCleared: onReset === 'cleared',
  })),
)
