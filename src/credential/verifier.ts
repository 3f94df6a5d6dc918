/**
 * What is stored in place of a password: a SCRAM verifier (RFC 5802, 3) in the textual form that
 * PostgreSQL uses, `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the same form for
 * every hash. A verifier lets the server check a password or a proof, and prove itself; it cannot
 * be turned back into the password without guessing.
 *
 * This file has the hashes, the text form, and the key derivation. Who has which verifier is the
 * business of the credential store.
 */
import { createHash, createHmac, pbkdf2, pbkdf2Sync, randomBytes } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { counted } from '../base/counted.ts'
import { prepare, problemWith } from './prepare.ts'

export type ScramHashName = 'SCRAM-SHA-256' | 'SCRAM-SHA-512' | 'SCRAM-SHA-1'

export interface ScramHash {
  /** The SASL mechanism that uses this hash, which is also the tag in the text form. */
  readonly name: ScramHashName
  readonly digest: 'sha256' | 'sha512' | 'sha1'
  readonly digestBytes: number
}

/** Every hash, in the order in which a PLAIN password is checked: the first that a user has. */
export const SCRAM_HASHES: readonly ScramHash[] = [
  { name: 'SCRAM-SHA-256', digest: 'sha256', digestBytes: 32 },
  { name: 'SCRAM-SHA-512', digest: 'sha512', digestBytes: 64 },
  { name: 'SCRAM-SHA-1', digest: 'sha1', digestBytes: 20 },
]

export const SCRAM_HASH_NAMES: readonly ScramHashName[] = SCRAM_HASHES.map((hash) => hash.name)

/** The hash behind a mechanism name; undefined for PLAIN and whatever else is not SCRAM. */
export function findScramHash(name: string): ScramHash | undefined {
  return SCRAM_HASHES.find((hash) => hash.name === name)
}

export function scramHash(name: ScramHashName): ScramHash {
  const hash = findScramHash(name)
  assert(hash !== undefined, 'every name of a hash has its row')
  return hash
}

/**
 * Iterations of new verifiers. 4096 is the least that RFC 7677 allows and PostgreSQL's default.
 *
 * It is not higher because the client pays too: a libmemcached client that takes SCRAM derives the
 * key anew for every connection, and PHP makes a connection per page view. For 4096 iterations
 * libsasl2 2.1.28 needs 16 ms (SHA-1), 21 ms (SHA-256) or 25 ms (SHA-512), ten times what OpenSSL
 * needs, and four times that for 16384. On the server 4096 cost 2.2 ms (SHA-256, SHA-1) or 6 ms
 * (SHA-512), so that two cores check 900 cold PLAIN logins a second: a thousand clients of ten
 * users that come at once after a reload are all answered within 0.1 s, and four hundred different
 * users within 0.5 s. Four times the iterations would cost an attacker who has stolen the file two
 * bits of a password; one more random character gives five.
 */
export const DEFAULT_ITERATIONS = 4096
/** RFC 7677, 4: with fewer it is cheap to guess the password from a proof. */
export const ITERATIONS_MIN = 4096
/**
 * Some five seconds of one processor, for the server (PLAIN) and for its clients. Others' bounds are lower, Kafka's
 * 16384, libsasl2's 65536; what is advised for stored passwords (OWASP: 1.3 million for SHA-1) is to be possible.
 */
export const ITERATIONS_MAX = 10_000_000
export const DEFAULT_SALT_BYTES = 16
const SALT_BYTES_MIN = 8
const SALT_BYTES_MAX = 64

export interface KeyPair {
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
}

/** How a key is derived; two passwords with equal parameters can be checked by one derivation. */
export interface DerivationParameters {
  readonly hash: ScramHash
  readonly iterations: number
  readonly salt: Uint8Array
}

export interface Verifier extends DerivationParameters, KeyPair {}

const VERIFIER =
  /^([A-Z0-9-]{1,32})\$([0-9]{1,8}):([A-Za-z0-9+/=]*)\$([A-Za-z0-9+/=]*):([A-Za-z0-9+/=]*)$/

/** Reads the text form. A string as result is what is wrong with it; it never repeats the text. */
export function parseVerifier(text: string): Verifier | string {
  const match = VERIFIER.exec(text)
  if (match === null) {
    return 'this is not a verifier: <hash>$<iterations>:<salt>$<StoredKey>:<ServerKey> is expected'
  }
  const [, name = '', iterationsText = '', saltText = '', storedText = '', serverText = ''] = match
  const hash = findScramHash(name)
  if (hash === undefined) {
    return `the hash of the verifier is unknown; known are ${SCRAM_HASH_NAMES.join(', ')}`
  }
  const iterations = Number(iterationsText)
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    return `the verifier has ${counted(iterations, 'iteration')}; ${ITERATIONS_MIN} to ${ITERATIONS_MAX} are allowed`
  }
  const salt = decodeBase64(saltText)
  if (salt === undefined || salt.length < SALT_BYTES_MIN || salt.length > SALT_BYTES_MAX) {
    return `the salt of the verifier is not ${SALT_BYTES_MIN} to ${SALT_BYTES_MAX} bytes in base64`
  }
  const storedKey = decodeBase64(storedText)
  const serverKey = decodeBase64(serverText)
  if (storedKey?.length !== hash.digestBytes || serverKey?.length !== hash.digestBytes) {
    return `the keys of the verifier are not ${hash.digestBytes} bytes in base64, as ${name} has them`
  }
  return { hash, iterations, salt, storedKey, serverKey }
}

export function formatVerifier(verifier: Verifier): string {
  const { hash, iterations, salt, storedKey, serverKey } = verifier
  return (
    `${hash.name}$${iterations}:${encodeBase64(salt)}` +
    `$${encodeBase64(storedKey)}:${encodeBase64(serverKey)}`
  )
}

/** The bytes of canonical base64; undefined for anything else that Buffer would let pass. */
export function decodeBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0) return undefined
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** SaltedPassword of RFC 5802, 3, computed on the thread pool. `password` is prepared. */
export function deriveSaltedPassword(
  password: string,
  parameters: DerivationParameters,
): Promise<Uint8Array> {
  const { hash, iterations, salt } = parameters
  return new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, hash.digestBytes, hash.digest, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

/** StoredKey and ServerKey of RFC 5802, 3. */
export function keysOf(hash: ScramHash, saltedPassword: Uint8Array): KeyPair {
  const clientKey = createHmac(hash.digest, saltedPassword).update('Client Key').digest()
  return {
    storedKey: createHash(hash.digest).update(clientKey).digest(),
    serverKey: createHmac(hash.digest, saltedPassword).update('Server Key').digest(),
  }
}

export interface HashPasswordOptions {
  /** Which verifiers to make; default: one for each hash. */
  readonly hashes?: readonly ScramHashName[]
  readonly iterations?: number
  /** Source of salts; for tests. */
  readonly randomBytes?: (count: number) => Uint8Array
}

/**
 * The verifiers of a new password, in the text form, a fresh salt each. Blocks for some 11 ms, so
 * it is for the command line. Throws a RangeError for a password or a number of iterations out of
 * bounds.
 */
export function hashPassword(password: string, options: HashPasswordOptions = {}): string[] {
  const iterations = options.iterations ?? DEFAULT_ITERATIONS
  const random = options.randomBytes ?? randomBytes
  checkIterations(iterations)
  return SCRAM_HASHES.filter((hash) =>
    (options.hashes ?? SCRAM_HASH_NAMES).includes(hash.name),
  ).map((hash) =>
    hashPasswordWith(password, { hash, iterations, salt: random(DEFAULT_SALT_BYTES) }),
  )
}

/** The verifier of a password with salt and iterations given, as a second password needs it. */
export function hashPasswordWith(password: string, parameters: DerivationParameters): string {
  const problem = problemWith('password', password)
  if (problem !== undefined) throw new RangeError(problem)
  const { hash, iterations, salt } = parameters
  const prepared = prepare(password)
  const saltedPassword = pbkdf2Sync(prepared, salt, iterations, hash.digestBytes, hash.digest)
  return formatVerifier({ ...parameters, ...keysOf(hash, saltedPassword) })
}

export function checkIterations(iterations: number): void {
  if (!Number.isInteger(iterations) || iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    throw new RangeError(
      `iterations must be a whole number from ${ITERATIONS_MIN} to ${ITERATIONS_MAX}, not ${iterations}`,
    )
  }
}
