/**
 * One look at the place where an issuer publishes its keys. The server at the other end may be anybody's
 * by mistake: it gets a bounded time for all it has to say, may say so much, and may send us nowhere else.
 */
import type { IncomingMessage } from 'node:http'
import type { RequestOptions } from 'node:https'
import { KEY_SET_BYTES_MAX } from '../../credential/token-keys.ts'
import { loadHttp, loadHttps } from '../net/http-modules.ts'

export interface JwksRequest {
  readonly url: string
  /** PEM, of whom the server must have its certificate; undefined: of those that Node trusts. */
  readonly ca: string | undefined
  /** Shown to the server. */
  readonly token: string | undefined
}

export type FetchJwks = (request: JwksRequest) => Promise<FetchedJwks | string>

export interface FetchedJwks {
  readonly text: string
}

/** From the look-up of the name to the last byte. */
const FETCH_MS_MAX = 5000
const HEADER_BYTES_MAX = 16 * 1024

/** What was published; a string says why it could not be had, with nothing secret in it. */
export function fetchJwks(
  { url, ca, token }: JwksRequest,
  timeMsMax: number = FETCH_MS_MAX,
): Promise<FetchedJwks | string> {
  const isSecure = url.startsWith('https:')
  const options: RequestOptions & { ca?: string; rejectUnauthorized: boolean; minVersion: string } =
    {
      agent: false,
      maxHeaderSize: HEADER_BYTES_MAX,
      signal: AbortSignal.timeout(timeMsMax),
      headers: {
        accept: 'application/jwk-set+json, application/json',
        'accept-encoding': 'identity',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      // Also where NODE_TLS_REJECT_UNAUTHORIZED says otherwise: these keys let people in.
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
    }
  const { get } = isSecure ? loadHttps() : loadHttp()
  return new Promise((resolve) => {
    const request = get(url, options, (response) => {
      readBody(response, resolve)
    })
    request.on('error', (error) => resolve(describe(error, timeMsMax)))
    // Whatever was said, nothing more is wanted of this connection.
    request.on('close', () => resolve('the connection ended before its answer'))
  })
}

function readBody(
  response: IncomingMessage,
  resolve: (result: FetchedJwks | string) => void,
): void {
  const settle = (result: FetchedJwks | string): void => {
    resolve(result)
    response.destroy()
  }
  const problem = problemWith(response)
  if (problem !== undefined) {
    settle(problem)
    return
  }
  const chunks: Uint8Array[] = []
  let length = 0
  response.on('data', (chunk: Uint8Array) => {
    length += chunk.length
    if (length > KEY_SET_BYTES_MAX) settle(`it answers with more than ${KEY_SET_BYTES_MAX} bytes`)
    else chunks.push(chunk)
  })
  response.on('end', () => settle({ text: Buffer.concat(chunks).toString() }))
}

function problemWith({ statusCode = 0, headers }: IncomingMessage): string | undefined {
  if (statusCode >= 300 && statusCode < 400) {
    return `it answers with a redirect (${statusCode}), which is not followed`
  }
  if (statusCode !== 200) return `it answers with status ${statusCode}`
  return (headers['content-encoding'] ?? 'identity') === 'identity'
    ? undefined
    : 'it answers in an encoding that was not asked for'
}

/** Codes alone: messages repeat what was sent. */
function describe(error: Error & { code?: unknown }, timeMsMax: number): string {
  if (error.name === 'AbortError' || error.name === 'TimeoutError') {
    return `it does not answer within ${timeMsMax / 1000} s`
  }
  return `it cannot be asked (${typeof error.code === 'string' ? error.code : error.name})`
}
