/**
 * Tokens: JSON Web Tokens that an issuer has signed (RFC 7519, with the advice of RFC 8725). `examine` looks
 * at what costs next to nothing: size, shape, algorithm, times, issuer, audience. Only what passes has
 * its signature checked, by jose, on the thread pool; and only what jose hands back is believed: what
 * `examine` saw serves to refuse, never to let in.
 *
 * jose is loaded by `loadTokenTools` alone: who takes no tokens pays nothing for it.
 */
import type { jwtVerify } from 'jose/jwt/verify'
import { assert } from '../base/assert.ts'
import { findClaim } from './claim-path.ts'
import { prepare, problemWith } from './prepare.ts'
import { isRecord, type TokenKey } from './token-keys.ts'

/** Of the whole token, which is ASCII. Those of large identity providers have 1 to 4 KiB. */
export const TOKEN_BYTES_MAX: number = 16 * 1024
const KEY_ID_CHARS_MAX = 256
/** More roles than anybody has; each is looked up. */
const ROLES_MAX = 256
/** Of the roles that are built in, those that reach beyond single items. */
const MIGHTY_ROLES: readonly string[] = ['admin', 'operator']

export interface TokenPolicy {
  readonly issuer: string
  /** A token is for one of these, or not for us. */
  readonly audiences: readonly string[]
  /** Of TOKEN_ALGORITHMS. */
  readonly algorithms: readonly string[]
  /** How much the clock of the issuer may differ from ours. */
  readonly clockSkewSeconds: number
  /** Paths, see claim-path.ts. */
  readonly userClaim: string
  readonly rolesClaim: string | undefined
  /** Of roles in tokens those count that begin with it; the rest of each is the role. */
  readonly rolesPrefix: string
}

/** Why a token is refused; each is a FailureReason as well. */
export type TokenProblem =
  | 'malformed'
  | 'token-algorithm'
  | 'token-key'
  | 'token-signature'
  | 'token-expired'
  | 'token-not-yet-valid'
  | 'token-issuer'
  | 'token-audience'
  | 'token-claims'

/** What a token says of itself. Nobody has vouched for it yet. */
export interface ExaminedToken {
  readonly token: string
  readonly algorithm: string
  readonly keyId: string | undefined
  /** Prepared; for a log that says whom a bad token named. */
  readonly claimedUser: string
}

export interface VerifiedToken {
  /** As it stands in the token. */
  readonly rawName: string
  /** Prepared (SASLprep). */
  readonly name: string
  readonly roles: readonly string[]
  /** From when on the token would not be taken any more, in seconds since 1970. */
  readonly expiresAt: number
}

let verifyWithJose: typeof jwtVerify | undefined

/** To be called before the first token is checked, by each thread that checks some. */
export async function loadTokenTools(): Promise<void> {
  verifyWithJose ??= (await import('jose/jwt/verify')).jwtVerify
}

export class TokenVerifier {
  readonly policy: TokenPolicy
  readonly #epochSeconds: () => number

  /** `epochSeconds` is the server's clock. */
  constructor(policy: TokenPolicy, epochSeconds: () => number) {
    this.policy = policy
    this.#epochSeconds = epochSeconds
  }

  /** `certificate`: fingerprint of the client's, SHA-256 in hexadecimal digits, if it was verified. */
  examine(token: string, certificate: string | undefined): ExaminedToken | TokenProblem {
    if (token.length > TOKEN_BYTES_MAX) return 'malformed'
    const [headerPart = '', claimsPart = '', signature = '', ...rest] = token.split('.')
    const header = decodePart(headerPart)
    const claims = decodePart(claimsPart)
    if (header === undefined || claims === undefined || rest.length > 0) return 'malformed'
    const { alg: algorithm, kid: keyId } = header
    if (typeof algorithm !== 'string') return 'malformed'
    // Before all else that is about keys: `none` has no signature, HS256 would take a public key for one.
    if (!this.policy.algorithms.includes(algorithm)) return 'token-algorithm'
    if (!PART.test(signature)) return 'malformed'
    if (!isPlainHeader(header)) return 'malformed'
    if (keyId !== undefined && (typeof keyId !== 'string' || keyId.length > KEY_ID_CHARS_MAX)) {
      return 'malformed'
    }
    const problem = this.#problemWithClaims(claims, certificate)
    if (problem !== undefined) return problem
    const { name } = readUser(findClaim(claims, this.policy.userClaim)) ?? {}
    return name === undefined ? 'token-claims' : { token, algorithm, keyId, claimedUser: name }
  }

  /** `examined` came through `examine` with the same certificate, `key` fits its algorithm. */
  async verify(
    { token, algorithm }: ExaminedToken,
    key: TokenKey,
    certificate: string | undefined,
  ): Promise<VerifiedToken | TokenProblem> {
    assert(verifyWithJose !== undefined, 'loadTokenTools() comes first')
    const { issuer, audiences, clockSkewSeconds, userClaim, rolesClaim, rolesPrefix } = this.policy
    let claims: Record<string, unknown>
    try {
      const verified = await verifyWithJose(token, key.jwk, {
        algorithms: [algorithm],
        issuer,
        audience: [...audiences],
        clockTolerance: clockSkewSeconds,
        currentDate: new Date(this.#epochSeconds() * 1000),
        requiredClaims: ['exp', 'iss', 'aud'],
      })
      claims = verified.payload
    } catch (error) {
      return problemOf(error)
    }
    // Once more, of what is signed; also as time has passed.
    const problem = this.#problemWithClaims(claims, certificate)
    if (problem !== undefined) return problem
    const user = readUser(findClaim(claims, userClaim))
    if (user === undefined) return 'token-claims'
    const roles = rolesClaim === undefined ? [] : readRoles(findClaim(claims, rolesClaim))
    if (roles === undefined) return 'token-claims'
    const expiresAt = Number(claims.exp) + clockSkewSeconds
    return { ...user, roles: rolesMeant(roles, rolesPrefix), expiresAt }
  }

  #problemWithClaims(
    claims: Record<string, unknown>,
    certificate: string | undefined,
  ): TokenProblem | undefined {
    const { issuer, audiences, clockSkewSeconds } = this.policy
    const { iss, aud, exp, nbf, cnf } = claims
    if (iss !== issuer) return 'token-issuer'
    const isForUs = (value: unknown): boolean =>
      typeof value === 'string' && audiences.includes(value)
    if (!(Array.isArray(aud) ? aud.some(isForUs) : isForUs(aud))) return 'token-audience'
    if (!isNumericDate(exp)) return 'token-claims'
    const nowSeconds = this.#epochSeconds()
    if (exp <= nowSeconds - clockSkewSeconds) return 'token-expired'
    if (nbf !== undefined) {
      if (!isNumericDate(nbf)) return 'token-claims'
      if (nbf > nowSeconds + clockSkewSeconds) return 'token-not-yet-valid'
    }
    return cnf === undefined || isHeldBy(cnf, certificate) ? undefined : 'token-claims'
  }
}

/** Base64url without padding; empty for `none`, which comes as far as this nowhere. */
const PART = /^[A-Za-z0-9_-]+$/
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The JSON object in one part of a token. Of two members of one name the last counts (RFC 7519, 4). */
function decodePart(part: string): Record<string, unknown> | undefined {
  if (!PART.test(part)) return undefined
  try {
    const value: unknown = JSON.parse(decoder.decode(Buffer.from(part, 'base64url')))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Access tokens (RFC 9068) and those that say no more than that they are JWTs. */
const TYPES: readonly string[] = ['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']

/**
 * Whether a header is that of a token that says who somebody is. Tokens for something else (a logout,
 * a proof of possession) have a `typ` of their own and may be signed with the same key (RFC 8725, 3.11);
 * `cty` is that of a token in a token; what is `crit` is not understood here, whatever it is.
 */
function isPlainHeader({ typ, cty, crit, b64 }: Record<string, unknown>): boolean {
  if (cty !== undefined || crit !== undefined || b64 !== undefined) return false
  return typ === undefined || (typeof typ === 'string' && TYPES.includes(typ.toLowerCase()))
}

function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
}

/**
 * A token with `cnf` is good only in the hands of who has the key that it names (RFC 7800). That can be
 * seen here of a client certificate (RFC 8705, 3.1) and of nothing else.
 */
function isHeldBy(cnf: unknown, certificate: string | undefined): boolean {
  if (!isRecord(cnf) || certificate === undefined) return false
  const [only, ...others] = Object.entries(cnf)
  if (only === undefined || others.length > 0) return false
  const fingerprint = Buffer.from(certificate, 'hex').toString('base64url')
  return only[0] === 'x5t#S256' && only[1] === fingerprint
}

function readUser(claim: unknown): { rawName: string; name: string } | undefined {
  if (typeof claim !== 'string' || problemWith('name', claim) !== undefined) return undefined
  return { rawName: claim, name: prepare(claim) }
}

/** A list of strings, or one with spaces between them as in `scope`. None is no mistake. */
function readRoles(claim: unknown): readonly string[] | undefined {
  if (claim === undefined) return []
  const roles: unknown = typeof claim === 'string' ? claim.split(' ') : claim
  if (!Array.isArray(roles) || roles.length > ROLES_MAX) return undefined
  if (!roles.every((role) => typeof role === 'string')) return undefined
  return roles.filter((role) => role !== '')
}

/**
 * An issuer has roles for others than us, and some of those are called as ours are. Who has a prefix has
 * made roles for this server; without one nothing shows that an `admin` was meant to be one here.
 */
function rolesMeant(roles: readonly string[], prefix: string): readonly string[] {
  if (prefix === '') return roles.filter((role) => !MIGHTY_ROLES.includes(role))
  const ours = roles.filter((role) => role.startsWith(prefix))
  return ours.map((role) => role.slice(prefix.length))
}

/** The codes of jose's errors; by then the claims have been looked at. */
function problemOf(error: unknown): TokenProblem {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  switch (code) {
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return 'token-signature'
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
      return 'token-algorithm'
    case 'ERR_JWT_EXPIRED':
      return 'token-expired'
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return 'token-claims'
    case 'ERR_JWS_INVALID':
    case 'ERR_JWT_INVALID':
      return 'malformed'
    default:
      // A key that was taken and cannot be used after all: it is an issuer's, and must not end the process.
      return 'token-key'
  }
}
