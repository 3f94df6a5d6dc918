/**
 * What a request asks for, apart from the connection that it came on: whoever waits for an answer to it, a login, say,
 * holds this, and neither a socket nor a parser.
 */
import type { IncomingMessage } from 'node:http'
import { type RouteAnswer, TEXT_PLAIN } from './route.ts'

const STATUS_BAD_REQUEST = 400
const STATUS_METHOD_NOT_ALLOWED = 405
const STATUS_TOO_LARGE = 413

export interface Asked {
  /** It cannot be answered otherwise, whatever it asks for. */
  readonly problem: RouteAnswer | undefined
  /** As it was sent: what is escaped in it is no path that there is. */
  readonly path: string
  readonly query: string
  readonly host: string | undefined
  readonly authorization: string | undefined
  /** Or the empty string. */
  readonly accept: string
}

export function askedBy(request: IncomingMessage): Asked {
  const { url = '', headers } = request
  const mark = url.indexOf('?')
  return {
    problem: problemOf(request),
    path: mark === -1 ? url : url.slice(0, mark),
    query: mark === -1 ? '' : url.slice(mark + 1),
    host: headers.host,
    authorization: headers.authorization,
    accept: headers.accept ?? '',
  }
}

export function refusal(status: number, sentence: string): RouteAnswer {
  return { status, contentType: TEXT_PLAIN, body: `${sentence}\n` }
}

function problemOf(request: IncomingMessage): RouteAnswer | undefined {
  const { method, headers, url } = request
  const { host: hosts = [], authorization: logins = [] } = request.headersDistinct
  if (method !== 'GET' && method !== 'HEAD') {
    const answer = refusal(STATUS_METHOD_NOT_ALLOWED, 'GET and HEAD are answered here.')
    return { ...answer, headers: { allow: 'GET, HEAD', connection: 'close' } }
  }
  const length = headers['content-length']
  if (headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')) {
    const answer = refusal(STATUS_TOO_LARGE, 'No request has a body here.')
    return { ...answer, headers: { connection: 'close' } }
  }
  if (url?.startsWith('/') !== true) {
    return refusal(STATUS_BAD_REQUEST, 'A request names a path.')
  }
  // Node keeps the first; who stands in between may have looked at the second (RFC 9112, 3.2).
  if (hosts.length > 1) {
    return refusal(STATUS_BAD_REQUEST, 'A request names one host.')
  }
  if (logins.length > 1) {
    return refusal(STATUS_BAD_REQUEST, 'A request has one login.')
  }
  return undefined
}
