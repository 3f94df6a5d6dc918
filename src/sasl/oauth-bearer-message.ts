/**
 * The client's message of OAUTHBEARER (RFC 7628, 3.1), parsed strictly:
 *
 *   gs2-header          n,a=user@example.com,
 *   kvsep               %x01
 *   *(key "=" value kvsep)   host=cache.example.com %x01 port=11211 %x01 auth=Bearer <token> %x01
 *   kvsep               %x01
 *
 * Keys that nobody has defined are passed over, as the RFC wants it. `host` and `port` are what the client
 * believes to have connected to, behind whatever proxy: they are read for their form alone.
 */
import { NAME_BYTES_MAX } from '../credential/prepare.ts'
import { TOKEN_BYTES_MAX } from '../credential/token-verifier.ts'
import { unescapeName } from './scram-message.ts'

/** An authorization identity may grow threefold when it is escaped; the rest is for the other keys. */
export const OAUTH_BEARER_BYTES_MAX: number = TOKEN_BYTES_MAX + 3 * NAME_BYTES_MAX + 2048

export interface BearerMessage {
  /** Empty if the client named nobody. */
  readonly authorizationIdentity: string
  readonly token: string
}

export type MessageProblem = 'malformed' | 'channel-binding'

const SEPARATOR = '\u0001'
/** %x21-7E, space, tab, CR, LF. */
const VALUE = /^[\t\n\r -~]*$/
const KEY = /^[A-Za-z]+$/
/** RFC 6750, 2.1: the scheme of HTTP, whose case does not matter, and a b64token. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i
const PORT = /^[0-9]{1,5}$/

/** A string as result says why it is refused. */
export function parseBearerMessage(text: string): BearerMessage | MessageProblem {
  // All are cut apart before any is looked at; there are at most as many as bytes.
  const [header = '', ...parts] = text.split(SEPARATOR)
  const [flag = '', authorization, end, ...rest] = header.split(',')
  if (authorization === undefined || end !== '' || rest.length > 0) return 'malformed'
  // There is no OAUTHBEARER-PLUS, so nobody can be bound to a channel.
  if (flag.startsWith('p=')) return 'channel-binding'
  if (flag !== 'n' && flag !== 'y') return 'malformed'
  let authorizationIdentity: string | undefined = ''
  if (authorization !== '') {
    if (!authorization.startsWith('a=')) return 'malformed'
    authorizationIdentity = unescapeName(authorization.slice(2))
    if (authorizationIdentity === undefined) return 'malformed'
  }
  // Each pair ends in a separator, and so does the whole.
  if (parts.pop() !== '' || parts.pop() !== '') return 'malformed'
  const token = findToken(parts)
  return token === undefined ? 'malformed' : { authorizationIdentity, token }
}

function findToken(pairs: readonly string[]): string | undefined {
  let token: string | undefined
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    if (equals < 0 || !KEY.test(pair.slice(0, equals))) return undefined
    const value = pair.slice(equals + 1)
    if (!VALUE.test(value)) return undefined
    switch (pair.slice(0, equals)) {
      case 'auth': {
        const found = BEARER.exec(value)?.[1]
        // Which of two counts must not be a riddle.
        if (found === undefined || token !== undefined) return undefined
        if (found.length > TOKEN_BYTES_MAX) return undefined
        token = found
        break
      }
      case 'port':
        if (!PORT.test(value)) return undefined
        break
      default:
        // A key that the RFC does not know is passed over.
        break
    }
  }
  return token
}
