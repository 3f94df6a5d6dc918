/**
 * The lines of operators' commands: which operation they mean, and memcached's words for what comes of
 * it. What an operation does and which right it takes is in command/operations/operations.ts. To add
 * one, add its record there, and here its name and its words.
 *
 * All of it is rare and read by people or monitors, so it works with strings, but for the one line that begins as a
 * request about an item does.
 */
import type { Request } from '../request.ts'
import { isWord } from './scan.ts'
import { answerCrawler, answerLru, answerSlabs, isClassList, OK } from './tuning.ts'

/** What operators may ask for, by the names that the audit uses. */
export type OperationName =
  | 'stats'
  | 'stats-reset'
  | 'sizes-enable'
  | 'sizes-disable'
  | 'prefixes-enable'
  | 'prefixes-disable'
  | 'prefixes-dump'
  | 'dump-items'
  | 'dump-keys'
  | 'dump-cache'
  | 'watch'
  | 'verbosity'
  | 'memory-limit'
  | 'tune'
  | 'refresh-certificates'
  | 'cluster-nodes'
  | 'flush'
  | 'namespace'
  | 'shutdown'

export interface OperationArgument {
  /** The group of `stats`, the words behind `watch`, what stands before the length of a list of nodes. */
  readonly words: string
  /** Mebibytes of a memory limit, a verbosity, how many lines of a dump at most. */
  readonly number: number
}

/** Why an operation was refused. */
export type OperationRefusal = 'unknown' | 'too-small' | 'too-large' | 'failed'

export interface OperationWords {
  /** What the line begins with; of several rows the first that fits is meant. */
  readonly words: readonly string[]
  /** How many words the line has, if that decides what is meant. */
  readonly wordCount?: number
  readonly operation: OperationName
  /** Reads the whole line. A string is the answer to a line that cannot be carried out. */
  readonly read?: (words: readonly string[]) => OperationArgument | string
  /** The answer where the server does not offer the operation. */
  readonly notOffered?: string
  /** The answer where nothing else is told. */
  readonly done?: string
  /** Lines in front of what is told, and behind it. */
  readonly firstLine?: string
  readonly lastLine?: string
  readonly refused?: Readonly<Partial<Record<OperationRefusal, string>>>
  /** Nothing may be answered in the same turn before this, which is what memcached calls the command. */
  readonly beginsTurnAs?: string
  /** memcached does not look for noreply here. */
  readonly ignoresNoreply?: boolean
}

/** Of ElastiCache, for clients that do not know `config`. */
const CLUSTER_KEY = 'AmazonElastiCache:cluster'
export const CLUSTER_LINE: readonly string[] = ['get', CLUSTER_KEY]
const CLUSTER_LINE_BYTES: Uint8Array = Buffer.from(CLUSTER_LINE.join(' '))

/** The whole line, which is scanned, asks for the nodes of the cluster, and for no item. */
export function isClusterLine(bytes: Uint8Array, { tokens, tokenCount }: Request): boolean {
  return tokenCount === 2 && isWord(bytes, tokens[0]!, tokens[3]!, CLUSTER_LINE_BYTES)
}

const NO_ARGUMENT: OperationArgument = { words: '', number: 0 }
const ERROR = 'ERROR'
const BAD_FORMAT = 'CLIENT_ERROR bad command line format'
const SLAB_CLASSES = 64
const UINT32_MAX = 0xffff_ffff

/** Among the requests to the store, and so no operation of this table. */
export const FLUSH = 'flush_all'

const NO_NAMESPACE = 'CLIENT_ERROR no such namespace'
const NO_DETAIL = 'CLIENT_ERROR stats detail not allowed'

const OPERATIONS: readonly OperationWords[] = [
  { words: ['stats', 'reset'], operation: 'stats-reset', done: 'RESET' },
  {
    words: ['stats', 'cachedump'],
    operation: 'dump-cache',
    read: readCachedump,
    notOffered: 'CLIENT_ERROR stats cachedump not allowed',
    lastLine: 'END',
  },
  // memcached ends these without END, and clients of theirs do not wait for one.
  { words: ['stats', 'sizes_enable'], operation: 'sizes-enable' },
  { words: ['stats', 'sizes_disable'], operation: 'sizes-disable' },
  { words: ['stats', 'detail', 'on'], operation: 'prefixes-enable', notOffered: NO_DETAIL },
  { words: ['stats', 'detail', 'off'], operation: 'prefixes-disable', notOffered: NO_DETAIL },
  {
    words: ['stats', 'detail', 'dump'],
    operation: 'prefixes-dump',
    notOffered: NO_DETAIL,
    lastLine: 'END',
  },
  {
    words: ['stats', 'detail'],
    operation: 'prefixes-dump',
    read: () => 'CLIENT_ERROR usage: stats detail on|off|dump',
    notOffered: NO_DETAIL,
  },
  // As of a memcached that was started without it.
  { words: ['stats', 'extstore'], operation: 'stats', read: () => 'END' },
  {
    words: ['stats', 'namespace'],
    operation: 'stats',
    read: (words) =>
      words.length === 3
        ? { ...NO_ARGUMENT, words: words.slice(1).join(' ') }
        : 'CLIENT_ERROR usage: stats namespace NAME',
    lastLine: 'END',
    refused: { unknown: NO_NAMESPACE },
  },
  {
    words: ['stats'],
    operation: 'stats',
    read: (words) => ({ ...NO_ARGUMENT, words: words[1] ?? '' }),
    lastLine: 'END',
    refused: { unknown: ERROR },
  },
  {
    words: ['lru_crawler', 'metadump'],
    wordCount: 3,
    operation: 'dump-items',
    read: readClasses,
    notOffered: 'ERROR metadump not allowed',
    firstLine: 'OK',
    lastLine: 'END',
    beginsTurnAs: 'metadump',
  },
  {
    words: ['lru_crawler', 'mgdump'],
    wordCount: 3,
    operation: 'dump-keys',
    read: readClasses,
    notOffered: 'ERROR key dump not allowed',
    firstLine: 'OK',
    lastLine: 'EN',
    beginsTurnAs: 'mgdump',
  },
  {
    words: ['watch'],
    operation: 'watch',
    read: (words) => ({ ...NO_ARGUMENT, words: words.slice(1).join(' ') }),
    notOffered: 'CLIENT_ERROR watch commands not allowed',
    refused: { unknown: ERROR, failed: 'WATCHER_TOO_MANY log watcher limit reached' },
    beginsTurnAs: 'watch',
    ignoresNoreply: true,
  },
  {
    words: ['namespace'],
    operation: 'namespace',
    read: (words) => ({ ...NO_ARGUMENT, words: words[1] ?? '' }),
    refused: { unknown: NO_NAMESPACE },
    ignoresNoreply: true,
  },
  {
    words: ['shutdown'],
    operation: 'shutdown',
    read: readShutdown,
    notOffered: 'SERVER_ERROR: shutdown not enabled',
  },
  { words: ['lru_crawler'], operation: 'tune', read: (words) => readTuning(answerCrawler(words)) },
  { words: ['slabs'], operation: 'tune', read: (words) => readTuning(answerSlabs(words)) },
  { words: ['lru'], operation: 'tune', read: (words) => readTuning(answerLru(words)) },
  {
    words: ['cache_memlimit'],
    operation: 'memory-limit',
    read: readMemoryLimit,
    refused: {
      'too-small': 'MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m',
      'too-large': 'MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes',
      failed: 'MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust',
    },
  },
  {
    words: ['refresh_certs'],
    operation: 'refresh-certificates',
    notOffered: 'Error TLS not enabled',
    ignoresNoreply: true,
  },
  {
    words: ['config', 'get', 'cluster'],
    wordCount: 3,
    operation: 'cluster-nodes',
    read: () => ({ ...NO_ARGUMENT, words: 'CONFIG cluster 0' }),
    notOffered: ERROR,
    lastLine: 'END',
  },
  {
    words: CLUSTER_LINE,
    wordCount: 2,
    operation: 'cluster-nodes',
    read: () => ({ ...NO_ARGUMENT, words: `VALUE ${CLUSTER_KEY} 0` }),
    lastLine: 'END',
  },
]

/** First words of lines that are nothing but operators' commands. */
export const OPERATION_VERBS: readonly string[] = [
  ...new Set(OPERATIONS.map(({ words }) => words[0] ?? '')),
].filter((verb) => verb !== 'stats' && verb !== 'get')

/** What a line means; undefined if it is none of these. */
export function findOperation(line: readonly string[]): OperationWords | undefined {
  return OPERATIONS.find(
    ({ words, wordCount }) =>
      words.every((word, index) => line[index] === word) &&
      (wordCount === undefined || wordCount === line.length),
  )
}

const IN_NAMESPACE: ReadonlySet<OperationName> = new Set([
  'dump-items',
  'dump-keys',
  'watch',
  'stats',
])

/**
 * What `namespace NAME` of a line stands before; undefined: that is nothing which is carried out in a
 * namespace by name. Items are not to be had so, nor is what concerns all.
 */
export function readWithin(line: readonly string[]): OperationWords | typeof FLUSH | undefined {
  const within = line.slice(2)
  if (within.length === 1 && within[0] === FLUSH) return FLUSH
  const row = findOperation(within)
  return row !== undefined && IN_NAMESPACE.has(row.operation) ? row : undefined
}

/** The argument that a line has, or the answer to a line that cannot be carried out. */
export function readArgument(
  row: OperationWords,
  line: readonly string[],
): OperationArgument | string {
  return row.read?.(line) ?? NO_ARGUMENT
}

/** stats cachedump <class> <lines> */
function readCachedump(words: readonly string[]): OperationArgument | string {
  const [, , slabClass, limit] = words
  if (slabClass === undefined || limit === undefined) return 'CLIENT_ERROR bad command line'
  if (!/^\d{1,9}$/.test(slabClass) || !/^\d{1,9}$/.test(limit)) return BAD_FORMAT
  if (Number(slabClass) >= SLAB_CLASSES) return 'CLIENT_ERROR Illegal slab id'
  // All items are in the one class that `stats slabs` and `stats items` show.
  if (Number(slabClass) !== 1) return 'END'
  return { ...NO_ARGUMENT, number: Number(limit) === 0 ? Number.POSITIVE_INFINITY : Number(limit) }
}

/** lru_crawler metadump|mgdump <classes> */
function readClasses(words: readonly string[]): OperationArgument | string {
  return isClassList(words[2]) ? NO_ARGUMENT : 'BADCLASS invalid class id'
}

/** shutdown [graceful] */
function readShutdown(words: readonly string[]): OperationArgument | string {
  const isKnown = words.length === 1 || (words.length === 2 && words[1] === 'graceful')
  return isKnown ? NO_ARGUMENT : 'CLIENT_ERROR invalid shutdown mode'
}

/** cache_memlimit <mebibytes> */
function readMemoryLimit(words: readonly string[]): OperationArgument | string {
  const [, mib] = words
  // It has to be a number of 32 bits.
  if (mib === undefined || !/^\d{1,10}$/.test(mib) || Number(mib) > UINT32_MAX) return ERROR
  return { ...NO_ARGUMENT, number: Number(mib) }
}

function readTuning(answer: string): OperationArgument | string {
  return answer === OK ? NO_ARGUMENT : answer
}
