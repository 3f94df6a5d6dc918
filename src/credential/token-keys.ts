/**
 * The public keys that tokens are checked with: a JWK Set (RFC 7517) as an issuer publishes it, read into
 * plain records that survive the structured clone. The main thread reads it, from a file or from the
 * issuer, and hands it to the workers as a whole.
 *
 * Invariant: every key of a set is a public key that Node's crypto has taken, is strong enough, and
 * checks signatures. A set with a private or a secret key in it is refused as a whole: whoever can read
 * it makes tokens for anybody, so it must not go on unnoticed. Keys of kinds that are not known here are
 * passed over, as RFC 7517, 5 wants it.
 */
import { createPublicKey, type JsonWebKey } from 'node:crypto'

export const KEY_SET_BYTES_MAX: number = 256 * 1024
/** Issuers publish two to ten. */
const KEYS_MAX = 100
const KEY_ID_CHARS_MAX = 256
/** RFC 7518, 3.3; and what a check of a signature may cost. */
const RSA_BITS_MIN = 2048
const RSA_BITS_MAX = 8192
/** With 1 everybody's signature is right; a large one makes checking as slow as signing. */
const RSA_EXPONENT_MIN = 3n
const RSA_EXPONENT_MAX = 2n ** 64n

/** What a key must be to check signatures of an algorithm. None is symmetric, and `none` is none. */
const KEY_OF_ALGORITHM: Readonly<Record<string, { kty: string; curve?: string }>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', curve: 'P-256' },
  ES384: { kty: 'EC', curve: 'P-384' },
  ES512: { kty: 'EC', curve: 'P-521' },
  EdDSA: { kty: 'OKP', curve: 'Ed25519' },
  Ed25519: { kty: 'OKP', curve: 'Ed25519' },
}

export const TOKEN_ALGORITHMS: readonly string[] = Object.keys(KEY_OF_ALGORITHM)

export interface TokenKey {
  /** Undefined if its issuer gave it no `kid`. */
  readonly id: string | undefined
  /** The one algorithm that it is for; undefined if its issuer names none. */
  readonly algorithm: string | undefined
  /** The public key and nothing else, as jose takes it. */
  readonly jwk: Readonly<Record<string, string>>
}

export interface TokenKeySet {
  readonly keys: readonly TokenKey[]
}

export const NO_TOKEN_KEYS: TokenKeySet = { keys: [] }

export function fitsAlgorithm(key: TokenKey, algorithm: string): boolean {
  const wanted = KEY_OF_ALGORITHM[algorithm]
  if (wanted === undefined || key.jwk.kty !== wanted.kty) return false
  if (wanted.curve !== undefined && key.jwk.crv !== wanted.curve) return false
  return key.algorithm === undefined || key.algorithm === algorithm
}

/** The set in a text; a string says what is wrong with it, and repeats nothing of it but a `kid`. */
export function parseKeySet(text: string): TokenKeySet | string {
  if (text.length > KEY_SET_BYTES_MAX) return `it has more than ${KEY_SET_BYTES_MAX} bytes`
  const document = parseJson(text)
  if (!isRecord(document) || !Array.isArray(document.keys)) {
    return 'it is no JWK Set: a JSON object with a list `keys` is wanted'
  }
  const members: readonly unknown[] = document.keys
  if (members.length > KEYS_MAX)
    return `it has ${members.length} keys; at most ${KEYS_MAX} are taken`
  const keys: TokenKey[] = []
  for (const [index, member] of members.entries()) {
    if (!isRecord(member)) return `key ${index + 1} is no JSON object`
    const secret = secretIn(member)
    if (secret !== undefined) {
      return `key ${index + 1}${nameOf(member)} is ${secret}: publish public keys alone, and replace this one`
    }
    const key = readKey(member)
    if (key === undefined) continue
    if (keys.some((other) => isSameKey(other, key))) {
      return `key ${index + 1}${nameOf(member)} has the kid of another key of its kind`
    }
    keys.push(key)
  }
  if (keys.length === 0) return 'it has no key that signatures of tokens could be checked with'
  return { keys }
}

/** One without an id is told from others by what it is. */
function isSameKey(one: TokenKey, other: TokenKey): boolean {
  if (one.id !== other.id || one.jwk.kty !== other.jwk.kty) return false
  return one.id !== undefined || JSON.stringify(one.jwk) === JSON.stringify(other.jwk)
}

/** What is secret about a key, in words. */
function secretIn(member: Record<string, unknown>): string | undefined {
  if (member.kty === 'oct' || Object.hasOwn(member, 'k')) return 'a secret (symmetric) key'
  // `d` of RSA, EC and OKP; the primes of RSA give it away as well; `priv` of AKP.
  const isPrivate = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'priv'].some((name) =>
    Object.hasOwn(member, name),
  )
  return isPrivate ? 'a private key' : undefined
}

/** Undefined for one that is not for signatures, or of a kind that is not known here. */
function readKey(member: Record<string, unknown>): TokenKey | undefined {
  const { kid, alg, use, key_ops: operations } = member
  if (use !== undefined && use !== 'sig') return undefined
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return undefined
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > KEY_ID_CHARS_MAX))
    return undefined
  if (alg !== undefined && typeof alg !== 'string') return undefined
  const jwk = publicPart(member)
  if (jwk === undefined) return undefined
  const key = { id: kid, algorithm: alg, jwk }
  return TOKEN_ALGORITHMS.some((algorithm) => fitsAlgorithm(key, algorithm)) ? key : undefined
}

/** As Node's crypto understands it: a point that is not on its curve is no key. */
function publicPart(member: Record<string, unknown>): Record<string, string> | undefined {
  const { kty, n, e, crv, x, y } = member
  const parts = kty === 'RSA' ? { kty, n, e } : kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x }
  if (!Object.values(parts).every((part) => typeof part === 'string')) return undefined
  try {
    const key = createPublicKey({ key: parts as JsonWebKey, format: 'jwk' })
    const { modulusLength: bits = 0, publicExponent: exponent = 0n } =
      key.asymmetricKeyDetails ?? {}
    if (kty === 'RSA') {
      if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) return undefined
      if (exponent < RSA_EXPONENT_MIN || exponent > RSA_EXPONENT_MAX) return undefined
    }
    return key.export({ format: 'jwk' }) as Record<string, string>
  } catch {
    return undefined
  }
}

function nameOf({ kid }: Record<string, unknown>): string {
  return typeof kid === 'string' ? ` (kid ${JSON.stringify(kid.slice(0, KEY_ID_CHARS_MAX))})` : ''
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
