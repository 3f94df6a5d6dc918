/**
 * All that a worker needs to know about users at one moment: a plain record that survives the
 * structured clone, made by the main thread (which owns the files) and replaced as a whole.
 * It holds verifiers only; passwords that stood in a file have been hashed by then.
 */
import { createHmac } from 'node:crypto'
import { assert } from '../base/assert.ts'
import type { KeyPair, ScramHash, ScramHashName } from './verifier.ts'
import { findScramHash, formatVerifier, parseVerifier } from './verifier.ts'

export interface UserRecord {
  /** Prepared (SASLprep), unique in the snapshot. */
  readonly name: string
  /** Text forms; one or two for a hash, and those two share salt and iterations. */
  readonly verifiers: readonly string[]
}

/** How one user's verifiers look from outside, e.g. `SCRAM-SHA-256$4096:16 SCRAM-SHA-1$4096:16`. */
interface CredentialShape {
  readonly text: string
  readonly userCount: number
}

/** A hash that some users have no verifier for, so that its mechanism cannot be announced. */
export interface LackingHash {
  readonly hash: ScramHashName
  readonly userCount: number
  /** The first few of them, for a warning. */
  readonly userNames: readonly string[]
}

export interface CredentialSnapshot {
  readonly users: readonly UserRecord[]
  /** The most frequent shapes, of which unknown users get one each. Never empty. */
  readonly shapes: readonly CredentialShape[]
  readonly lacking: readonly LackingHash[]
  /** Secret from which the salts of unknown and of plaintext users come. */
  readonly decoyKey: Uint8Array
}

/** Every distinct shape costs every login an HMAC, so rare ones are not imitated. */
const SHAPES_MAX = 8
const LACKING_NAMES_MAX = 5

export interface SnapshotOptions {
  readonly decoyKey: Uint8Array
  /** The shape that unknown users show when there is no user to imitate. */
  readonly defaultShape: string
  readonly hashes: readonly ScramHashName[]
}

export function makeSnapshot(
  users: readonly UserRecord[],
  options: SnapshotOptions,
): CredentialSnapshot {
  const counts = new Map<string, number>()
  for (const user of users) {
    const shape = shapeOf(user.verifiers)
    counts.set(shape, (counts.get(shape) ?? 0) + 1)
  }
  if (counts.size === 0) counts.set(options.defaultShape, 1)
  const shapes = [...counts]
    .map(([text, userCount]) => ({ text, userCount }))
    .sort((a, b) => b.userCount - a.userCount || (a.text < b.text ? -1 : 1))
    .slice(0, SHAPES_MAX)
  const lacking = options.hashes.flatMap((hash): LackingHash[] => {
    const without = users.filter(
      (user) => !user.verifiers.some((verifier) => verifier.startsWith(`${hash}$`)),
    )
    if (without.length === 0) return []
    const userNames = without.slice(0, LACKING_NAMES_MAX).map((user) => user.name)
    return [{ hash, userCount: without.length, userNames }]
  })
  return { users, shapes, lacking, decoyKey: Uint8Array.from(options.decoyKey) }
}

/** The shape of a user: for each hash its iterations and the length of its salt, in one order. */
function shapeOf(verifiers: readonly string[]): string {
  const parts = new Set<string>()
  for (const text of verifiers) {
    const verifier = parseVerifier(text)
    assert(typeof verifier !== 'string', 'a snapshot holds only valid verifiers')
    parts.add(formatShape(verifier.hash.name, verifier.iterations, verifier.salt.length))
  }
  return [...parts].sort().join(' ')
}

export function formatShape(hash: ScramHashName, iterations: number, saltBytes: number): string {
  return `${hash}$${iterations}:${saltBytes}`
}

const SHAPE_PART = /^([A-Z0-9-]+)\$([0-9]+):([0-9]+)$/

/**
 * The salt of a user without one of its own. The same for a name whether the user is unknown or has
 * a plaintext password, so that nothing is seen from outside when one becomes the other.
 */
export function decoySalt(
  decoyKey: Uint8Array,
  hash: ScramHashName,
  name: string,
  saltBytes: number,
): Buffer {
  return keyed(decoyKey, 'salt', hash, name).subarray(0, saltBytes)
}

/**
 * The shape that an unknown user shows. It is drawn from the real ones in proportion to their
 * users, by the name and the secret alone (weighted rendezvous hashing), so that it stays the same
 * when other users come and go.
 */
function decoyShape(
  snapshot: Pick<CredentialSnapshot, 'shapes' | 'decoyKey'>,
  name: string,
): string {
  let chosen = ''
  let scoreMax = -1
  for (const shape of snapshot.shapes) {
    const hashed = keyed(snapshot.decoyKey, 'shape', shape.text, name)
    const draw = (hashed.readUIntBE(0, 6) + 1) / (2 ** 48 + 1)
    const score = shape.userCount / -Math.log(draw)
    if (score > scoreMax) {
      scoreMax = score
      chosen = shape.text
    }
  }
  return chosen
}

/**
 * The verifiers that an unknown user appears to have, in the text form. Nothing hashes to the keys.
 */
export function decoyVerifiers(
  snapshot: Pick<CredentialSnapshot, 'shapes' | 'decoyKey'>,
  name: string,
): string[] {
  const { decoyKey } = snapshot
  return decoyShape(snapshot, name)
    .split(' ')
    .map((part) => {
      const [, hashName = '', iterations = '', saltBytes = ''] = SHAPE_PART.exec(part) ?? []
      const hash = findScramHash(hashName)
      assert(hash !== undefined, 'a shape names a known hash')
      return formatVerifier({
        hash,
        iterations: Number(iterations),
        salt: decoySalt(decoyKey, hash.name, name, Number(saltBytes)),
        ...decoyKeys(decoyKey, hash, name),
      })
    })
}

/** Keys that no password leads to. */
export function decoyKeys(decoyKey: Uint8Array, hash: ScramHash, name: string): KeyPair {
  return {
    storedKey: keyed(decoyKey, 'StoredKey', hash.name, name).subarray(0, hash.digestBytes),
    serverKey: keyed(decoyKey, 'ServerKey', hash.name, name).subarray(0, hash.digestBytes),
  }
}

function keyed(decoyKey: Uint8Array, purpose: string, detail: string, name: string): Buffer {
  return createHmac('sha512', decoyKey).update(`${purpose}\0${detail}\0${name}`).digest()
}

/** Those of `mechanisms` that every user can use, in their order; PLAIN needs any verifier. */
export function usableMechanisms(
  snapshot: Pick<CredentialSnapshot, 'lacking'>,
  mechanisms: readonly string[],
): string[] {
  return mechanisms.filter(
    (mechanism) => !snapshot.lacking.some((lacking) => lacking.hash === mechanism),
  )
}
