/**
 * Watch records as the lines that memcached 1.6.45 writes (protocol.txt, "Watchers"). Numbers and
 * names are those of its log; a class is 1 where there is an item, because there is only one here.
 */
import { escapeKey } from '../base/escape-key.ts'
import type { WatchRecord } from './watch-log.ts'
import {
  WATCH_CONNEVENTS,
  WATCH_DELETIONS,
  WATCH_EVICTIONS,
  WATCH_FETCHERS,
  WATCH_MUTATIONS,
} from './watch-memory.ts'

// Statuses of a look-up.
export const GET_NOT_FOUND = 0
export const GET_FOUND = 1
export const GET_FLUSHED = 2
export const GET_EXPIRED = 3
const GET_STATUSES = ['not_found', 'found', 'flushed', 'expired']

// Statuses of a write.
export const STORE_NOT_STORED = 0
export const STORE_STORED = 1
export const STORE_EXISTS = 2
export const STORE_NOT_FOUND = 3
export const STORE_TOO_LARGE = 4
export const STORE_NO_MEMORY = 5
const STORE_STATUSES = ['not_stored', 'stored', 'exists', 'not_found', 'too_large', 'no_memory']

// Commands of a write.
export const STORE_ADD = 1
export const STORE_SET = 2
export const STORE_REPLACE = 3
export const STORE_APPEND = 4
export const STORE_PREPEND = 5
export const STORE_CAS = 6
export const STORE_APPEND_VIVIFY = 7
export const STORE_PREPEND_VIVIFY = 8
const STORE_COMMANDS = [
  'null',
  'add',
  'set',
  'replace',
  'append',
  'prepend',
  'cas',
  'appendv',
  'prependv',
]

// Commands of a deletion.
export const DELETE_CLASSIC = 1
export const DELETE_META = 2
const DELETE_COMMANDS = ['null', 'delete', 'md']

/** `command` of an eviction: whether the item was ever fetched. */
export const EVICTION_UNFETCHED = 0
export const EVICTION_FETCHED = 1
/** `ttlSeconds` of an eviction without expiry. */
export const TTL_NEVER = 0xffffffff

// Commands of a connection event, and why a connection closed.
export const CONNECTION_NEW = 1
export const CONNECTION_CLOSE = 2
export const CLOSE_ERROR = 0
export const CLOSE_NORMAL = 1
export const CLOSE_IDLE_TIMEOUT = 2
export const CLOSE_SHUTDOWN = 3
const CLOSE_REASONS = ['error', 'normal', 'idle_timeout', 'shutdown']

const SHORTEST_LINE = 'ts=0.0 gid=1 type=deleted key= cmd=md clsid=1 size=0\n'

/** A line of the record has at least so many bytes; told without writing it. */
export function lineBytesMin(record: WatchRecord): number {
  // A key is not shorter when it is escaped; a socket's path is left out.
  const keyBytes = record.kind === WATCH_CONNEVENTS ? 0 : record.keyLength
  return SHORTEST_LINE.length + keyBytes
}

/** The line of a record is its beginning, the number of the event as the reader counts, and its end. */
export function lineBegin(record: WatchRecord): string {
  const seconds = Math.floor(record.timeMicros / 1e6)
  // Not padded: a number behind the dot, not a fraction, as memcached has it.
  return `ts=${seconds}.${record.timeMicros - seconds * 1e6} gid=`
}

/** With its line feed. `connectionId`: as the reader is told it. */
export function lineEnd(record: WatchRecord, connectionId: number): string {
  return ` ${contentOf(record, connectionId)}\n`
}

function contentOf(record: WatchRecord, connectionId: number): string {
  const { kind, status, command, valueBytes } = record
  if (kind === WATCH_CONNEVENTS) return connectionContent(record, connectionId)
  const key = escapeKey(Buffer.from(record.key.buffer, 0, record.keyLength))
  switch (kind) {
    case WATCH_FETCHERS: {
      const slabClass = status === GET_FOUND ? 1 : 0
      return `type=item_get key=${key} status=${GET_STATUSES[status]} clsid=${slabClass} cfd=${connectionId} size=${valueBytes}`
    }
    case WATCH_MUTATIONS: {
      const hasItem = status !== STORE_TOO_LARGE && status !== STORE_NO_MEMORY
      return `type=item_store key=${key} status=${STORE_STATUSES[status]} cmd=${STORE_COMMANDS[command]} ttl=${record.ttlSeconds} clsid=${hasItem ? 1 : 0} cfd=${connectionId} size=${hasItem ? valueBytes : 0}`
    }
    case WATCH_DELETIONS:
      return `type=deleted key=${key} cmd=${DELETE_COMMANDS[command]} clsid=1 size=${valueBytes}`
    case WATCH_EVICTIONS: {
      const ttl = record.ttlSeconds === TTL_NEVER ? -1 : record.ttlSeconds
      const fetched = command === EVICTION_FETCHED ? 'yes' : 'no'
      return `type=eviction key=${key} fetch=${fetched} ttl=${ttl} la=${record.idleSeconds} clsid=1 size=${valueBytes}`
    }
    default:
      throw new Error(`assertion failed: no watch record has the kind ${kind}`)
  }
}

/** The key of a connection event is its peer: `address:port`, `[address]:port`, or a socket's path. */
function connectionContent(record: WatchRecord, connectionId: number): string {
  const { status, command } = record
  const peer = Buffer.from(record.key.buffer, 0, record.keyLength).toString('latin1')
  const match = /^\[?([0-9a-f.:%\w]+?)\]?:(\d+)$/i.exec(peer)
  const [address, port, transport] =
    match === null ? ['unix', '0', 'local'] : [match[1], match[2], 'tcp']
  const isNew = command === CONNECTION_NEW
  const reason = isNew ? '' : `reason=${CLOSE_REASONS[status]} `
  return `type=conn_${isNew ? 'new' : 'close'} rip=${address} rport=${port} transport=${transport} ${reason}cfd=${connectionId}`
}
