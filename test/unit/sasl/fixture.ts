/**
 * What the SASL tests share: a snapshot from a list of users, an environment whose derivations are
 * counted, and a SCRAM client written apart from src/. The client can be told to misbehave.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { CredentialSnapshot } from '../../../src/credential/credential-snapshot.ts'
import { makeSnapshot } from '../../../src/credential/credential-snapshot.ts'
import { CredentialSource } from '../../../src/credential/credential-source.ts'
import {
  type DerivationParameters,
  deriveSaltedPassword,
  hashPassword,
  hashPasswordWith,
  parseVerifier,
} from '../../../src/credential/verifier.ts'
import {
  createSaslEnvironment,
  type SaslEnvironment,
  type SaslEnvironmentOptions,
} from '../../../src/sasl/environment.ts'
import { configuredMechanisms } from '../../../src/sasl/mechanisms.ts'
import type { SaslSession, SaslStep } from '../../../src/sasl/session.ts'

export const ALL_MECHANISMS: readonly string[] = [
  'SCRAM-SHA-512',
  'SCRAM-SHA-256',
  'SCRAM-SHA-1',
  'PLAIN',
]

/** Users with verifiers. An array is a rotation: both passwords are good. */
export function snapshotOf(
  users: Readonly<Record<string, string | readonly [string, string]>>,
  decoyKey: Uint8Array = Buffer.alloc(32, 7),
): CredentialSnapshot {
  const records = Object.entries(users).map(([name, passwords]) => {
    const [first, second] = typeof passwords === 'string' ? [passwords] : passwords
    const verifiers = hashPassword(first ?? '')
    const seconds = verifiers.flatMap((text) => {
      const parameters = parseVerifier(text)
      if (typeof parameters === 'string' || second === undefined) return []
      return [hashPasswordWith(second, parameters)]
    })
    return { name, verifiers: [...verifiers, ...seconds] }
  })
  return makeSnapshot(records, {
    decoyKey,
    reportKey: Buffer.alloc(32, 8),
    defaultShape: 'SCRAM-SHA-1$4096:16 SCRAM-SHA-256$4096:16 SCRAM-SHA-512$4096:16',
    hashes: ['SCRAM-SHA-256', 'SCRAM-SHA-512', 'SCRAM-SHA-1'],
  })
}

/** A snapshot of users whose passwords stand in the clear, through the real loader. */
export function plaintextSnapshotOf(
  users: Readonly<Record<string, string>>,
): Promise<CredentialSnapshot> {
  const inlineUsers = Object.entries(users).map(([name, password]) => {
    return { name, password, origin: 'test' }
  })
  const mechanisms = configuredMechanisms(ALL_MECHANISMS)
  return new CredentialSource({ files: [], inlineUsers, mechanisms }).load()
}

interface Derived {
  readonly password: string
  readonly parameters: DerivationParameters
}

export interface Fixture {
  readonly environment: SaslEnvironment
  /** Every derivation that was begun, in order. */
  readonly derived: Derived[]
}

export function fixture(
  snapshot: CredentialSnapshot,
  options: Partial<SaslEnvironmentOptions> = {},
): Fixture {
  const derived: Derived[] = []
  const environment = createSaslEnvironment({
    snapshot,
    mechanisms: ALL_MECHANISMS,
    monotonicMs: () => 0,
    epochSeconds: () => 1_700_000_000,
    ...options,
    derive: (password, parameters) => {
      derived.push({ password, parameters })
      return (options.derive ?? deriveSaltedPassword)(password, parameters)
    },
  })
  return { environment, derived }
}

export function plain(user: string, password: string, authzid = ''): Buffer {
  return Buffer.from(`${authzid}\0${user}\0${password}`)
}

export function textOf(step: SaslStep): string {
  if (step.kind !== 'challenge')
    throw new Error(`expected a challenge, not ${JSON.stringify(step)}`)
  return Buffer.from(step.bytes).toString()
}

const DIGESTS: Readonly<Record<string, string>> = {
  'SCRAM-SHA-1': 'sha1',
  'SCRAM-SHA-256': 'sha256',
  'SCRAM-SHA-512': 'sha512',
}

export interface ScramClientOptions {
  readonly mechanism: string
  readonly user: string
  readonly password: string
  readonly gs2Header?: string
  /** What the client binds to, with a `p=` in its header. */
  readonly bindingData?: Uint8Array
  /** Last chance to spoil the client-final message. */
  readonly spoil?: (clientFinal: string) => string
  /** Called when the server has proved itself, before the empty response. */
  readonly beforeLast?: () => void
}

/** A session, or something that carries its messages to one. */
export type Conversation = Pick<SaslSession, 'start' | 'step'>

/** One SCRAM login against a session; the last step, or the failure that came before it. */
export async function scramLogin(
  session: Conversation,
  options: ScramClientOptions,
): Promise<SaslStep> {
  const { mechanism, user, password, gs2Header = 'n,,', spoil = (text) => text } = options
  const digest = DIGESTS[mechanism.replace(/-PLUS$/, '')] ?? ''
  const nonce = randomBytes(12).toString('base64')
  const escaped = user.replaceAll('=', '=3D').replaceAll(',', '=2C')
  const bare = `n=${escaped},r=${nonce}`
  const first = await session.start(mechanism, Buffer.from(gs2Header + bare))
  if (first.kind !== 'challenge') return first
  const serverFirst = textOf(first)
  const [, serverNonce = '', salt = '', iterations = ''] =
    /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? []
  if (!serverNonce.startsWith(nonce)) throw new Error('the server dropped the nonce')
  const length = createHash(digest).digest().length
  const saltBytes = Buffer.from(salt, 'base64')
  const salted = pbkdf2Sync(password, saltBytes, Number(iterations), length, digest)
  const clientKey = createHmac(digest, salted).update('Client Key').digest()
  const storedKey = createHash(digest).update(clientKey).digest()
  const bound = Buffer.concat([Buffer.from(gs2Header), options.bindingData ?? Buffer.alloc(0)])
  const withoutProof = `c=${bound.toString('base64')},r=${serverNonce}`
  const authMessage = `${bare},${serverFirst},${withoutProof}`
  const signature = createHmac(digest, storedKey).update(authMessage).digest()
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)))
  const clientFinal = spoil(`${withoutProof},p=${proof.toString('base64')}`)
  const second = await session.step(Buffer.from(clientFinal))
  if (second.kind !== 'challenge') return second
  const serverKey = createHmac(digest, salted).update('Server Key').digest()
  const expected = createHmac(digest, serverKey).update(authMessage).digest('base64')
  if (textOf(second) !== `v=${expected}`) throw new Error('the server did not prove itself')
  options.beforeLast?.()
  return session.step(Buffer.alloc(0))
}
