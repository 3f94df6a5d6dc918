/**
 * Operators' commands of the text dialect: statistics, dumps, and those that steer parts which only
 * memcached has and which are answered as by a server without that part. All of it is rare and read
 * by people or monitors, so it works with strings; nothing of it is on the hot path.
 */

import type { Commands } from '../command/commands.ts'
import { DUMP_CACHE, DUMP_KEYS, DUMP_META, type ItemDump } from '../command/dump.ts'
import type { ItemSizes, SizeCount } from '../command/item-sizes.ts'
import type { StatRows } from '../command/stats.ts'
import type { PrefixTable } from '../observe/prefix-table.ts'
import { CLOSE_SHUTDOWN } from '../observe/watch-line.ts'
import {
  WATCH_CONNEVENTS,
  WATCH_DELETIONS,
  WATCH_EVICTIONS,
  WATCH_FETCHERS,
  WATCH_MUTATIONS,
} from '../observe/watch-memory.ts'
import type { Request } from '../protocol/request.ts'
import type { Connection, ConnectionTask } from './connection.ts'
import type { TextReplies } from './text-replies.ts'
import type { Watchers } from './watchers.ts'

export interface OperationOptions {
  /** -A: `shutdown` is carried out. */
  readonly shutdownEnabled: boolean
  /** False with -W: no `watch`. */
  readonly watchEnabled: boolean
  /** False with -X: no `metadump`, `mgdump`, `stats cachedump`, `stats detail`. */
  readonly dumpEnabled: boolean
  readonly memoryLimitMib: number
  readonly prefixes: PrefixTable
  readonly sizes: ItemSizes
  readonly watchers: Watchers
  /** A dump of all items in one of the DUMP_ forms. */
  readonly dump: (form: number) => ItemDump
  /** Stops the server: what is under way is finished, also without `graceful`. */
  readonly shutdown: () => void
}

/**
 * What can be watched. Raw commands were never told by memcached either; the others are events of
 * parts that do not exist here, so nothing comes of them.
 */
const WATCH_KINDS: ReadonlyMap<string, number> = new Map([
  ['fetchers', WATCH_FETCHERS],
  ['mutations', WATCH_MUTATIONS],
  ['evictions', WATCH_EVICTIONS],
  ['connevents', WATCH_CONNEVENTS],
  ['deletions', WATCH_DELETIONS],
  ['rawcmds', 0],
  ['sysevents', 0],
  ['proxyreqs', 0],
  ['proxyevents', 0],
  ['proxyuser', 0],
])

const BAD_FORMAT = 'CLIENT_ERROR bad command line format'
const NO_CRAWLER = 'CLIENT_ERROR lru crawler disabled'
const SLAB_CLASSES = 64
/** memcached ends a cachedump here, too. */
const CACHEDUMP_BYTES_MAX = 2 * 1024 * 1024
/** Bytes of a dump that are made in one turn. */
const DUMP_TURN_BYTES = 64 * 1024
/** Steps of some hundred items that are counted in one turn. */
const COUNT_STEPS_PER_TURN = 8

export class TextOperations {
  private readonly replies: TextReplies
  private readonly commands: Commands
  private readonly options: OperationOptions

  constructor(replies: TextReplies, commands: Commands, options: OperationOptions) {
    this.replies = replies
    this.commands = commands
    this.options = options
  }

  /** stats [<group>] */
  stat(
    connection: Connection,
    words: readonly string[],
    request: Request,
    group: (name: string) => StatRows | undefined,
  ): void {
    const name = words[1] ?? ''
    switch (name) {
      case 'reset':
        group(name)
        this.options.prefixes.clear()
        this.say(connection, 'RESET')
        return
      case 'cachedump':
        this.cachedump(connection, words, request)
        return
      case 'sizes':
        if (!this.options.sizes.isEnabled) break
        connection.task = new SizesTask(this, this.commands, this.options.sizes, request.frameBytes)
        connection.yieldTurn()
        return
      case 'sizes_enable':
      case 'sizes_disable':
        // memcached ends these without END, and clients of theirs do not wait for one.
        this.sayRows(connection, group(name) ?? [])
        return
      case 'detail':
        this.detail(connection, words[2])
        return
    }
    const rows = group(name)
    if (rows === undefined) {
      this.say(connection, 'ERROR')
      return
    }
    this.sayRows(connection, rows)
    this.say(connection, 'END')
  }

  /** The other operators' commands. A long answer becomes the connection's task. */
  operate(connection: Connection, words: readonly string[], request: Request): void {
    if (words[0] === 'lru_crawler') {
      this.crawler(connection, words, request)
      return
    }
    if (words[0] === 'shutdown' && this.shutsDown(words)) {
      // memcached has no answer to it but the end of the connection.
      this.options.shutdown()
      connection.closeReason = CLOSE_SHUTDOWN
      connection.drain()
      return
    }
    if (words[0] === 'watch' && this.options.watchEnabled) {
      this.watch(connection, words, request)
      return
    }
    if (words[0] === 'refresh_certs') {
      // Also with noreply, which memcached does not look for here.
      this.say(connection, 'Error TLS not enabled')
      return
    }
    const answer = this.answerTo(words)
    if (!request.quiet) this.say(connection, answer)
  }

  /** stats detail on|off|dump */
  private detail(connection: Connection, word: string | undefined): void {
    const { prefixes } = this.options
    if (!this.options.dumpEnabled) {
      this.say(connection, 'CLIENT_ERROR stats detail not allowed')
    } else if (word === 'on' || word === 'off') {
      prefixes.enable(word === 'on')
      this.say(connection, 'OK')
    } else if (word === 'dump') {
      for (const line of prefixes.lines()) this.say(connection, line)
      this.say(connection, 'END')
    } else {
      this.say(connection, 'CLIENT_ERROR usage: stats detail on|off|dump')
    }
  }

  /** watch [fetchers] [mutations] ... */
  private watch(connection: Connection, words: readonly string[], request: Request): void {
    let kinds = words.length === 1 ? WATCH_FETCHERS : 0
    for (const word of words.slice(1)) {
      const kind = WATCH_KINDS.get(word)
      if (kind === undefined) {
        if (!request.quiet) this.say(connection, 'ERROR')
        return
      }
      kinds |= kind
    }
    if (!this.options.watchers.add(connection, kinds)) {
      this.say(connection, 'WATCHER_TOO_MANY log watcher limit reached')
    }
  }

  sayRows(connection: Connection, rows: StatRows): void {
    for (const [name, value] of rows) this.say(connection, `STAT ${name} ${value}`)
  }

  say(connection: Connection, line: string): void {
    this.replies.sendLine(connection, line)
  }

  private answerTo(words: readonly string[]): string {
    switch (words[0]) {
      case 'shutdown':
        return this.options.shutdownEnabled
          ? 'CLIENT_ERROR invalid shutdown mode'
          : 'SERVER_ERROR: shutdown not enabled'
      case 'cache_memlimit':
        return this.memoryLimit(words[1])
      case 'slabs':
        if (words[1] === 'reassign' && words.length === 4) {
          return 'CLIENT_ERROR slab reassignment disabled'
        }
        // Off is what it is.
        return words[1] === 'automove' && words[2] === '0' ? 'OK' : 'ERROR'
      case 'watch':
        return 'CLIENT_ERROR watch commands not allowed'
      default:
        return 'ERROR'
    }
  }

  private shutsDown(words: readonly string[]): boolean {
    if (!this.options.shutdownEnabled) return false
    return words.length === 1 || (words.length === 2 && words[1] === 'graceful')
  }

  /** The memory was laid out at the start: no other limit can be set, but the same one is fine. */
  private memoryLimit(argument: string | undefined): string {
    if (argument === undefined || !/^\d{1,10}$/.test(argument)) return 'ERROR'
    const mib = Number(argument)
    if (mib < 8) return 'MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m'
    if (mib > 1_000_000_000) return 'MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes'
    if (mib === this.options.memoryLimitMib) return 'OK'
    return 'MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust'
  }

  private crawler(connection: Connection, words: readonly string[], request: Request): void {
    const [, name, which] = words
    if (which === undefined || words.length !== 3) {
      this.say(connection, name === 'enable' || name === 'disable' ? NO_CRAWLER : 'ERROR')
      return
    }
    switch (name) {
      case 'metadump':
      case 'mgdump': {
        const isMeta = name === 'metadump'
        if (!this.options.dumpEnabled) {
          this.say(connection, `ERROR ${isMeta ? 'metadump' : 'key dump'} not allowed`)
          return
        }
        if (!isDumpTarget(which)) {
          this.say(connection, 'BADCLASS invalid class id')
          return
        }
        connection.task = new DumpTask(
          this.replies,
          this.commands,
          this.options.dump(isMeta ? DUMP_META : DUMP_KEYS),
          isMeta ? 'END' : 'EN',
          Number.POSITIVE_INFINITY,
          request.frameBytes,
        )
        connection.yieldTurn()
        return
      }
      case 'crawl':
      case 'tocrawl':
      case 'sleep':
        this.say(connection, NO_CRAWLER)
        return
      default:
        this.say(connection, 'ERROR')
    }
  }

  private cachedump(connection: Connection, words: readonly string[], request: Request): void {
    if (!this.options.dumpEnabled) {
      this.say(connection, 'CLIENT_ERROR stats cachedump not allowed')
      return
    }
    const [, , slabClass, limit] = words
    if (slabClass === undefined || limit === undefined) {
      this.say(connection, 'CLIENT_ERROR bad command line')
    } else if (!/^\d{1,9}$/.test(slabClass) || !/^\d{1,9}$/.test(limit)) {
      this.say(connection, BAD_FORMAT)
    } else if (Number(slabClass) >= SLAB_CLASSES) {
      this.say(connection, 'CLIENT_ERROR Illegal slab id')
    } else if (Number(slabClass) !== 1) {
      // All items are in the one class that `stats slabs` and `stats items` show.
      this.say(connection, 'END')
    } else {
      connection.task = new DumpTask(
        this.replies,
        this.commands,
        this.options.dump(DUMP_CACHE),
        'END',
        Number(limit) === 0 ? Number.POSITIVE_INFINITY : Number(limit),
        request.frameBytes,
      )
      connection.yieldTurn()
    }
  }
}

/** Counting items by size, a bounded part a turn. */
class SizesTask implements ConnectionTask {
  readonly frameBytes: number
  private readonly operations: TextOperations
  private readonly commands: Commands
  private readonly count: SizeCount

  constructor(
    operations: TextOperations,
    commands: Commands,
    sizes: ItemSizes,
    frameBytes: number,
  ) {
    this.operations = operations
    this.commands = commands
    this.count = sizes.count()
    this.frameBytes = frameBytes
  }

  proceed(connection: Connection): boolean {
    for (let step = 0; step < COUNT_STEPS_PER_TURN; step++) {
      if (!this.count.next(this.commands.nowSeconds)) continue
      this.operations.sayRows(connection, this.count.rows())
      this.operations.say(connection, 'END')
      return true
    }
    connection.yieldTurn()
    return false
  }
}

/** `all`, `hash`, or a list of slab classes. */
function isDumpTarget(which: string): boolean {
  return (
    which === 'all' ||
    which === 'hash' ||
    which.split(',').every((id) => /^\d{1,2}$/.test(id) && Number(id) > 0 && Number(id) < 64)
  )
}

/** A dump on its way to its reader, a bounded part a turn. */
class DumpTask implements ConnectionTask {
  readonly frameBytes: number
  private readonly replies: TextReplies
  private readonly commands: Commands
  private readonly dump: ItemDump
  private readonly lastLine: string
  private itemsLeft: number
  private bytesLeft: number = CACHEDUMP_BYTES_MAX

  constructor(
    replies: TextReplies,
    commands: Commands,
    dump: ItemDump,
    lastLine: string,
    itemsMax: number,
    frameBytes: number,
  ) {
    this.replies = replies
    this.commands = commands
    this.dump = dump
    this.lastLine = lastLine
    this.itemsLeft = itemsMax
    this.frameBytes = frameBytes
  }

  proceed(connection: Connection): boolean {
    let turnBytesLeft = DUMP_TURN_BYTES
    while (connection.isServing && turnBytesLeft > 0) {
      const lines = this.dump.next(this.commands.nowSeconds)
      if (lines === undefined) return this.finish(connection)
      // Buckets without items are work, too.
      turnBytesLeft -= Math.max(lines.length, 1024)
      const kept = this.limit(lines)
      this.replies.send(connection, Buffer.from(kept, 'latin1'))
      if (this.itemsLeft === 0) return this.finish(connection)
    }
    if (connection.isServing) connection.yieldTurn()
    return false
  }

  /** Only a cachedump has limits. */
  private limit(lines: string): string {
    if (this.dump.form !== DUMP_CACHE) return lines
    let kept = ''
    for (const line of lines.split(/(?<=\n)/)) {
      if (line === '') continue
      if (this.itemsLeft === 0 || line.length > this.bytesLeft) {
        this.itemsLeft = 0
        break
      }
      kept += line
      this.itemsLeft--
      this.bytesLeft -= line.length
    }
    return kept
  }

  private finish(connection: Connection): boolean {
    this.replies.sendLine(connection, this.lastLine)
    return true
  }
}
