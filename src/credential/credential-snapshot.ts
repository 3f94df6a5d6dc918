/**
 * All that a worker needs to know about users at one moment: a plain record that survives the
 * structured clone, made by the main thread (which owns the files) and replaced as a whole.
 * It holds verifiers only; passwords that stood in a file have been hashed by then.
 */
import { createHash, createHmac } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { type Access, BUILT_IN_ROLES, type Role } from './access.ts'
import { DEFAULT_NAMESPACE, type Namespace } from './namespaces.ts'
import type { ScramHash, ScramHashName, Verifier } from './verifier.ts'
import { findScramHash, parseVerifier } from './verifier.ts'

export interface UserRecord {
  /** Prepared (SASLprep), unique in the snapshot. */
  readonly name: string
  /**
   * Text forms; one or two for a hash, and those two share salt and iterations. None of who does not
   * log in by a password.
   */
  readonly verifiers: readonly string[]
  /** Undefined: it may do everything that the server offers. */
  readonly access?: Access | undefined
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
  /** Also those that are built in. */
  readonly roles: readonly Role[]
  /** The default one first. */
  readonly namespaces: readonly Namespace[]
  /** Secret from which the salts of unknown and of plaintext users come. */
  readonly decoyKey: Uint8Array
  /** Secret of this process, from which the tags come that the log has in place of foreign names. */
  readonly reportKey: Uint8Array
}

/** Every distinct shape costs every login an HMAC, so rare ones are not imitated. */
const SHAPES_MAX = 8
const LACKING_NAMES_MAX = 5

export interface SnapshotOptions {
  readonly decoyKey: Uint8Array
  readonly reportKey: Uint8Array
  /** The shape that unknown users show when there is no user to imitate. */
  readonly defaultShape: string
  readonly hashes: readonly ScramHashName[]
  readonly roles?: readonly Role[]
  readonly namespaces?: readonly Namespace[]
}

export function makeSnapshot(
  users: readonly UserRecord[],
  options: SnapshotOptions,
): CredentialSnapshot {
  const counts = new Map<string, number>()
  // Who has no password is to passwords as if there were no such user.
  const loggingIn = users.filter(({ verifiers }) => verifiers.length > 0)
  for (const user of loggingIn) {
    const shape = shapeOf(user.verifiers)
    counts.set(shape, (counts.get(shape) ?? 0) + 1)
  }
  if (counts.size === 0) counts.set(options.defaultShape, 1)
  const shapes = [...counts]
    .map(([text, userCount]) => ({ text, userCount }))
    .sort((a, b) => b.userCount - a.userCount || (a.text < b.text ? -1 : 1))
    .slice(0, SHAPES_MAX)
  const lacking = options.hashes.flatMap((hash): LackingHash[] => {
    const without = loggingIn.filter(
      (user) => !user.verifiers.some((verifier) => verifier.startsWith(`${hash}$`)),
    )
    if (without.length === 0) return []
    const userNames = without.slice(0, LACKING_NAMES_MAX).map((user) => user.name)
    return [{ hash, userCount: without.length, userNames }]
  })
  const decoyKey = Uint8Array.from(options.decoyKey)
  const reportKey = Uint8Array.from(options.reportKey)
  const { roles = BUILT_IN_ROLES, namespaces = [DEFAULT_NAMESPACE] } = options
  return { users, shapes, lacking, roles, namespaces, decoyKey, reportKey }
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

/** What one verifier of a decoy looks like from outside. */
export interface DecoyPart {
  readonly hash: ScramHash
  readonly iterations: number
  readonly saltBytes: number
}

/** One of the shapes, read. */
export interface DecoyShape {
  readonly text: string
  readonly userCount: number
  readonly parts: readonly DecoyPart[]
}

export function readShapes(shapes: readonly CredentialShape[]): DecoyShape[] {
  return shapes.map(({ text, userCount }) => {
    const parts = text.split(' ').map((part): DecoyPart => {
      const [, hashName = '', iterations = '', saltBytes = ''] = SHAPE_PART.exec(part) ?? []
      const hash = findScramHash(hashName)
      assert(hash !== undefined, 'a shape names a known hash')
      return { hash, iterations: Number(iterations), saltBytes: Number(saltBytes) }
    })
    return { text, userCount, parts }
  })
}

/** Longer names are hashed once, not once for each of the HMACs of a decoy. */
const SEED_CHARS_MAX = 64

/** What stands for a name in everything that is made up for it. */
export function decoySeed(name: string): string {
  if (name.length <= SEED_CHARS_MAX) return name
  return `sha512:${createHash('sha512').update(name).digest('hex')}`
}

/**
 * The salt of a user without one of its own. The same for a name whether the user is unknown or has
 * a plaintext password, so that nothing is seen from outside when one becomes the other. It changes with
 * the rest of what is shown, as it does for a user who gets a new password.
 */
export function decoySalt(
  decoyKey: Uint8Array,
  { hash, iterations, saltBytes }: DecoyPart,
  seed: string,
): Buffer {
  const shape = formatShape(hash.name, iterations, saltBytes)
  return keyed(decoyKey, 'salt', shape, seed).subarray(0, saltBytes)
}

/**
 * The shape that an unknown user shows. It is drawn from the real ones in proportion to their
 * users, by the name and the secret alone (weighted rendezvous hashing), so that a shape tells nothing of
 * whether there is such a user. Who has the shape of one user in a hundred is one in a hundred of the
 * unknown names, too: that many move to it when that user comes, none between other shapes, and fewer
 * cannot (docs/threat-model.md). An HMAC for each shape, whoever asks.
 */
export function drawShape(
  decoyKey: Uint8Array,
  shapes: readonly DecoyShape[],
  seed: string,
): DecoyShape {
  let chosen: DecoyShape | undefined
  let scoreMax = -1
  for (const shape of shapes) {
    const hashed = keyed(decoyKey, 'shape', shape.text, seed)
    const draw = (hashed.readUIntBE(0, 6) + 1) / (2 ** 48 + 1)
    const score = shape.userCount / -Math.log(draw)
    if (score > scoreMax) {
      scoreMax = score
      chosen = shape
    }
  }
  assert(chosen !== undefined, 'a snapshot has a shape')
  return chosen
}

/**
 * A verifier that no password leads to. Three HMACs, whoever asks. Copied into the same kind of
 * buffer as a real one is read into: what is done with it afterwards takes the same time.
 */
export function decoyVerifier(decoyKey: Uint8Array, seed: string, part: DecoyPart): Verifier {
  const { hash, iterations } = part
  const keyFor = (purpose: string): Buffer =>
    Buffer.from(keyed(decoyKey, purpose, hash.name, seed).subarray(0, hash.digestBytes))
  return {
    hash,
    iterations,
    salt: Buffer.from(decoySalt(decoyKey, part, seed)),
    storedKey: keyFor('StoredKey'),
    serverKey: keyFor('ServerKey'),
  }
}

function keyed(decoyKey: Uint8Array, purpose: string, detail: string, seed: string): Buffer {
  return createHmac('sha512', decoyKey).update(`${purpose}\0${detail}\0${seed}`).digest()
}
