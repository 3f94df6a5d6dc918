/** Which hash tls-server-end-point takes, of certificates that openssl has made. */
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Channel } from '../../../src/base/channel.ts'
import { certificateHash } from '../../../src/sasl/certificate-hash.ts'
import { bindingData, canBind } from '../../../src/sasl/channel-binding.ts'
import { EXPORTED, pipeAt, tlsPipeAt } from '../../support/pipe.ts'
import { fuzzParameters } from '../credential/fuzz-parameters.ts'

interface CertificateVector {
  readonly signature: string
  readonly hash: string | null
  readonly der: string
}

const path = join(import.meta.dirname, '..', '..', 'vectors', 'certificates.json')
const vectors = (JSON.parse(readFileSync(path, 'utf8')) as readonly CertificateVector[]).map(
  ({ signature, hash, der }) => ({
    signature,
    hash: hash ?? undefined,
    der: Buffer.from(der, 'base64'),
  }),
)

describe.each(vectors)('a certificate signed by $signature', ({ hash, der }) => {
  test(`is bound to by ${hash ?? 'nothing'}`, () => {
    expect(certificateHash(der)).toBe(hash)
    const { channel } = tlsPipeAt('', { version: 'TLSv1.2', localCertificate: der })
    const data = hash === undefined ? undefined : createHash(hash).update(der).digest()
    expect(bindingData(channel, 'tls-server-end-point')).toEqual(data)
    expect(canBind(channel)).toBe(hash !== undefined)
  })

  test('is one to node:crypto as well, and none when a byte is missing', () => {
    expect(new X509Certificate(der).raw.equals(der)).toBe(true)
    for (let length = 0; length < der.length; length += 1) {
      expect(certificateHash(der.subarray(0, length))).toBeUndefined()
    }
  })
})

test('bytes that are no certificate have no hash, and are read within their bounds', () => {
  const [first] = vectors
  if (first === undefined) throw new Error('no vectors')
  const mutated = fc.array(fc.tuple(fc.nat(first.der.length - 1), fc.nat(255)), { minLength: 1 })
  fc.assert(
    fc.property(mutated, fc.nat(vectors.length - 1), (changes, index) => {
      const der = Buffer.from(vectors[index]?.der ?? [])
      for (const [at, byte] of changes) der[at % der.length] = byte
      expect(['string', 'undefined']).toContain(typeof certificateHash(der))
    }),
    fuzzParameters(500),
  )
  for (const text of ['', '\x30', '\x30\x80', '\x30\x85aaaaa', '\x30\x84\xff\xff\xff\xff', 'x']) {
    expect(certificateHash(Buffer.from(text, 'latin1'))).toBeUndefined()
  }
  const endless = Buffer.alloc(70_000)
  first.der.copy(endless)
  expect(certificateHash(endless)).toBeUndefined()
})

test('a channel is asked for its certificate once to tell whether it can be bound to', () => {
  let reads = 0
  const { tls, ...rest } = tlsPipeAt('', { version: 'TLSv1.2' }).channel
  const counting = {
    ...tls,
    get localCertificate() {
      reads++
      return vectors[0]?.der
    },
  }
  expect(canBind({ ...rest, tls: counting } as Channel)).toBe(true)
  expect(reads).toBe(1)
})

test('what there is to bind to depends on the channel', () => {
  const der = vectors.find(({ hash }) => hash === 'sha384')?.der
  const clear = pipeAt('').channel
  const halfOpen = { kind: 'tls', listenerIndex: 0 } as const
  const newest = tlsPipeAt('', { localCertificate: der }).channel
  const older = tlsPipeAt('', { localCertificate: der, version: 'TLSv1.2' }).channel
  const types = ['tls-exporter', 'tls-server-end-point', 'tls-unique', 'TLS-EXPORTER', '']
  const had = (channel: typeof clear): string[] =>
    types.filter((type) => bindingData(channel, type) !== undefined)
  expect(had(clear)).toEqual([])
  expect(had(halfOpen)).toEqual([])
  expect(had(newest)).toEqual(['tls-exporter', 'tls-server-end-point'])
  expect(had(older)).toEqual(['tls-server-end-point'])
  expect([clear, halfOpen, newest, older].map(canBind)).toEqual([false, false, true, true])
  expect(bindingData(newest, 'tls-exporter')).toEqual(EXPORTED)
  expect(canBind(tlsPipeAt('', { version: 'TLSv1.2' }).channel)).toBe(false)
})
