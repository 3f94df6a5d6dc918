/**
 * Hot path. Whether a caller may have a request carried out: the rights that it takes, which are those of its
 * verb (protocol/verbs.ts) and what its details add, and the keys that it may use. This is the one place that
 * knows. The command face (commands.ts) asks for each request, and also when dialects ask it before something is
 * kept or begun for one: a value that arrives, a copy, the hits of a list. What a user may do can change while such
 * a request waits.
 *
 *   a verb with                           takes as well
 *   mg and ma with N, INCREMENT and
 *   DECREMENT with an initial value       write: they make the item where there is none
 *   mg with R                             write: whoever wins is the one to write, and others wait
 *   mg, md and ma with T                  touch
 *
 * A mode takes nothing more: ms that appends takes what ms takes, md that makes stale or empties what md takes.
 *
 * A request that changes an item tells whether it was there, and arithmetic the new number: those rights
 * come with that much reading. Operators' commands have their rights in operations/operations.ts.
 *
 * Invariant: a caller without a restriction costs one look at a field; one that has rights alone, a look
 * at a table more.
 */
import { RIGHT, rightsOf } from '../credential/rights.ts'
import { FLAG_N, FLAG_R, FLAG_T } from '../protocol/meta/decode.ts'
import { OUTCOME_NO_KEY, OUTCOME_NO_RIGHT, OUTCOME_OK, type Request } from '../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../protocol/request-key.ts'
import { findTokenEnd, skipSpaces } from '../protocol/text/scan.ts'
import {
  findVerb,
  VERB_DECREMENT,
  VERB_INCREMENT,
  VERB_META_DELETE,
  VERB_META_GET,
  VERBS_MAX,
} from '../protocol/verbs.ts'
import type { Restriction } from './caller.ts'

/** Bytes of a list of keys that are judged in one turn: one of two bytes, or less, takes some 40 ns. */
export const JUDGED_BYTES_MAX: number = 64 * 1024

/** The request has one key, and it is where the request says. */
const HAS_KEY = 1 << 30
/** What it takes depends on more than its verb. */
const DEPENDS = 1 << 29

/** Every right there is. */
const RIGHT_BITS: number = DEPENDS - 1

/** By verb. A number that is no verb is only for who may do everything. */
const TAKES: Int32Array = Int32Array.from({ length: VERBS_MAX }, (_, number) => {
  const verb = findVerb(number)
  if (verb === undefined) return RIGHT_BITS
  const { about, mayTakeMore } = verb
  return (
    rightsOf(verb.takes) | (about === 'item' ? HAS_KEY : 0) | (mayTakeMore === true ? DEPENDS : 0)
  )
})

/** The rights that a decoded request takes, as bits of RIGHT. */
export function rightsTaken(request: Request): number {
  const takes = TAKES[request.verb]!
  return ((takes & DEPENDS) === 0 ? takes : takes | rightsOfDetails(request)) & RIGHT_BITS
}

function rightsOfDetails(request: Request): number {
  const { verb, upperFlags } = request
  if (verb === VERB_INCREMENT || verb === VERB_DECREMENT) {
    return request.createsMissing ? RIGHT.write : 0
  }
  let rights = (upperFlags & FLAG_T) !== 0 ? RIGHT.touch : 0
  if (verb !== VERB_META_DELETE && (upperFlags & FLAG_N) !== 0) rights |= RIGHT.write
  if (verb === VERB_META_GET && (upperFlags & FLAG_R) !== 0) rights |= RIGHT.write
  return rights
}

/** OUTCOME_OK, or which OUTCOME_NO_ stands against it; nobody is told. `bytes` hold the key. */
export function judge(request: Request, bytes: Uint8Array, restriction: Restriction): number {
  const taken = rightsTaken(request)
  if ((restriction.rights & taken) !== taken) return OUTCOME_NO_RIGHT
  const { keyPrefixes } = restriction
  if (keyPrefixes === undefined || (TAKES[request.verb]! & HAS_KEY) === 0) return OUTCOME_OK
  const key = keyBytesOf(request, bytes)
  return keyPrefixes.cover(key, keyOffsetOf(request), request.keyLength)
    ? OUTCOME_OK
    : OUTCOME_NO_KEY
}

/** The same, and a refusal is told. */
export function refusalOf(request: Request, bytes: Uint8Array, restriction: Restriction): number {
  const outcome = judge(request, bytes, restriction)
  if (outcome !== OUTCOME_OK) {
    const hasKey = (TAKES[request.verb]! & HAS_KEY) !== 0
    tell(request, outcome, restriction, hasKey ? keyOf(request, bytes) : undefined)
  }
  return outcome
}

/**
 * The same for a list of keys in `bytes[from, end)`, separated by spaces: one that may not be used spoils
 * the request, as one that is too long does, before any of it is answered. What is told is the first that may not
 * be used, or without the right the first of all.
 *
 * Of a list of millions only those that begin in its first JUDGED_BYTES_MAX: for all of them others would wait a
 * tenth of a second. Each of the rest is judged when its turn comes, and ends the answer where it may not be used.
 */
export function refusalOfKeys(
  request: Request,
  bytes: Uint8Array,
  from: number,
  end: number,
  restriction: Restriction,
): number {
  const { rights, keyPrefixes } = restriction
  const taken = rightsTaken(request)
  let at = skipSpaces(bytes, from, end)
  if ((rights & taken) !== taken) {
    tell(request, OUTCOME_NO_RIGHT, restriction, bytes.subarray(at, findTokenEnd(bytes, at, end)))
    return OUTCOME_NO_RIGHT
  }
  if (keyPrefixes === undefined) return OUTCOME_OK
  const judgedEnd = Math.min(end, from + JUDGED_BYTES_MAX)
  while (at < judgedEnd) {
    const keyEnd = findTokenEnd(bytes, at, end)
    if (!keyPrefixes.cover(bytes, at, keyEnd - at)) {
      // Told from here: to look for it again would take as long once more.
      tell(request, OUTCOME_NO_KEY, restriction, bytes.subarray(at, keyEnd))
      return OUTCOME_NO_KEY
    }
    at = skipSpaces(bytes, keyEnd, end)
  }
  return OUTCOME_OK
}

function tell(
  request: Request,
  outcome: number,
  restriction: Restriction,
  key: Uint8Array | undefined,
): void {
  const lack = outcome === OUTCOME_NO_RIGHT ? 'right' : 'key'
  restriction.refused(nameOfVerb(request.verb), lack, key)
}

function keyOf(request: Request, bytes: Uint8Array): Uint8Array {
  const offset = keyOffsetOf(request)
  return keyBytesOf(request, bytes).subarray(offset, offset + request.keyLength)
}

/** As text clients call it; not for the hot path. */
export function nameOfVerb(verb: number): string {
  return findVerb(verb)?.name ?? ''
}

/** Whether a key may be read, in whatever words that is asked. */
export function mayRead(
  restriction: Restriction,
  key: Uint8Array,
  keyOffset: number,
  keyLength: number,
): boolean {
  const { rights, keyPrefixes } = restriction
  if ((rights & RIGHT.read) === 0) return false
  return keyPrefixes === undefined || keyPrefixes.cover(key, keyOffset, keyLength)
}
