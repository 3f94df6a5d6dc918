/**
 * The table of verbs: a row for each request that there is, whatever dialect it came in. Whatever tells one
 * verb from another without carrying it out asks here: what a line of text has behind its name, whether a
 * store carries it out, which rights it takes, whether a closed gate lets it through, what logs, metrics and the
 * audit call it. To add one, add its number and its row, and carry it out in command/local/ and
 * command/remote/, which answer that there is no such command until then.
 *
 * On the hot path a set of verbs is a number, whose bit n is verb n (`hasVerb`). Verbs are compared with each
 * other, and never by whether they are higher or lower (test/house/verbs.test.ts).
 */

import { assert } from '../base/assert.ts'

export const VERB_UNKNOWN = 0
export const VERB_GET = 1
export const VERB_SET = 2
export const VERB_ADD = 3
export const VERB_REPLACE = 4
export const VERB_APPEND = 5
export const VERB_PREPEND = 6
export const VERB_DELETE = 7
export const VERB_INCREMENT = 8
export const VERB_DECREMENT = 9
export const VERB_TOUCH = 10
export const VERB_GET_AND_TOUCH = 11
export const VERB_FLUSH = 12
export const VERB_NOOP = 13
export const VERB_VERSION = 14
export const VERB_VERBOSITY = 15
export const VERB_STAT = 16
export const VERB_QUIT = 17
export const VERB_SASL_LIST = 18
export const VERB_SASL_START = 19
export const VERB_SASL_STEP = 20
/** A SET that compares also where the unique is 0, which no item has. */
export const VERB_CAS = 21
/** The meta commands (protocol.txt, "Meta Commands"). */
export const VERB_META_GET = 22
export const VERB_META_SET = 23
export const VERB_META_DELETE = 24
export const VERB_META_ARITHMETIC = 25
export const VERB_META_NOOP = 26
export const VERB_META_DEBUG = 27
/** An operator's command; its words are the tokens of the line. */
export const VERB_OPERATE = 28

/** More than there are: each is a bit of a set, and has a counter of its own in each dialect. */
export const VERBS_MAX = 32

// What a line of text has behind its first word; text/decode.ts and meta/decode.ts read it.
export const LINE_BARE = 0
export const LINE_KEYS = 1
export const LINE_EXPIRY_KEYS = 2
export const LINE_STORAGE = 3
export const LINE_KEY = 4
export const LINE_KEY_DELTA = 5
export const LINE_KEY_EXPIRY = 6
export const LINE_DELAY = 7
export const LINE_LEVEL = 8
export const LINE_SASL = 9
/** Words that only operators' commands have (text/operations.ts). */
export const LINE_OPERATION = 10
/** A verb of two letters, and flags. */
export const LINE_META = 11

export interface Verb {
  readonly number: number
  /** As text clients call it; in logs, metrics and the audit, too. */
  readonly name: string
  /** LINE_; undefined: there is no such line of text. */
  readonly line?: number
  /** The first word of that line, if it is not the name. */
  readonly word?: string
  /** Another first word: the values carry their CAS as well. */
  readonly casWord?: string
  /**
   * An item, by its key, or all of them: a store carries it out. A place among such requests, which it marks:
   * no store need be asked. The connection or the server: the dialect carries it out.
   */
  readonly about: 'item' | 'items' | 'place' | 'connection' | 'server'
  /** By their names in credential/rights.ts. What is about the server has its rights in operations.ts. */
  readonly takes: readonly ('read' | 'write' | 'delete' | 'arithmetic' | 'touch' | 'flush')[]
  /** It may take more, which command/permission.ts knows. */
  readonly mayTakeMore?: true
  /** A value to be stored comes with it. */
  readonly stores?: true
  /** A closed gate lets it through. */
  readonly beforeLogin?: true
  /** What OUTCOME_OK is in text; undefined: STORED. */
  readonly done?: 'DELETED' | 'OK'
}

/** Of the words of one length the text decoder tries the first one first. */
// biome-ignore format: a table has a line a row.
export const VERBS: readonly Verb[] = [
  { number: VERB_GET, name: 'get', casWord: 'gets', line: LINE_KEYS, about: 'item', takes: ['read'] },
  { number: VERB_SET, name: 'set', line: LINE_STORAGE, about: 'item', takes: ['write'], stores: true },
  { number: VERB_ADD, name: 'add', line: LINE_STORAGE, about: 'item', takes: ['write'], stores: true },
  { number: VERB_CAS, name: 'cas', line: LINE_STORAGE, about: 'item', takes: ['write'], stores: true },
  { number: VERB_GET_AND_TOUCH, name: 'gat', casWord: 'gats', line: LINE_EXPIRY_KEYS, about: 'item', takes: ['read', 'touch'] },
  { number: VERB_INCREMENT, name: 'incr', line: LINE_KEY_DELTA, about: 'item', takes: ['arithmetic'], mayTakeMore: true },
  { number: VERB_DECREMENT, name: 'decr', line: LINE_KEY_DELTA, about: 'item', takes: ['arithmetic'], mayTakeMore: true },
  { number: VERB_TOUCH, name: 'touch', line: LINE_KEY_EXPIRY, about: 'item', takes: ['touch'] },
  { number: VERB_DELETE, name: 'delete', line: LINE_KEY, about: 'item', takes: ['delete'], done: 'DELETED' },
  { number: VERB_APPEND, name: 'append', line: LINE_STORAGE, about: 'item', takes: ['write'], stores: true },
  { number: VERB_PREPEND, name: 'prepend', line: LINE_STORAGE, about: 'item', takes: ['write'], stores: true },
  { number: VERB_REPLACE, name: 'replace', line: LINE_STORAGE, about: 'item', takes: ['write'], stores: true },
  { number: VERB_META_GET, name: 'mg', line: LINE_META, about: 'item', takes: ['read'], mayTakeMore: true },
  { number: VERB_META_SET, name: 'ms', line: LINE_META, about: 'item', takes: ['write'], stores: true },
  { number: VERB_META_DELETE, name: 'md', line: LINE_META, about: 'item', takes: ['delete'], mayTakeMore: true },
  { number: VERB_META_ARITHMETIC, name: 'ma', line: LINE_META, about: 'item', takes: ['arithmetic'], mayTakeMore: true },
  { number: VERB_META_DEBUG, name: 'me', line: LINE_META, about: 'item', takes: ['read'] },
  { number: VERB_FLUSH, name: 'flush_all', line: LINE_DELAY, about: 'items', takes: ['flush'], done: 'OK' },
  { number: VERB_NOOP, name: 'noop', about: 'items', takes: [] },
  { number: VERB_META_NOOP, name: 'mn', line: LINE_META, about: 'place', takes: [] },
  { number: VERB_UNKNOWN, name: 'unknown', about: 'connection', takes: [] },
  { number: VERB_VERSION, name: 'version', line: LINE_BARE, about: 'connection', takes: [], beforeLogin: true },
  { number: VERB_QUIT, name: 'quit', line: LINE_BARE, about: 'connection', takes: [] },
  { number: VERB_SASL_LIST, name: 'sasl_list', about: 'connection', takes: [], beforeLogin: true },
  { number: VERB_SASL_START, name: 'sasl_start', line: LINE_SASL, word: 'sasl', about: 'connection', takes: [], beforeLogin: true },
  { number: VERB_SASL_STEP, name: 'sasl_step', about: 'connection', takes: [], beforeLogin: true },
  { number: VERB_VERBOSITY, name: 'verbosity', line: LINE_LEVEL, about: 'server', takes: [], done: 'OK' },
  { number: VERB_STAT, name: 'stat', line: LINE_BARE, word: 'stats', about: 'server', takes: [] },
  { number: VERB_OPERATE, name: 'operation', about: 'server', takes: [] },
]

/** By number. */
const BY_NUMBER: readonly (Verb | undefined)[] = byNumber()

function byNumber(): (Verb | undefined)[] {
  const rows: (Verb | undefined)[] = []
  for (const row of VERBS) {
    const isFree = row.number >= 0 && row.number < VERBS_MAX && rows[row.number] === undefined
    assert(isFree, 'each verb has a number of its own, and a bit for it')
    rows[row.number] = row
  }
  return rows
}

/** The row of a verb; not for the hot path. */
export function findVerb(number: number): Verb | undefined {
  return BY_NUMBER[number]
}

/** The set of the verbs that are so. */
export function verbsThat(are: (verb: Verb) => boolean): number {
  return VERBS.reduce((verbs, row) => (are(row) ? verbs | (1 << row.number) : verbs), 0)
}

export function hasVerb(verbs: number, verb: number): boolean {
  return ((verbs >>> verb) & 1) !== 0
}

// Sets that the hot path asks about, as literals, which the bundler puts in where they are asked: computed
// here, each is a load. test/unit/protocol/verbs.test.ts holds them to the rows.
/** They have a key. */
export const ITEM_VERBS = 0x0be0_0ffe
/** They do not come to a store. */
export const CONTROL_VERBS = 0x101f_c001
/** In text they have a list of keys. */
export const LIST_VERBS = 0x0000_0802
export const META_VERBS = 0x0fc0_0000
/** A value to be stored comes with them. */
export const STORING_VERBS = 0x00a0_007c
