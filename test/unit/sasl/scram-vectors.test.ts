import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import type { Pipe } from '../../../src/base/pipe.ts'
import { makeSnapshot } from '../../../src/credential/credential-snapshot.ts'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { findScramHash, hashPasswordWith } from '../../../src/credential/verifier.ts'
import { createSaslEnvironment, type SaslEnvironment } from '../../../src/sasl/environment.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { pipeAt, tlsPipeAt } from '../../support/pipe.ts'
import { textOf } from './fixture.ts'

interface Vector {
  readonly source: string
  readonly mechanism: string
  readonly user: string
  readonly password: string
  readonly salt: string
  readonly iterations: number
  readonly serverNonce: string
  readonly clientFirst: string
  readonly serverFirst: string
  readonly clientFinal: string
  readonly serverFinal: string
  /** Of a -PLUS mechanism. */
  readonly bindingType?: string
  readonly bindingData?: string
}

// The second file is made by make-scram-plus.py beside it.
const vectors = ['scram.json', 'scram-plus.json'].flatMap((file) => {
  const path = join(import.meta.dirname, '..', '..', 'vectors', file)
  return JSON.parse(readFileSync(path, 'utf8')) as readonly Vector[]
})

/** The certificate whose SHA-256 is bound to, as far as anybody looks at it. */
const LOCAL_CERTIFICATE = Buffer.from('a certificate')

vi.mock('../../../src/sasl/certificate-hash.ts', () => ({ certificateHash: () => 'sha256' }))

function pipeFor({ bindingType, bindingData = '' }: Vector): Pipe {
  if (bindingType === undefined) return pipeAt('192.0.2.1')
  const exported = bindingType === 'tls-exporter' ? Buffer.from(bindingData, 'hex') : undefined
  return tlsPipeAt('192.0.2.1', { exported, localCertificate: LOCAL_CERTIFICATE })
}

function environmentFor(vector: Vector): SaslEnvironment {
  const hash = findScramHash(vector.mechanism.replace(/-PLUS$/, ''))
  if (hash === undefined) throw new Error(vector.mechanism)
  const salt = Buffer.from(vector.salt, 'base64')
  const verifier = hashPasswordWith(vector.password, { hash, salt, iterations: vector.iterations })
  const snapshot = makeSnapshot([{ name: vector.user, verifiers: [verifier] }], {
    decoyKey: Buffer.alloc(32),
    reportKey: Buffer.alloc(32),
    defaultShape: '',
    hashes: [hash.name],
  })
  return createSaslEnvironment({
    snapshot,
    mechanisms: [hash.name],
    monotonicMs: () => 0,
    epochSeconds: () => 0,
    serverNonce: () => vector.serverNonce,
  })
}

describe.each(vectors)('$mechanism as in $source', (vector) => {
  const environment = environmentFor(vector)

  test('the exchange goes byte for byte as printed and ends in a login', async () => {
    const session = new SaslSession(environment, pipeFor(vector))
    const first = await session.start(vector.mechanism, Buffer.from(vector.clientFirst))
    expect(textOf(first)).toBe(vector.serverFirst)
    expect(textOf(await session.step(Buffer.from(vector.clientFinal)))).toBe(vector.serverFinal)
    expect(await session.step(Buffer.alloc(0))).toEqual({
      kind: 'success',
      principal: userPrincipal(vector.user),
      mechanism: vector.mechanism,
    })
  })

  test('the exchange with one changed bit anywhere in the proof is refused', async () => {
    const [withoutProof = '', proof = ''] = vector.clientFinal.split(',p=')
    const bytes = Buffer.from(proof, 'base64')
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const session = new SaslSession(environment, pipeFor(vector))
      await session.start(vector.mechanism, Buffer.from(vector.clientFirst))
      const final = `${withoutProof},p=${changed.toString('base64')}`
      const step = await session.step(Buffer.from(final))
      expect(step).toMatchObject({ kind: 'failure', reason: 'wrong-password' })
    }
  })
})

describe.each(vectors.filter(({ bindingType }) => bindingType !== undefined))(
  '$mechanism as in $source',
  (vector) => {
    const environment = environmentFor(vector)
    const bareName = vector.mechanism.replace(/-PLUS$/, '')

    test('goes the same way under its bare name, as libsasl2 calls it', async () => {
      const session = new SaslSession(environment, pipeFor(vector))
      const first = await session.start(bareName, Buffer.from(vector.clientFirst))
      expect(textOf(first)).toBe(vector.serverFirst)
      expect(textOf(await session.step(Buffer.from(vector.clientFinal)))).toBe(vector.serverFinal)
      expect(await session.step(Buffer.alloc(0))).toMatchObject({
        kind: 'success',
        mechanism: bareName,
      })
    })

    test('is refused on any other channel, though nothing else is wrong', async () => {
      const data = Buffer.from(vector.bindingData ?? '', 'hex')
      data[7] = (data[7] ?? 0) ^ 1
      const others = [
        tlsPipeAt('', { exported: data, localCertificate: Buffer.from('another') }),
        tlsPipeAt('', { exported: new Uint8Array(0), localCertificate: Buffer.alloc(0) }),
      ]
      for (const pipe of others) {
        const session = new SaslSession(environment, pipe)
        const first = await session.start(vector.mechanism, Buffer.from(vector.clientFirst))
        expect(textOf(first)).toBe(vector.serverFirst)
        expect(await session.step(Buffer.from(vector.clientFinal))).toMatchObject({
          kind: 'failure',
          reason: 'channel-binding',
        })
      }
    })
  },
)
