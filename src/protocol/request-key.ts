/**
 * Hot path. Where a request's key is: among its bytes, or, of a meta command that sent it as base64,
 * decoded. Other verbs leave that field as it was.
 */

import type { Request } from './request.ts'
import { hasVerb, META_VERBS } from './verbs.ts'

export function keyBytesOf(request: Request, bytes: Uint8Array): Uint8Array {
  return hasBinaryKey(request) ? request.binaryKey : bytes
}

export function keyOffsetOf(request: Request): number {
  return hasBinaryKey(request) ? 0 : request.keyOffset
}

function hasBinaryKey(request: Request): boolean {
  return request.hasBinaryKey && hasVerb(META_VERBS, request.verb)
}
