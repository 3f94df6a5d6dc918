import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  fitsAlgorithm,
  KEY_SET_BYTES_MAX,
  parseKeySet,
  TOKEN_ALGORITHMS,
} from '../../../src/credential/token-keys.ts'
import { keySetText, publicJwk, signingKey } from '../../support/token-issuer.ts'

const rsa = signingKey('RS256', 'r')
const ec = signingKey('ES256', 'e')
const ed = signingKey('EdDSA', 'd')

function keysOf(text: string): string[] {
  const parsed = parseKeySet(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed.keys.map(({ id, jwk }) => `${id} ${jwk.kty}`)
}

describe('a key set', () => {
  test('has the public keys of the issuer, and of each no more than the key', () => {
    const parsed = parseKeySet(keySetText(rsa, { ...publicJwk(ec), x5c: ['MII'], evil: {} }, ed))
    if (typeof parsed === 'string') throw new Error(parsed)
    expect(parsed.keys.map(({ id, algorithm }) => [id, algorithm])).toEqual([
      ['r', 'RS256'],
      ['e', 'ES256'],
      ['d', 'EdDSA'],
    ])
    expect(parsed.keys.map(({ jwk }) => Object.keys(jwk).sort())).toEqual([
      ['e', 'kty', 'n'],
      ['crv', 'kty', 'x', 'y'],
      ['crv', 'kty', 'x'],
    ])
    expect(structuredClone(parsed)).toEqual(parsed)
  })

  test.each([
    ['rsa', rsa],
    ['ec', ec],
    ['ed', ed],
  ])('with a private key in it is refused, which is named and not shown: %s', (_, key) => {
    const secret = key.privateKey.export({ format: 'jwk' })
    const problem = parseKeySet(keySetText(rsa, { ...secret, kid: 'mine' }))
    expect(problem).toContain('key 2 (kid "mine") is a private key')
    for (const part of ['d', 'p', 'q'] as const) {
      if (secret[part] !== undefined) expect(problem).not.toContain(secret[part])
    }
  })

  test('with a secret key in it is refused', () => {
    const problem = parseKeySet(keySetText({ kty: 'oct', k: 'c2VjcmV0', kid: 'hmac' }))
    expect(problem).toContain('(kid "hmac") is a secret (symmetric) key')
    expect(problem).not.toContain('c2VjcmV0')
    expect(parseKeySet(keySetText({ ...publicJwk(rsa), k: 'c2VjcmV0' }))).toContain('is a secret')
  })

  test.each([
    ['another kind', { kty: 'XYZ', x: 'AA' }],
    ['no kind', {}],
    ['a use that is not signatures', { ...publicJwk(rsa), use: 'enc' }],
    ['operations that do not verify', { ...publicJwk(rsa), key_ops: ['sign'] }],
    ['a curve that is not known', { kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA' }],
    ['a point that is not on its curve', { ...publicJwk(ec), y: publicJwk(ec).x }],
    ['a key of agreement', generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' })],
    ['a member of the wrong type', { ...publicJwk(rsa), n: 5 }],
    ['an id that is no text', { ...publicJwk(rsa), kid: 7 }],
    ['an id that is too long', { ...publicJwk(rsa), kid: 'k'.repeat(257) }],
    ['an algorithm that is none of its', { ...publicJwk(rsa), alg: 'ES256' }],
    ['an algorithm of secrets', { ...publicJwk(rsa), alg: 'HS256' }],
    ['1024 bits', shortKey()],
    ['an exponent of 1', { ...publicJwk(rsa), e: 'AQ' }],
    ['a large exponent', { ...publicJwk(rsa), e: Buffer.alloc(100, 0xff).toString('base64url') }],
    [
      'a modulus of 16 Kibit',
      { ...publicJwk(rsa), n: Buffer.alloc(2048, 0xff).toString('base64url') },
    ],
  ])('passes over a key with %s', (_, key) => {
    expect(keysOf(keySetText(key as Record<string, unknown>, ed))).toEqual(['d OKP'])
    expect(parseKeySet(keySetText(key as Record<string, unknown>))).toContain('it has no key')
  })

  test.each([
    ['', 'no JWK Set'],
    ['{', 'no JWK Set'],
    ['[]', 'no JWK Set'],
    ['null', 'no JWK Set'],
    ['{"keys":{}}', 'no JWK Set'],
    ['<html>sorry</html>', 'no JWK Set'],
    ['{"keys":[]}', 'no key'],
    ['{"keys":[5]}', 'key 1 is no JSON object'],
    [JSON.stringify({ keys: Array(101).fill({}) }), '101 keys'],
    [' '.repeat(KEY_SET_BYTES_MAX + 1), 'bytes'],
    [`{"keys":${'['.repeat(100_000)}`, 'no JWK Set'],
  ])('is not %.40j', (text, problem) => {
    expect(parseKeySet(text)).toContain(problem)
  })

  test('has one key of an id and kind', () => {
    expect(keysOf(keySetText(rsa, { ...publicJwk(ec), kid: 'r' }))).toEqual(['r RSA', 'r EC'])
    const other = { ...publicJwk(signingKey('RS256', 'other')), kid: 'r' }
    expect(parseKeySet(keySetText(rsa, other))).toContain('key 2 (kid "r") has the kid of another')
  })
})

test('a key fits the algorithms of its kind, or the one that it is for', () => {
  const fitting = (key: typeof rsa, changes: Record<string, unknown>): string[] => {
    const parsed = parseKeySet(keySetText({ ...publicJwk(key), ...changes }))
    const [found] = typeof parsed === 'string' ? [] : parsed.keys
    return TOKEN_ALGORITHMS.filter((name) => found !== undefined && fitsAlgorithm(found, name))
  }
  expect(fitting(rsa, {})).toEqual(['RS256'])
  expect(fitting(rsa, { alg: undefined })).toEqual(TOKEN_ALGORITHMS.slice(0, 6))
  expect(fitting(ec, { alg: undefined })).toEqual(['ES256'])
  expect(fitting(ed, { alg: undefined })).toEqual(['EdDSA', 'Ed25519'])
  for (const name of ['none', 'HS256', '', 'toString', '__proto__']) {
    const parsed = parseKeySet(keySetText({ ...publicJwk(rsa), alg: undefined }))
    expect(typeof parsed !== 'string' && fitsAlgorithm(parsed.keys[0]!, name)).toBe(false)
  }
})

function shortKey(): Record<string, unknown> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  return { ...publicKey.export({ format: 'jwk' }) }
}
