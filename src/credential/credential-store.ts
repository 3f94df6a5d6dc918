/**
 * A worker's view of the users: one snapshot, replaced as a whole. It answers for every name, known
 * or not: an unknown user gets a decoy of the same shape, and every name costs the same hash
 * operations (a user with one password, with two, or with none), so that neither the answer nor its
 * cost tells a stranger who exists. Callers compare against what they get and look at `known` last.
 */
import { assert } from '../base/assert.ts'
import { ACCESS_ALL, type Access, isConflict, joinAccess, partOfRole } from './access.ts'
import type { CredentialSnapshot, DecoyPart, DecoyShape } from './credential-snapshot.ts'
import { decoySeed, decoyVerifier, drawShape, readShapes } from './credential-snapshot.ts'
import { KeyPrefixes } from './key-prefixes.ts'
import {
  GRANT_ALL,
  type Grant,
  NEVER,
  type Principal,
  type PrincipalOrigin,
  rolePrincipal,
  userPrincipal,
} from './principal.ts'
import type {
  DerivationParameters,
  KeyPair,
  ScramHash,
  ScramHashName,
  Verifier,
} from './verifier.ts'
import {
  DEFAULT_ITERATIONS,
  DEFAULT_SALT_BYTES,
  findScramHash,
  formatVerifier,
  parseVerifier,
  SCRAM_HASHES,
  scramHash,
} from './verifier.ts'

/** One user's verifiers of one hash. */
export interface Credential extends DerivationParameters {
  readonly principal: Principal
  /** False for a decoy: whatever matches, the login fails. */
  readonly known: boolean
  /**
   * Always two, so that checking costs the same; the second is a decoy without a second password.
   */
  readonly keys: readonly [KeyPair, KeyPair]
  /** How many of `keys` are real. */
  readonly keyCount: number
  /** The text of each real one. */
  readonly texts: readonly string[]
}

/** The texts of one user, looked at when the snapshot is taken. */
interface KnownUser {
  /** The first of SCRAM_HASHES that the user has; undefined of who has no password. */
  readonly passwordHash: ScramHash | undefined
  /** One or two texts for a hash. */
  readonly texts: ReadonlyMap<ScramHashName, readonly string[]>
  readonly grant: Grant
}

export class CredentialStore {
  #snapshot: CredentialSnapshot
  #users: ReadonlyMap<string, KnownUser>
  #texts: ReadonlyMap<ScramHash, readonly string[]>
  #shapes: readonly DecoyShape[]
  #generation = 0

  constructor(snapshot: CredentialSnapshot) {
    this.#snapshot = snapshot
    this.#users = index(snapshot)
    this.#texts = textsByHash(snapshot)
    this.#shapes = readShapes(snapshot.shapes)
  }

  /** Grows with every replace(), so that holders of derived facts know when they are stale. */
  get generation(): number {
    return this.#generation
  }

  get snapshot(): CredentialSnapshot {
    return this.#snapshot
  }

  /** Whether there is such a user; for connections that logged in before a replace(). */
  has(name: string): boolean {
    return this.#users.has(name)
  }

  /** Who a user is that has logged in, or is vouched for otherwise; `name` is that of one. */
  principalOf(
    name: string,
    origin: PrincipalOrigin = 'users',
    expiresAt: number = NEVER,
  ): Principal {
    const user = this.#users.get(name)
    assert(user !== undefined, 'a principal is a user that there is')
    return userPrincipal(name, user.grant, origin, expiresAt)
  }

  /**
   * Who a name is that need not be a user, with the roles that came with it. Those that are not known
   * here give nothing: others may have put them there, for others. Undefined: none is known, or they
   * contradict each other.
   */
  principalWithRoles(
    name: string,
    origin: PrincipalOrigin,
    roles: readonly string[],
    expiresAt: number = NEVER,
  ): Principal | undefined {
    const known = this.#snapshot.roles.filter((role) => roles.includes(role.name))
    if (known.length === 0) return undefined
    const joined = joinAccess(known.map(partOfRole))
    if (isConflict(joined)) return undefined
    const grant = grantOf(joined, this.#snapshot)
    const names = known.map((role) => role.name)
    return rolePrincipal(name, grant, origin, names, expiresAt)
  }

  /** Who a principal is by the users in force; undefined: nobody any more. */
  renew(principal: Principal): Principal | undefined {
    const { name, origin, roles, expiresAt } = principal
    if (roles !== undefined) return this.principalWithRoles(name, origin, roles, expiresAt)
    return this.has(name) ? this.principalOf(name, origin, expiresAt) : undefined
  }

  replace(snapshot: CredentialSnapshot): void {
    this.#users = index(snapshot)
    this.#texts = textsByHash(snapshot)
    this.#shapes = readShapes(snapshot.shapes)
    this.#snapshot = snapshot
    this.#generation += 1
  }

  /** Whether PLAIN passwords of a name are checked against the verifier of this text. */
  isForPassword(name: string, text: string): boolean {
    const user = this.#users.get(name)
    if (user?.passwordHash === undefined) return false
    return user.texts.get(user.passwordHash.name)?.includes(text) ?? false
  }

  /**
   * The credential of a prepared name for one hash; a decoy for an unknown user and for a known one
   * without a verifier of that hash. Undefined only where the shape of this name has no such hash,
   * which cannot be for a mechanism that is announced.
   */
  find(name: string, hashName: ScramHashName): Credential | undefined {
    const seed = decoySeed(name)
    const { parts } = drawShape(this.#snapshot.decoyKey, this.#shapes, seed)
    const hash = scramHash(hashName)
    const own = this.#users.get(name)?.texts.get(hashName)
    return this.#read(name, seed, hash, parts, own)
  }

  /**
   * The credential that a PLAIN password is checked against: of the first of SCRAM_HASHES there is.
   */
  findForPassword(name: string): Credential {
    const seed = decoySeed(name)
    const { parts } = drawShape(this.#snapshot.decoyKey, this.#shapes, seed)
    const decoyHash = firstHash(parts.map(({ hash }) => hash.name))
    const user = this.#users.get(name)
    const hash = user?.passwordHash ?? decoyHash
    const found = this.#read(name, seed, hash, parts, user?.texts.get(hash.name))
    assert(found !== undefined, 'the hash is one of the user or of the shape')
    return found
  }

  /**
   * One way for all: the decoy is made whether it is needed or not, and two texts are read whether
   * there are two or not: where one is missing, somebody's is read for nothing, so that even the
   * memory that is touched is alike. Only which of the results are taken depends on `own`.
   */
  #read(
    name: string,
    seed: string,
    hash: ScramHash,
    parts: readonly DecoyPart[],
    own: readonly string[] | undefined,
  ): Credential | undefined {
    const part = parts.find((candidate) => candidate.hash === hash)
    const decoy = decoyVerifier(
      this.#snapshot.decoyKey,
      seed,
      part ?? { hash, iterations: DEFAULT_ITERATIONS, saltBytes: DEFAULT_SALT_BYTES },
    )
    const fillers = this.#texts.get(hash) ?? []
    // The decoy's ServerKey is never shown, so it can choose without telling anything.
    const filler = ((decoy.serverKey[0] ?? 0) << 8) | (decoy.serverKey[1] ?? 0)
    const first = readVerifier(own?.[0] ?? fillers[filler % fillers.length])
    const second = readVerifier(own?.[1] ?? fillers[(filler + 1) % fillers.length])
    if (own === undefined && part === undefined) return undefined
    const { iterations, salt } = own === undefined ? decoy : first
    return {
      principal: userPrincipal(name, this.#users.get(name)?.grant ?? GRANT_ALL),
      known: own !== undefined,
      hash,
      iterations,
      salt,
      keys: [own === undefined ? decoy : first, own?.[1] === undefined ? decoy : second],
      keyCount: own?.length ?? 1,
      texts: own ?? [],
    }
  }
}

function index(snapshot: CredentialSnapshot): Map<string, KnownUser> {
  return new Map(
    snapshot.users.map(({ name, verifiers, access = ACCESS_ALL }) => {
      const texts = new Map<ScramHashName, string[]>()
      for (const text of verifiers) {
        const hash = findScramHash(text.slice(0, text.indexOf('$')))
        assert(hash !== undefined, 'a snapshot holds only valid verifiers')
        const ofHash = texts.get(hash.name)
        if (ofHash === undefined) texts.set(hash.name, [text])
        else ofHash.push(text)
      }
      const passwordHash = texts.size === 0 ? undefined : firstHash([...texts.keys()])
      return [name, { passwordHash, texts, grant: grantOf(access, snapshot) }]
    }),
  )
}

const encoder = new TextEncoder()

function grantOf(access: Access, snapshot: CredentialSnapshot): Grant {
  const namespace = snapshot.namespaces.find(({ name }) => name === access.namespace)
  assert(namespace !== undefined, 'a snapshot has the namespaces that it names')
  const prefixes = access.keyPrefixes?.map((prefix) => encoder.encode(prefix))
  return {
    rights: access.rights,
    keyPrefixes: prefixes === undefined ? undefined : new KeyPrefixes(prefixes),
    namespace: namespace.id,
  }
}

/** All verifiers of each hash, or one of nobody where there are none. */
function textsByHash(snapshot: CredentialSnapshot): Map<ScramHash, string[]> {
  const texts = snapshot.users.flatMap(({ verifiers }) => verifiers)
  return new Map(
    SCRAM_HASHES.map((hash) => {
      const ofHash = texts.filter((text) => text.startsWith(`${hash.name}$`))
      return [hash, ofHash.length > 0 ? ofHash : [nobodysVerifier(hash)]]
    }),
  )
}

function nobodysVerifier(hash: ScramHash): string {
  const key = new Uint8Array(hash.digestBytes)
  const salt = new Uint8Array(DEFAULT_SALT_BYTES)
  const parameters = { hash, iterations: DEFAULT_ITERATIONS, salt }
  return formatVerifier({ ...parameters, storedKey: key, serverKey: key })
}

function firstHash(names: readonly ScramHashName[]): ScramHash {
  const first = SCRAM_HASHES.find((hash) => names.includes(hash.name))
  assert(first !== undefined, 'a user has at least one verifier')
  return first
}

function readVerifier(text = ''): Verifier {
  const verifier = parseVerifier(text)
  assert(typeof verifier !== 'string', 'a snapshot holds only valid verifiers')
  return verifier
}
