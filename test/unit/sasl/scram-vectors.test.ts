import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { makeSnapshot } from '../../../src/credential/snapshot.ts'
import { findScramHash, hashPasswordWith } from '../../../src/credential/verifier.ts'
import { createSaslEnvironment, type SaslEnvironment } from '../../../src/sasl/environment.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { pipeAt } from '../../support/pipe.ts'
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
}

const path = join(import.meta.dirname, '..', '..', 'vectors', 'scram.json')
const vectors = JSON.parse(readFileSync(path, 'utf8')) as readonly Vector[]

function environmentFor(vector: Vector): SaslEnvironment {
  const hash = findScramHash(vector.mechanism)
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
    serverNonce: () => vector.serverNonce,
  })
}

describe.each(vectors)('$mechanism as in $source', (vector) => {
  const environment = environmentFor(vector)

  test('the exchange goes byte for byte as printed and ends in a login', async () => {
    const session = new SaslSession(environment, pipeAt('192.0.2.1'))
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
      const session = new SaslSession(environment, pipeAt('192.0.2.1'))
      await session.start(vector.mechanism, Buffer.from(vector.clientFirst))
      const final = `${withoutProof},p=${changed.toString('base64')}`
      const step = await session.step(Buffer.from(final))
      expect(step).toMatchObject({ kind: 'failure', reason: 'wrong-password' })
    }
  })
})
