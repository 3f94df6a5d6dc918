/**
 * Whether a user may have a command carried out, for whoever asks before it happens: `saslcached user
 * check`. It is decided by what decides it in the server; here is only what a person types turned into a
 * request, and the reason into a sentence.
 */

import {
  OPERATIONS,
  type Operation,
  type OperationParts,
} from '../../command/operations/operations.ts'
import { tellsOfAll } from '../../command/operations/stats.ts'
import { judge, rightsTaken } from '../../command/permission.ts'
import { ACCESS_ALL, type Access } from '../../credential/access.ts'
import { KeyPrefixes } from '../../credential/key-prefixes.ts'
import { NAMESPACE_DEFAULT_NAME } from '../../credential/principal.ts'
import { namesOf, RIGHT } from '../../credential/rights.ts'
import { DECODED, OUTCOME_OK, Request } from '../../protocol/request.ts'
import { decodeLine } from '../../protocol/text/decode.ts'
import { findOperation, readWithin } from '../../protocol/text/operations.ts'
import { scanLine } from '../../protocol/text/scan.ts'
import {
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_OPERATE,
  VERB_STAT,
  VERB_VERBOSITY,
} from '../../protocol/verbs.ts'

/** What a server offers at all. */
export interface Offers {
  readonly flushEnabled: boolean
  readonly dumpEnabled: boolean
  readonly watchEnabled: boolean
  readonly shutdownEnabled: boolean
  readonly hasCertificates: boolean
  readonly hasCluster: boolean
}

export interface PermissionVerdict {
  readonly isAllowed: boolean
  readonly reason: string
}

/** What stands behind the key where a person gives no more than that. */
const COMPLETIONS: Readonly<Record<string, string>> = {
  set: ' 0 0 0',
  add: ' 0 0 0',
  replace: ' 0 0 0',
  append: ' 0 0 0',
  prepend: ' 0 0 0',
  cas: ' 0 0 0 1',
  incr: ' 1',
  decr: ' 1',
  touch: ' 0',
  ms: ' 0',
}
const VALUE_BYTES_MAX = 1024
const LINE_BYTES_MAX = 8192

/** `words` is a command as a text client says it, with or without what stands behind its key. */
export function checkPermission(
  access: Access = ACCESS_ALL,
  words: readonly string[],
  offers: Offers,
): PermissionVerdict | undefined {
  const line = complete(words)
  const bytes = Buffer.from(`${line}\r\n\r\n`)
  const request = new Request()
  if (bytes.length > LINE_BYTES_MAX || !scanLine(bytes, 0, bytes.length, request)) return undefined
  const decoded = decodeLine(bytes, 0, bytes.length, VALUE_BYTES_MAX, VALUE_BYTES_MAX, request)
  if (decoded !== DECODED) return undefined
  const { verb } = request
  const [first, , ...within] = words
  if (verb === VERB_OPERATE && first === 'namespace') {
    return checkWithin(access, words, within, offers)
  }
  if (verb === VERB_OPERATE || verb === VERB_STAT || verb === VERB_VERBOSITY) {
    const found = verb === VERB_VERBOSITY ? 'verbosity' : findOperation(words)?.operation
    return found === undefined
      ? undefined
      : checkOperation(access, OPERATIONS[found], words, offers)
  }
  if (verb === VERB_FLUSH && !offers.flushEnabled) return notOffered('flush_all')
  return checkRequest(access, request, bytes, words)
}

/** What is carried out in a namespace by name takes its own right and that to name one. */
function checkWithin(
  access: Access,
  words: readonly string[],
  within: readonly string[],
  offers: Offers,
): PermissionVerdict | undefined {
  if (readWithin(words) === undefined) return undefined
  const naming = checkOperation(access, OPERATIONS.namespace, words, offers)
  if (!naming.isAllowed) return naming
  const verdict = checkPermission(access, within, offers)
  if (verdict === undefined || !verdict.isAllowed) return verdict
  return { isAllowed: true, reason: `${verdict.reason} and admin` }
}

function complete(words: readonly string[]): string {
  const [verb = '', key = ''] = words
  if (words.length !== 2) return words.join(' ')
  return verb === 'gat' || verb === 'gats'
    ? `${verb} 0 ${key}`
    : `${verb} ${key}${COMPLETIONS[verb] ?? ''}`
}

function checkOperation(
  { rights, namespace }: Access,
  { right, isGlobal, isOffered }: Operation,
  words: readonly string[],
  offers: Offers,
): PermissionVerdict {
  // What is offered is said by these alone.
  const parts = {
    ...offers,
    refreshCertificates: offers.hasCertificates || undefined,
    cluster: { current: offers.hasCluster || undefined },
  }
  if (isOffered?.(parts as unknown as OperationParts) === false) return notOffered(words.join(' '))
  const isOfAll = words[0] === 'stats' && tellsOfAll(words.slice(1).join(' '))
  if ((isGlobal === true || isOfAll) && namespace !== NAMESPACE_DEFAULT_NAME) {
    return {
      isAllowed: false,
      reason: `it is about all namespaces, and the user is in ${namespace}`,
    }
  }
  return judgeRights(rights, RIGHT[right] | (isOfAll ? RIGHT.admin : 0))
}

function notOffered(what: string): PermissionVerdict {
  return { isAllowed: false, reason: `the server does not offer ${what}` }
}

function judgeRights(rights: number, taken: number): PermissionVerdict {
  const lacking = namesOf(taken & ~rights)
  if (lacking.length > 0) return { isAllowed: false, reason: `it lacks ${lacking.join(' and ')}` }
  const names = namesOf(taken)
  return {
    isAllowed: true,
    reason: names.length === 0 ? 'that takes no right' : `it has ${names.join(' and ')}`,
  }
}

function checkRequest(
  access: Access,
  request: Request,
  bytes: Uint8Array,
  words: readonly string[],
): PermissionVerdict {
  const { rights, keyPrefixes } = access
  const taken = rightsTaken(request)
  const verdict = judgeRights(rights, taken)
  if (!verdict.isAllowed || taken === 0 || keyPrefixes === undefined) return verdict
  const restriction = {
    rights,
    keyPrefixes: new KeyPrefixes(keyPrefixes.map((prefix) => Buffer.from(prefix))),
    refused: () => undefined,
  }
  for (const key of keysOf(request, words)) {
    request.keyOffset = key.offset
    request.keyLength = key.length
    if (judge(request, bytes, restriction) === OUTCOME_OK) continue
    const shown = keyPrefixes.map((prefix) => JSON.stringify(prefix)).join(' or ')
    return { isAllowed: false, reason: `${key.text} does not begin with ${shown}` }
  }
  return { isAllowed: true, reason: `${verdict.reason}, and the key begins as it must` }
}

interface Key {
  readonly text: string
  readonly offset: number
  readonly length: number
}

/** All of a list; of other requests the one they have. */
function keysOf(
  { verb, tokens, tokenCount, keyOffset, keyLength }: Request,
  words: readonly string[],
): Key[] {
  const isList = verb === VERB_GET || verb === VERB_GET_AND_TOUCH
  if (!isList) return [{ text: words[1] ?? '', offset: keyOffset, length: keyLength }]
  const first = verb === VERB_GET ? 1 : 2
  const count = Math.min(tokenCount, tokens.length / 2)
  return Array.from({ length: count - first }, (_, index) => {
    const token = first + index
    const offset = tokens[2 * token] ?? 0
    const fromEnd = tokenCount - token
    return { text: words.at(-fromEnd) ?? '', offset, length: (tokens[2 * token + 1] ?? 0) - offset }
  })
}
