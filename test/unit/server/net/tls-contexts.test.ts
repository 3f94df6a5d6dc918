import { createSecureContext } from 'node:tls'
import { afterAll, describe, expect, test } from 'vitest'
import type { TlsIdentity } from '../../../../src/credential/tls-identity.ts'
import {
  findByHost,
  problemWithCertificates,
  problemWithCiphers,
  withCertificates,
} from '../../../../src/server/net/tls-contexts.ts'
import { TestAuthority } from '../../../support/authority.ts'

const authority = new TestAuthority()
const ecdsa = authority.issue()
const other = authority.issue()
const rsa = authority.issue({ key: 'rsa:2048' })
afterAll(() => authority.remove())

const identity = (pair: typeof ecdsa, ...names: readonly string[]): TlsIdentity => ({
  ...pair,
  names,
})

describe('the identity of a host', () => {
  const byName = new Map([
    ['a.example', 1],
    ['*.example', 2],
    ['*.b.example', 3],
  ])

  test.each([
    ['a.example', 1],
    ['A.Example.', 1],
    ['c.example', 2],
    ['c.b.example', 3],
    ['c.c.example', undefined],
    ['example', undefined],
    ['.example', undefined],
    ['', undefined],
    ['*.example', 2],
    ['__proto__', undefined],
  ])('%j has %s', (host, found) => {
    expect(findByHost(byName, host)).toBe(found)
  })
})

test('without an authority nobody is trusted, least of all the public ones', () => {
  const material = { identities: [identity(ecdsa, 'a')], ca: undefined, crl: undefined }
  expect(withCertificates(material, {}).ca).toEqual([])
})

test('one identity is no choice, and neither are two of the same names', () => {
  const one = { identities: [identity(ecdsa, 'a')], ca: undefined, crl: undefined }
  expect(withCertificates(one, {}).SNICallback).toBeUndefined()
  const two = { ...one, identities: [identity(ecdsa, 'a', 'b'), identity(rsa, 'b', 'a')] }
  const options = withCertificates(two, {})
  expect(options.SNICallback).toBeUndefined()
  expect(options.key).toEqual([ecdsa.key, rsa.key])
  expect(() => createSecureContext({ key: options.key, cert: options.cert })).not.toThrow()
})

test('every list of revoked certificates is given by itself: Node reads one of each text', () => {
  const list = authority.revocationList([])
  const material = { identities: [identity(ecdsa, 'a')], ca: undefined, crl: list + list }
  expect(withCertificates(material, {}).crl).toEqual([list, list])
})

test('what OpenSSL does not take is told with its place and a code', () => {
  const identities = [identity(ecdsa, 'a'), identity({ ...ecdsa, key: other.key }, 'b')]
  const material = { identities, ca: undefined, crl: undefined }
  expect(problemWithCertificates(material, {})?.index).toBe(1)
  const first = { ...material, identities: identities.slice(0, 1) }
  expect(problemWithCertificates(first, {})).toBeUndefined()
  expect(problemWithCertificates(first, { ciphers: 'NONE-SUCH' })).toEqual({
    index: 0,
    code: 'ERR_SSL_NO_CIPHER_MATCH',
  })
  expect(problemWithCiphers('NONE-SUCH')).toBe('ERR_SSL_NO_CIPHER_MATCH')
  expect(problemWithCiphers('NONE-SUCH:ECDHE-RSA-AES128-GCM-SHA256')).toBeUndefined()
})
