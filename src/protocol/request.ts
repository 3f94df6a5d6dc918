/**
 * Hot path. The logical request and its logical outcome: what every dialect decodes to and encodes
 * from, so that `command/` knows no dialect. What there is to know of each verb is in verbs.ts.
 *
 * One Request record is reused for all requests of a worker. Offsets point into the bytes that the
 * decoder was given and are valid until the next decode. A decoder sets every field that its verb
 * uses; fields that a verb does not use hold what an earlier request left there.
 */
import { VERB_UNKNOWN } from './verbs.ts'

// Outcomes. Numbers, not exceptions: a miss costs no more than a hit.
export const OUTCOME_OK = 0
/** The item was found; its value is copied out by the caller, then the store is released. */
export const OUTCOME_HIT = 1
export const OUTCOME_NOT_FOUND = 2
export const OUTCOME_EXISTS = 3
export const OUTCOME_NOT_STORED = 4
export const OUTCOME_TOO_LARGE = 5
export const OUTCOME_NO_MEMORY = 6
export const OUTCOME_NON_NUMERIC = 7
export const OUTCOME_INVALID = 8
export const OUTCOME_UNKNOWN_COMMAND = 9
/** Not logged in, a login that failed, or something that this server does not do. */
export const OUTCOME_REFUSED = 10
/** INCREMENT or DECREMENT: the new number is in the result. */
export const OUTCOME_NUMBER = 11
/** TOUCH: the flags are in the result. */
export const OUTCOME_TOUCHED = 12
/** The item was found; its value was not asked for and nothing is held. */
export const OUTCOME_FOUND = 13
/** An item changed while it was extended in pieces: no answer, the request is to be tried again. */
export const OUTCOME_CHANGED = 14
/** The outcome is to come, from a store elsewhere: no answer yet. */
export const OUTCOME_PENDING = 15
/** The user lacks a right that the request takes. */
export const OUTCOME_NO_RIGHT = 16
/** The user may not use that key. */
export const OUTCOME_NO_KEY = 17
// A store elsewhere failed. What it made of the request is known in the last two cases only: nothing.
/** It did not answer in time. */
export const OUTCOME_STORE_LATE = 18
/** It is out of reach. */
export const OUTCOME_STORE_DOWN = 19
/** So much waits for it that this request was not given to it. */
export const OUTCOME_STORE_BUSY = 20
/** It refused. */
export const OUTCOME_STORE_REFUSED = 21

// What a decoder says of the bytes it was given.
/** A whole request is in the record; it takes `frameBytes`. */
export const DECODED = 0
/** More bytes are needed: at least `frameBytes` in all, counted from the request's first byte. */
export const INCOMPLETE = 1
/** A whole request, but not acceptable: answer OUTCOME_INVALID and close. */
export const INVALID_CLOSE = 2
/** Lengths that contradict each other: answer OUTCOME_UNKNOWN_COMMAND and close. */
export const UNFRAMED_CLOSE = 3
/** Not a request of this dialect at all: close without a reply. */
export const WRONG_MAGIC = 4
/** The value exceeds what can be stored: answer OUTCOME_TOO_LARGE, skip `frameBytes` in all. */
export const OVERSIZE = 5
/** A wrong line: answer `problem`, and skip `frameBytes`, which counts a data block if one follows. */
export const WRONG_LINE = 6

/** Tokens of a line whose place is kept; only a list of keys has more. */
export const TOKENS_MAX = 24

export class Request {
  verb: number = VERB_UNKNOWN
  /** Wire opcode, echoed in the response. */
  opcode = 0
  quiet = false
  /** The response carries the key (GETK, GATK). */
  wantsKey = false
  opaque = 0
  casHigh = 0
  casLow = 0
  keyOffset = 0
  keyLength = 0
  valueOffset = 0
  valueLength = 0
  flags = 0
  /** As the wire has it: 0, relative seconds up to 30 days, or Unix time. Unsigned 32 bits. */
  expiry = 0
  deltaHigh = 0
  deltaLow = 0
  initialHigh = 0
  initialLow = 0
  /** INCREMENT, DECREMENT: a missing item is made with the initial value. */
  createsMissing = false
  /** VERBOSITY. */
  level = 0
  /** Bytes of the whole request on the wire; of the part that must arrive first if INCOMPLETE. */
  frameBytes = 0

  // Text and meta.
  /** The value carries its CAS (gets, gats). */
  wantsCas = false
  /** Start and end of each token of the line, the verb first. */
  readonly tokens: Int32Array = new Int32Array(2 * TOKENS_MAX)
  /** Tokens of the line, kept or not. */
  tokenCount = 0
  /** Bytes of the longest token behind the verb. */
  tokenBytesMax = 0
  /** Offset of the line feed. */
  lineEnd = 0
  /** Of a list of keys: where it ends. The first of them is at keyOffset. */
  keysEnd = 0
  /** WRONG_LINE: which answer (protocol/text/problems.ts). */
  problem = 0

  // Meta.
  /** Which flags the request has: bit 0 is `a` or `A`. */
  lowerFlags = 0
  upperFlags = 0
  /** M: the mode's letter, 0 if absent. */
  mode = 0
  /** E: the CAS that the item gets. */
  newCasHigh = 0
  newCasLow = 0
  /** N and R, like `expiry`. */
  vivifyExpiry = 0
  recacheExpiry = 0
  /** Which token T, N or R is: they take effect in the order of the line. Only if the flag is there. */
  expiryToken = 0
  vivifyToken = 0
  recacheToken = 0
  /** The key was sent as base64: it is in `binaryKey`, from 0 to `keyLength`. */
  hasBinaryKey = false
  readonly binaryKey: Uint8Array = new Uint8Array(256)
}
