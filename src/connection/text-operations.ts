/**
 * Operators' commands of the text dialect: statistics, dumps, and those that steer parts which only
 * memcached has and which are answered as by a server without that part. All of it is rare and read
 * by people or monitors, so it works with strings; nothing of it is on the hot path.
 */

import type { Commands } from '../command/commands.ts'
import { DUMP_CACHE, DUMP_KEYS, DUMP_META, type ItemDump } from '../command/operations/dump.ts'
import type { ItemSizes } from '../command/operations/item-sizes.ts'
import type { RowSource, StatRows } from '../command/operations/rows.ts'
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
import type { Connection } from './connection.ts'
import { FirstLines, type LineSource, StatLines, TextAnswer } from './text-answer.ts'
import type { TextReplies } from './text-replies.ts'
import { answerCrawler, answerLru, answerSlabs, isClassList } from './tuning-commands.ts'
import type { Watchers } from './watchers.ts'

export interface OperationOptions {
  /** -A: `shutdown` is carried out. */
  readonly shutdownEnabled: boolean
  /** False with -W: no `watch`. */
  readonly watchEnabled: boolean
  /** False with -X: no `metadump`, `mgdump`, `stats cachedump`, `stats detail`. */
  readonly dumpEnabled: boolean
  /** Sets the limit of the memory; false if it cannot be that. */
  readonly setMemoryLimit: (mib: number) => boolean
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
const SLAB_CLASSES = 64
/** memcached ends a cachedump here, too. */
const CACHEDUMP_BYTES_MAX = 2 * 1024 * 1024

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
    group: (name: string) => RowSource | undefined,
  ): void {
    const name = words[1] ?? ''
    switch (name) {
      case 'reset':
        group(name)
        this.say(connection, 'RESET')
        this.replies.turnsLeft = 0
        return
      case 'cachedump':
        this.cachedump(connection, words, request)
        return
      case 'sizes_enable':
        this.tellSizes(connection, this.options.sizes.enable())
        return
      case 'sizes_disable':
        this.tellSizes(connection, this.options.sizes.disable())
        return
      case 'detail':
        this.detail(connection, words[2], request)
        return
      case 'extstore':
        // As of a memcached that was started without it.
        this.say(connection, 'END')
        return
    }
    const rows = group(name)
    if (rows === undefined) this.say(connection, 'ERROR')
    else this.answer(connection, new StatLines(rows), 'END', request)
  }

  /** memcached ends these without END, and clients of theirs do not wait for one. */
  private tellSizes(connection: Connection, rows: StatRows): void {
    for (const [name, value] of rows) this.say(connection, `STAT ${name} ${value}`)
  }

  /** Answers with many lines: they come with the connection's next turns. */
  private answer(
    connection: Connection,
    lines: LineSource,
    lastLine: string,
    request: Request,
  ): void {
    const { replies, commands } = this
    connection.task = new TextAnswer(replies, commands, lines, lastLine, request.frameBytes)
    connection.yieldTurn()
  }

  /** The other operators' commands. A long answer becomes the connection's task. */
  operate(connection: Connection, words: readonly string[], request: Request): void {
    if (isDump(words)) {
      this.dumpItems(connection, words, request)
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
      this.watch(connection, words)
      return
    }
    if (words[0] === 'refresh_certs') {
      // Also with noreply, which memcached does not look for here.
      this.say(connection, 'Error TLS not enabled')
      return
    }
    const answer = this.answerTo(words)
    // A new memory limit is work for all.
    if (words[0] === 'cache_memlimit') this.replies.turnsLeft = 0
    // What memcached reads with the commands of items has no noreply.
    if (!request.quiet || words[0] === 'watch') this.say(connection, answer)
  }

  /** stats detail on|off|dump */
  private detail(connection: Connection, word: string | undefined, request: Request): void {
    const { prefixes } = this.options
    if (!this.options.dumpEnabled) {
      this.say(connection, 'CLIENT_ERROR stats detail not allowed')
    } else if (word === 'on' || word === 'off') {
      prefixes.enable(word === 'on')
      this.say(connection, 'OK')
    } else if (word === 'dump') {
      this.answer(connection, prefixes.dump(), 'END', request)
    } else {
      this.say(connection, 'CLIENT_ERROR usage: stats detail on|off|dump')
    }
  }

  /** watch [fetchers] [mutations] ... */
  private watch(connection: Connection, words: readonly string[]): void {
    if (this.replies.areGathered) {
      this.say(connection, 'ERROR cannot pipeline other commands before watch')
      return
    }
    let kinds = words.length === 1 ? WATCH_FETCHERS : 0
    for (const word of words.slice(1)) {
      const kind = WATCH_KINDS.get(word)
      if (kind === undefined) {
        this.say(connection, 'ERROR')
        return
      }
      kinds |= kind
    }
    if (!this.options.watchers.add(connection, kinds)) {
      this.say(connection, 'WATCHER_TOO_MANY log watcher limit reached')
    }
  }

  private say(connection: Connection, line: string): void {
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
        return answerSlabs(words)
      case 'lru':
        return answerLru(words)
      case 'lru_crawler':
        return answerCrawler(words)
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

  private memoryLimit(argument: string | undefined): string {
    if (argument === undefined || !/^\d{1,10}$/.test(argument)) return 'ERROR'
    const mib = Number(argument)
    // It has to be a number of 32 bits.
    if (mib > 0xffff_ffff) return 'ERROR'
    if (mib < 8) return 'MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m'
    if (mib > 1_000_000_000) return 'MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes'
    return this.options.setMemoryLimit(mib)
      ? 'OK'
      : 'MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust'
  }

  /** lru_crawler metadump|mgdump <classes> */
  private dumpItems(connection: Connection, words: readonly string[], request: Request): void {
    const isMeta = words[1] === 'metadump'
    const refusal = this.refusalOfDump(words, isMeta)
    if (refusal !== undefined) {
      if (!request.quiet) this.say(connection, refusal)
      return
    }
    this.say(connection, 'OK')
    const dump = this.options.dump(isMeta ? DUMP_META : DUMP_KEYS)
    this.answer(connection, dump, isMeta ? 'END' : 'EN', request)
  }

  private refusalOfDump(words: readonly string[], isMeta: boolean): string | undefined {
    if (!this.options.dumpEnabled) return `ERROR ${isMeta ? 'metadump' : 'key dump'} not allowed`
    if (this.replies.areGathered) {
      return `ERROR cannot pipeline other commands before ${isMeta ? 'metadump' : 'mgdump'}`
    }
    return isClassList(words[2]) ? undefined : 'BADCLASS invalid class id'
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
      const linesMax = Number(limit) === 0 ? Number.POSITIVE_INFINITY : Number(limit)
      const dump = new FirstLines(this.options.dump(DUMP_CACHE), linesMax, CACHEDUMP_BYTES_MAX)
      this.answer(connection, dump, 'END', request)
    }
  }
}

function isDump(words: readonly string[]): boolean {
  const [verb, name] = words
  const names = name === 'metadump' || name === 'mgdump'
  return verb === 'lru_crawler' && names && words.length === 3
}
