/**
 * An issuer of tokens, written apart from src and from jose: it signs what it is told to, right or wrong,
 * with Node's crypto.
 */
import {
  constants,
  createHmac,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign,
} from 'node:crypto'

export type Json = Readonly<Record<string, unknown>>

export const ISSUER = 'https://issuer.example'
export const AUDIENCE = 'cache'
/** When the tests play, in seconds since 1970. */
export const NOW_SECONDS = 1_700_000_000

export interface SigningKey {
  readonly id: string
  readonly algorithm: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

const rsaKeys = new Map<string, { privateKey: KeyObject; publicKey: KeyObject }>()

/** RSA keys take long to make: those of one id are the same. */
function rsaKey(id: string): { privateKey: KeyObject; publicKey: KeyObject } {
  const known = rsaKeys.get(id) ?? generateKeyPairSync('rsa', { modulusLength: 2048 })
  rsaKeys.set(id, known)
  return known
}

export function signingKey(algorithm: string, id: string): SigningKey {
  const curve = CURVES[algorithm]
  const { privateKey, publicKey } =
    curve !== undefined
      ? generateKeyPairSync('ec', { namedCurve: curve })
      : /^Ed/.test(algorithm)
        ? generateKeyPairSync('ed25519')
        : rsaKey(id)
  return { id, algorithm, privateKey, publicKey }
}

/** The public key as an issuer publishes it. */
export function publicJwk({ id, algorithm, publicKey }: SigningKey): JsonWebKey {
  return { ...publicKey.export({ format: 'jwk' }), kid: id, alg: algorithm, use: 'sig' }
}

export function keySetText(...keys: readonly (SigningKey | Json)[]): string {
  const isSigningKey = (key: SigningKey | Json): key is SigningKey => 'publicKey' in key
  return JSON.stringify({ keys: keys.map((key) => (isSigningKey(key) ? publicJwk(key) : key)) })
}

/** Claims of a token that is taken, with changes; one of undefined goes. */
export function claimsOf(changes: Json = {}): Json {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'alice',
    iat: NOW_SECONDS,
    exp: NOW_SECONDS + 3600,
    ...changes,
  }
}

function encode(part: string | Uint8Array): string {
  return Buffer.from(part).toString('base64url')
}

function signature(input: string, algorithm: string, key: KeyObject): Buffer {
  const bytes = Buffer.from(input)
  const hash = `sha${algorithm.slice(2)}`
  if (algorithm.startsWith('RS')) return sign(hash, bytes, key)
  if (algorithm.startsWith('ES')) return sign(hash, bytes, { key, dsaEncoding: 'ieee-p1363' })
  if (algorithm.startsWith('Ed')) return sign(null, bytes, key)
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
  return sign(hash, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
}

/** Signs two texts as they are: they need not be JSON. */
export function signTexts(key: SigningKey, header: string, claims: string): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${encode(signature(input, key.algorithm, key.privateKey))}`
}

export function tokenOf(key: SigningKey, claims: Json = claimsOf(), header: Json = {}): string {
  const whole = { alg: key.algorithm, kid: key.id, ...header }
  return signTexts(key, JSON.stringify(whole), JSON.stringify(claims))
}

/** The swap of algorithms: HMAC with what everybody knows, the public key, as the secret. */
export function hmacToken(key: SigningKey, secret: string | Uint8Array, claims: Json): string {
  const header = JSON.stringify({ alg: 'HS256', kid: key.id })
  const input = `${encode(header)}.${encode(JSON.stringify(claims))}`
  return `${input}.${encode(createHmac('sha256', secret).update(input).digest())}`
}

/** The message of OAUTHBEARER that carries a token. */
export function bearer(token: string, header = 'n,,'): Buffer {
  return Buffer.from(`${header}\u0001auth=Bearer ${token}\u0001\u0001`)
}
