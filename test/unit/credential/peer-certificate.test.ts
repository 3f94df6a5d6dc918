import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { der, derOid, readDer } from '../../../src/credential/der.ts'
import { peerCertificate } from '../../../src/credential/peer-certificate.ts'
import { TestAuthority, type TestPair } from '../../support/authority.ts'

const authority = new TestAuthority()
afterAll(() => authority.remove())

const read = (pair: TestPair): ReturnType<typeof peerCertificate> =>
  peerCertificate(new X509Certificate(pair.certificate))

const OID_CN = derOid('2.5.4.3')
const OID_SAN = derOid('2.5.29.17')

/** A certificate with names that no tool makes; nobody checks its signature here. */
function forged(commonName: Uint8Array, ...names: readonly Uint8Array[]): Uint8Array {
  const name = der(0x30, der(0x31, der(0x30, OID_CN, commonName)))
  const time = der(0x17, Buffer.from('260101000000Z'))
  const algorithm = der(0x30, derOid('1.2.840.10045.4.3.2'))
  const alternatives = der(0x30, OID_SAN, der(0x04, der(0x30, ...names)))
  const tbs = der(
    0x30,
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, Uint8Array.of(1)),
    algorithm,
    name,
    der(0x30, time, time),
    name,
    der(0x30, algorithm, der(0x03, Uint8Array.of(0, 1))),
    der(0xa3, der(0x30, alternatives)),
  )
  return der(0x30, tbs, algorithm, der(0x03, Uint8Array.of(0, 1)))
}

const utf8 = (text: string): Uint8Array => der(0x0c, Buffer.from(text))
const dns = (text: string): Uint8Array => der(0x82, Buffer.from(text, 'latin1'))
const uri = (text: string): Uint8Array => der(0x86, Buffer.from(text, 'latin1'))

describe('a certificate that openssl made', () => {
  test('has its names by their kind', () => {
    const pair = authority.issue({
      subject: '/C=DE/O=Shop, Inc./CN=alice/CN=alice.second/emailAddress=a@shop.example',
      names:
        'DNS:Alice.Example,DNS:b.example,email:alice@shop.example,URI:spiffe://shop/ns/a,IP:10.0.0.1',
    })
    const x509 = new X509Certificate(pair.certificate)
    expect(peerCertificate(x509)).toEqual({
      subject: 'C=DE,O=Shop\\, Inc.,CN=alice,CN=alice.second,emailAddress=a@shop.example',
      fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
      validTo: Date.parse(x509.validTo) / 1000,
      commonNames: ['alice', 'alice.second'],
      dnsNames: ['alice.example', 'b.example'],
      emailAddresses: ['alice@shop.example'],
      uris: ['spiffe://shop/ns/a'],
    })
  })

  test('may have no alternative names, and a name beyond ASCII', () => {
    const certificate = read(authority.issue({ subject: '/CN=Jürgen', names: '' }))
    expect(certificate?.commonNames).toEqual(['Jürgen'])
    expect(certificate?.dnsNames).toEqual([])
  })
})

describe('a name that looks like two', () => {
  test.each([
    ['a comma', 'evil.example, DNS:admin'],
    ['a quotation mark', 'evil", DNS:"admin'],
    ['a line end', 'evil\nDNS:admin'],
    ['a NUL', 'admin\0.evil.example'],
    ['a byte beyond ASCII', 'adm\u00eDn'],
  ])('is not two: %s', (_, name) => {
    const certificate = peerCertificate({ raw: forged(utf8('x'), dns(name), uri('admin:x')) })
    expect(certificate?.dnsNames).not.toContain('admin')
    expect(certificate?.uris).toEqual(['admin:x'])
  })

  test('is compared whole, in a subject as well', () => {
    const certificate = peerCertificate({ raw: forged(utf8('bob/CN=admin,CN=admin'), dns('a')) })
    expect(certificate?.commonNames).toEqual(['bob/CN=admin,CN=admin'])
    expect(certificate?.subject).toBe('CN=bob/CN\\=admin\\,CN\\=admin')
  })

  test.each([
    ['a NUL', 'admin\0'],
    ['a line end', 'admin\nlevel=fatal'],
    ['a character that writes backwards', 'admin\u202e'],
    ['nothing', ''],
    ['too much', 'a'.repeat(1025)],
  ])('is no name at all with %s in it', (_, name) => {
    const certificate = peerCertificate({ raw: forged(utf8(name), dns('a')) })
    expect(certificate?.commonNames).toEqual([])
    expect(certificate?.subject).toBe('CN=?')
  })

  test('is not made of two texts: a BMPString has two bytes a character', () => {
    const bmp = der(0x1e, Buffer.from('\0a\0b'))
    expect(peerCertificate({ raw: forged(bmp) })?.commonNames).toEqual(['ab'])
    const odd = der(0x1e, Buffer.from('\0a\0'))
    expect(peerCertificate({ raw: forged(odd) })?.commonNames).toEqual([])
  })
})

test('a certificate with more than a hundred names is not read', () => {
  const names = (count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, index) => dns(`n${index}`))
  expect(peerCertificate({ raw: forged(utf8('x'), ...names(100)) })?.dnsNames).toHaveLength(100)
  expect(peerCertificate({ raw: forged(utf8('x'), ...names(101)) })).toBeUndefined()
})

test('a long subject is cut for the log', () => {
  const certificate = peerCertificate({ raw: forged(utf8('a'.repeat(1000))) })
  expect(certificate?.subject).toHaveLength(256 + '...'.length)
  expect(certificate?.commonNames).toEqual(['a'.repeat(1000)])
})

test('the alternative names standing there twice make a certificate that is not read', () => {
  const raw = Buffer.from(forged(utf8('x'), dns('a')))
  const extension = Buffer.from(der(0x30, OID_SAN, der(0x04, der(0x30, dns('a')))))
  const once = raw.indexOf(extension)
  expect(once).toBeGreaterThan(0)
  const twice = forgedWithExtensions(extension, extension)
  expect(peerCertificate({ raw: forgedWithExtensions(extension) })?.dnsNames).toEqual(['a'])
  expect(peerCertificate({ raw: twice })).toBeUndefined()
})

function forgedWithExtensions(...extensions: readonly Uint8Array[]): Uint8Array {
  const sequence = der(0x30)
  const time = der(0x17, Buffer.from('260101000000Z'))
  const tbs = der(
    0x30,
    der(0x02, Uint8Array.of(1)),
    sequence,
    sequence,
    der(0x30, time, time),
    sequence,
    sequence,
    der(0xa3, der(0x30, ...extensions)),
  )
  return der(0x30, tbs, sequence, der(0x03, Uint8Array.of(0)))
}

describe('whatever the bytes are', () => {
  const good = new X509Certificate(
    authority.issue({ names: 'DNS:a,email:b@c,URI:d:e' }).certificate,
  ).raw

  test('reading ends, with names as they should be or with none', () => {
    const changed = fc
      .tuple(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length))
      .map(([at, byte, cut]) => {
        const raw = Buffer.from(good)
        raw[at] = byte
        return cut < 20 ? raw.subarray(0, cut * 20) : raw
      })
    fc.assert(
      fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 300 })), (raw) => {
        const certificate = peerCertificate({ raw })
        const names = [certificate?.commonNames, certificate?.dnsNames, certificate?.uris]
        for (const name of names.flat()) expect(name ?? '').not.toMatch(/\p{Cc}/u)
      }),
      { numRuns: 2000 },
    )
  })

  test('what der writes, readDer reads', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 5 }), (contents) => {
        const bytes = Buffer.concat(contents.map((content) => der(0x04, content)))
        expect(readDer(bytes)?.map(({ content }) => [...content])).toEqual(
          contents.map((content) => [...content]),
        )
      }),
    )
  })

  test.each([
    ['an indefinite length', [0x30, 0x80, 0, 0]],
    ['a length that is longer than it must be', [0x04, 0x81, 1, 7]],
    ['a length with a zero in front', [0x04, 0x82, 0, 0x80, ...new Array<number>(128).fill(7)]],
    ['more than there is', [0x04, 3, 7, 7]],
    ['a tag of several bytes', [0x1f, 1, 0]],
    ['a length of five bytes', [0x04, 0x85, 0, 0, 0, 0, 1, 7]],
  ])('%s is not DER', (_, bytes) => {
    expect(readDer(Uint8Array.from(bytes))).toBeUndefined()
  })
})
