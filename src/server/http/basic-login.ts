/**
 * Who is at the other end of an HTTP connection, by HTTP's basic authentication (RFC 7617): a login by PLAIN
 * under another name, and held to all that holds for PLAIN: the same users, throttle, turns at key
 * derivation and memory of right passwords; an unknown user costs and looks the same.
 *
 * A login is one of the connection, as elsewhere: who sends the same header again on it is not looked up
 * again, not logged again, and not refused meanwhile.
 *
 * Invariant: no password is kept, only a keyed hash of the header of a login that succeeded.
 */
import type { Pipe } from '../../base/pipe.ts'
import type { LoginEvent } from '../../connection/auth-gate.ts'
import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import { NAMESPACE_DEFAULT, type Principal } from '../../credential/principal.ts'
import { RIGHT, type Right } from '../../credential/rights.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'
import type { RememberedLogin } from '../../sasl/login-memory.ts'
import { SaslSession } from '../../sasl/session.ts'
import { HTTP_MECHANISM } from '../worker/event-counters.ts'

/** HTTP basic gives what PLAIN takes. */
export const BASIC_MECHANISM = 'PLAIN'

/**
 * 'allowed-own': what users of the default namespace are told, and nothing of others; 'unknown': did not say who
 * they are; 'refused': and did not prove it.
 */
export type LoginVerdict = 'allowed' | 'allowed-own' | 'denied' | 'unknown' | 'refused'

export interface BasicLoginOptions {
  readonly sasl: SaslEnvironment
  readonly onLogin: (event: LoginEvent) => void
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  readonly after: (delayMs: number, run: () => void) => void
}

interface LoggedIn {
  readonly principal: Principal
  readonly header: Uint8Array
  readonly generation: number
}

/** Longer than any name and password together, in Base64. */
const HEADER_CHARS_MAX = 4096
const BASIC = /^basic +([a-z0-9+/]+={0,2}) *$/i

export class BasicLogin {
  private readonly options: BasicLoginOptions
  private readonly loggedIn: WeakMap<Pipe, LoggedIn> = new WeakMap()

  constructor(options: BasicLoginOptions) {
    this.options = options
  }

  /** Other users from now on. */
  replaceCredentials(snapshot: CredentialSnapshot): void {
    this.options.sasl.replaceCredentials(snapshot)
  }

  /** A password that another thread found right. */
  learn(login: RememberedLogin): void {
    this.options.sasl.learn(login)
  }

  /** What `header` (Authorization) gives to the client of a connection, `pipe`. */
  async check(header: string | undefined, pipe: Pipe, right: Right): Promise<LoginVerdict> {
    const message = header === undefined ? undefined : decodeBasic(header)
    if (header === undefined || message === undefined) return 'unknown'
    const principal = this.known(header, pipe) ?? (await this.logIn(header, message, pipe))
    if (principal === undefined) return 'refused'
    return verdictOn(principal, right)
  }

  private known(header: string, pipe: Pipe): Principal | undefined {
    const { credentials } = this.options.sasl
    const before = this.loggedIn.get(pipe)
    if (before === undefined || before.generation !== credentials.generation) return undefined
    return areEqual(before.header, this.digest(header)) ? before.principal : undefined
  }

  private async logIn(
    header: string,
    message: Uint8Array,
    pipe: Pipe,
  ): Promise<Principal | undefined> {
    const { sasl, onLogin, nowMs, after } = this.options
    const { generation } = sasl.credentials
    const sinceMs = nowMs()
    const step = await new SaslSession(sasl, pipe).start(BASIC_MECHANISM, message)
    const { peer } = pipe
    if (step.kind === 'success') {
      const { principal } = step
      onLogin({ succeeded: true, principal, peer, mechanism: HTTP_MECHANISM })
      this.loggedIn.set(pipe, { principal, header: this.digest(header), generation })
      return principal
    }
    if (step.kind === 'failure') {
      const { user, unknownUser, reason, delayMs } = step
      onLogin({ succeeded: false, user, unknownUser, reason, peer, mechanism: HTTP_MECHANISM })
      // From the message on, as delays are meant: behind the check the sum would tell that there was one.
      const restMs = Math.ceil(sinceMs + (delayMs ?? 0) - nowMs())
      if (restMs > 0) await new Promise<void>((resolve) => after(restMs, resolve))
    }
    return undefined
  }

  private digest(header: string): Uint8Array {
    return this.options.sasl.memory.digest(header, '')
  }
}

/** As for `stats`: what is counted of the process is for the default namespace, and all of them for administrators. */
function verdictOn({ rights, namespace, keyPrefixes }: Principal, right: Right): LoginVerdict {
  if (namespace !== NAMESPACE_DEFAULT || keyPrefixes !== undefined) return 'denied'
  if ((rights & RIGHT[right]) === 0) return 'denied'
  return (rights & RIGHT.admin) !== 0 ? 'allowed' : 'allowed-own'
}

/** The message of PLAIN (RFC 4616) that says the same; undefined if the header is not one of Basic. */
function decodeBasic(header: string): Uint8Array | undefined {
  if (header.length > HEADER_CHARS_MAX) return undefined
  const encoded = BASIC.exec(header)?.[1]
  if (encoded === undefined) return undefined
  const bytes = Buffer.from(encoded, 'base64')
  const colon = bytes.indexOf(':')
  if (colon === -1) return undefined
  bytes[colon] = 0
  return Buffer.concat([Buffer.of(0), bytes])
}

function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length
  for (const [index, byte] of one.entries()) difference |= byte ^ (other[index] ?? 0)
  return difference === 0
}
