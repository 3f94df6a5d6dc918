import { beforeAll, describe, expect, test } from 'vitest'
import { findClaim } from '../../../src/credential/claim-path.ts'
import { parseKeySet, type TokenKey } from '../../../src/credential/token-keys.ts'
import {
  loadTokenTools,
  TOKEN_BYTES_MAX,
  type TokenPolicy,
  TokenVerifier,
  type VerifiedToken,
} from '../../../src/credential/token-verifier.ts'
import {
  AUDIENCE,
  claimsOf,
  hmacToken,
  ISSUER,
  type Json,
  keySetText,
  NOW_SECONDS,
  type SigningKey,
  signingKey,
  signTexts,
  tokenOf,
} from '../../support/token-issuer.ts'

const POLICY: TokenPolicy = {
  issuer: ISSUER,
  audiences: [AUDIENCE, 'other-cache'],
  algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  clockSkewSeconds: 60,
  userClaim: 'sub',
  rolesClaim: 'realm_access.roles',
  rolesPrefix: '',
}
const FINGERPRINT = 'ab'.repeat(32)

const signing = signingKey('ES256', 'k1')
const published = publish(signing)

function publish(key: SigningKey): TokenKey {
  const parsed = parseKeySet(keySetText(key))
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed.keys[0]!
}

let nowSeconds = NOW_SECONDS
function verifierOf(changes: Partial<TokenPolicy> = {}): TokenVerifier {
  return new TokenVerifier({ ...POLICY, ...changes }, () => nowSeconds)
}

/** What comes of a token: the reason of a refusal, said to have been found before the signature or not. */
async function judge(
  token: string,
  changes: Partial<TokenPolicy> = {},
  { key = published, certificate }: { key?: TokenKey; certificate?: string } = {},
): Promise<VerifiedToken | string> {
  const verifier = verifierOf(changes)
  const examined = verifier.examine(token, certificate)
  if (typeof examined === 'string') return `early ${examined}`
  return verifier.verify(examined, key, certificate)
}

beforeAll(loadTokenTools)

describe('a token', () => {
  test.each([
    'RS256',
    'RS384',
    'RS512',
    'PS256',
    'PS384',
    'PS512',
    'ES256',
    'ES384',
    'ES512',
    'EdDSA',
  ])('signed by %s is taken, where that is allowed', async (algorithm) => {
    const key = signingKey(algorithm, 'k')
    const token = tokenOf(key, claimsOf({ realm_access: { roles: ['reader', 'writer'] } }))
    const algorithms = [algorithm]
    expect(await judge(token, { algorithms }, { key: publish(key) })).toEqual({
      rawName: 'alice',
      name: 'alice',
      roles: ['reader', 'writer'],
      expiresAt: NOW_SECONDS + 3600 + 60,
    })
    expect(await judge(token, { algorithms: ['Ed25519'] })).toBe('early token-algorithm')
    const other = publish(signingKey(algorithm, 'other'))
    expect(await judge(token, { algorithms }, { key: other })).toBe('token-signature')
  })

  test.each<[string, Json, string]>([
    ['has expired', { exp: NOW_SECONDS - 60 }, 'early token-expired'],
    ['is not valid yet', { nbf: NOW_SECONDS + 61 }, 'early token-not-yet-valid'],
    ['is of another issuer', { iss: `${ISSUER}/` }, 'early token-issuer'],
    ['is of several issuers', { iss: [ISSUER] }, 'early token-issuer'],
    ['is of no issuer', { iss: undefined }, 'early token-issuer'],
    ['is for somebody else', { aud: 'cache2' }, 'early token-audience'],
    ['is for others', { aud: ['a', 'b', ['cache']] }, 'early token-audience'],
    ['is for nobody', { aud: [] }, 'early token-audience'],
    ['says not for whom', { aud: undefined }, 'early token-audience'],
    ['never ends', { exp: undefined }, 'early token-claims'],
    ['ends at a text', { exp: '2000000000' }, 'early token-claims'],
    ['ends beyond all numbers', { exp: 1e300 }, 'early token-claims'],
    ['begins at a text', { nbf: '0' }, 'early token-claims'],
    ['was issued at a text', { iat: 'yesterday' }, 'token-claims'],
    ['is of nobody', { sub: undefined }, 'early token-claims'],
    ['is of several', { sub: ['alice', 'bob'] }, 'early token-claims'],
    ['is of an object', { sub: { toString: 'alice' } }, 'early token-claims'],
    ['is of an empty name', { sub: '' }, 'early token-claims'],
    ['is of a name with a NUL', { sub: 'alice\0' }, 'early token-claims'],
    ['is of a name of 1025 bytes', { sub: 'a'.repeat(1025) }, 'early token-claims'],
    ['is of half a character', { sub: '\ud800' }, 'early token-claims'],
    ['has roles that are no texts', { realm_access: { roles: [1] } }, 'token-claims'],
    ['has 257 roles', { realm_access: { roles: Array(257).fill('r') } }, 'token-claims'],
    ['is bound to a key', { cnf: { jkt: 'x' } }, 'early token-claims'],
    ['is bound to nothing', { cnf: {} }, 'early token-claims'],
    ['is bound to a text', { cnf: 'x' }, 'early token-claims'],
  ])('that %s is refused', async (_, changes, reason) => {
    expect(await judge(tokenOf(signing, claimsOf(changes)))).toBe(reason)
  })

  test.each<[string, Json]>([
    ['has expired within the skew', { exp: NOW_SECONDS - 59 }],
    ['is valid from now on, within the skew', { nbf: NOW_SECONDS + 60 }],
    ['is for several', { aud: ['a', 'other-cache'] }],
    ['has no roles', { realm_access: { roles: [] } }],
    ['has something else where roles would be', { realm_access: 'x' }],
    ['has members of the names of all objects', { constructor: 1, toString: 2, hasOwnProperty: 3 }],
  ])('that %s is taken', async (_, changes) => {
    expect(await judge(tokenOf(signing, claimsOf(changes)))).toMatchObject({
      name: 'alice',
      roles: [],
    })
  })

  test.each<[string, Json, string]>([
    ['says that it is not signed', { alg: 'none' }, 'early token-algorithm'],
    ['says so loudly', { alg: 'NONE' }, 'early token-algorithm'],
    ['has an algorithm of no text', { alg: ['ES256'] }, 'early malformed'],
    ['names no algorithm', { alg: undefined }, 'early malformed'],
    ['has a name of objects for an algorithm', { alg: 'constructor' }, 'early token-algorithm'],
    ['has another algorithm of its kind', { alg: 'RS256' }, 'token-key'],
    ['has a token in it', { cty: 'JWT' }, 'early malformed'],
    ['has what must be understood', { crit: ['exp'], exp: 1 }, 'early malformed'],
    ['has nothing that must be understood', { crit: [] }, 'early malformed'],
    ['is not encoded', { b64: false, crit: ['b64'] }, 'early malformed'],
    ['is a logout', { typ: 'logout+jwt' }, 'early malformed'],
    ['is a proof', { typ: 'dpop+jwt' }, 'early malformed'],
    ['is of a type that is no text', { typ: 1 }, 'early malformed'],
    ['has an id of a key that is no text', { kid: { $gt: '' } }, 'early malformed'],
    ['has an id of a key that is too long', { kid: 'k'.repeat(257) }, 'early malformed'],
  ])('whose header %s is refused', async (_, header, reason) => {
    expect(await judge(tokenOf(signing, claimsOf(), header))).toBe(reason)
  })

  test.each(['JWT', 'jwt', 'at+jwt', 'application/at+JWT'])(
    'of the type %s is taken',
    async (typ) => {
      expect(await judge(tokenOf(signing, claimsOf(), { typ }))).toMatchObject({ name: 'alice' })
    },
  )

  test('brings no key of its own', async () => {
    const own = signingKey('ES256', 'k1')
    const jwk = own.publicKey.export({ format: 'jwk' })
    for (const header of [{ jwk }, { jku: 'https://evil.example/jwks' }, { x5c: ['MII'] }]) {
      expect(await judge(tokenOf(own, claimsOf(), header))).toBe('token-signature')
    }
  })

  test('signed by HMAC with the public key is refused, in whatever form that is', async () => {
    const pem = signing.publicKey.export({ type: 'spki', format: 'pem' })
    const der = signing.publicKey.export({ type: 'spki', format: 'der' })
    for (const secret of [pem, der, JSON.stringify(published.jwk)]) {
      expect(await judge(hmacToken(signing, secret, claimsOf()))).toBe('early token-algorithm')
    }
    // Even where somebody allowed it, a public key is no secret.
    const algorithms = ['HS256']
    expect(await judge(hmacToken(signing, pem, claimsOf()), { algorithms })).toBe('token-key')
  })

  test('of two members of one name has the last, which is the one that is looked at', async () => {
    const header = '{"alg":"none","alg":"ES256","kid":"k1"}'
    const claims = (sub: string, exp: string): string =>
      `{"iss":"${ISSUER}","aud":"${AUDIENCE}",${sub},${exp}}`
    const late = `"exp":1,"exp":${NOW_SECONDS + 1}`
    const twice = signTexts(signing, header, claims('"sub":"root","sub":"alice"', late))
    expect(await judge(twice)).toMatchObject({ name: 'alice', expiresAt: NOW_SECONDS + 61 })
    const early = signTexts(
      signing,
      header,
      claims('"sub":"alice"', `"exp":${NOW_SECONDS + 1},"exp":1`),
    )
    expect(await judge(early)).toBe('early token-expired')
    const none = signTexts(signing, '{"alg":"ES256","alg":"none"}', claims('"sub":"a"', late))
    expect(await judge(none)).toBe('early token-algorithm')
  })

  test('that was changed by one bit anywhere is refused', async () => {
    const token = tokenOf(signing)
    for (let at = 0; at < token.length; at += 7) {
      const code = token.charCodeAt(at) ^ 1
      const changed = token.slice(0, at) + String.fromCharCode(code) + token.slice(at + 1)
      expect(typeof (await judge(changed)), changed).toBe('string')
    }
  })

  test.each([
    ['nothing', ''],
    ['one part', 'a'],
    ['two parts', 'e30.e30'],
    ['no signature', tokenOf(signing).replace(/[^.]*$/, '')],
    ['four parts', `${tokenOf(signing)}.e30`],
    ['five parts', 'e30.e30.e30.e30.e30'],
    ['padding', tokenOf(signing).replace('.', '=.')],
    ['a header that is no JSON', signTexts(signing, '{', '{}')],
    ['a header that is no object', signTexts(signing, '["ES256"]', '{}')],
    ['claims that are no JSON', signTexts(signing, '{"alg":"ES256"}', 'x')],
    ['claims that are null', signTexts(signing, '{"alg":"ES256"}', 'null')],
    ['claims that are a token', signTexts(signing, '{"alg":"ES256"}', tokenOf(signing))],
    ['a byte order mark', signTexts(signing, '\ufeff{"alg":"ES256"}', '{}')],
    ['ten thousand lists in lists', signTexts(signing, '{"alg":"ES256"}', '['.repeat(10_000))],
    ['claims that are no UTF-8', `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.wyg.AA`],
    ['a size of one byte too many', 'a'.repeat(TOKEN_BYTES_MAX + 1)],
  ])('of %s is malformed', async (_, token) => {
    expect(await judge(token)).toBe('early malformed')
  })

  test('of the largest size is taken', async () => {
    const fill = (length: number): string => tokenOf(signing, claimsOf({ x: 'x'.repeat(length) }))
    const spare = TOKEN_BYTES_MAX - fill(0).length
    const token = fill(Math.floor((spare * 3) / 4) - 1)
    expect(token.length).toBeGreaterThan(TOKEN_BYTES_MAX - 8)
    expect(await judge(token)).toMatchObject({ name: 'alice' })
  })

  test('that expires while its signature waits to be checked is refused', async () => {
    const verifier = verifierOf()
    const examined = verifier.examine(tokenOf(signing), undefined)
    if (typeof examined === 'string') throw new Error(examined)
    nowSeconds += 3600 + 60
    const verdict = await verifier.verify(examined, published, undefined)
    nowSeconds = NOW_SECONDS
    expect(verdict).toBe('token-expired')
  })

  test('bound to a certificate is good with that certificate alone (RFC 8705)', async () => {
    const thumbprint = Buffer.from(FINGERPRINT, 'hex').toString('base64url')
    const token = tokenOf(signing, claimsOf({ cnf: { 'x5t#S256': thumbprint } }))
    expect(await judge(token, {}, { certificate: FINGERPRINT })).toMatchObject({ name: 'alice' })
    expect(await judge(token, {}, { certificate: 'cd'.repeat(32) })).toBe('early token-claims')
    expect(await judge(token)).toBe('early token-claims')
    const both = tokenOf(signing, claimsOf({ cnf: { 'x5t#S256': thumbprint, jkt: 'x' } }))
    expect(await judge(both, {}, { certificate: FINGERPRINT })).toBe('early token-claims')
  })

  test('names its user as SASLprep has the name', async () => {
    const token = tokenOf(signing, claimsOf({ sub: '\u2168' }))
    expect(await judge(token)).toMatchObject({ name: 'IX', rawName: '\u2168' })
  })

  test('has roles in a text with spaces as well, as a scope has', async () => {
    const token = tokenOf(signing, claimsOf({ scope: ' openid  reader ' }))
    expect(await judge(token, { rolesClaim: 'scope' })).toMatchObject({
      roles: ['openid', 'reader'],
    })
    expect(await judge(token, { rolesClaim: undefined })).toMatchObject({ roles: [] })
  })

  test('has no mighty role by chance: those take a prefix, and then all roles do', async () => {
    const roles = ['admin', 'operator', 'reader', 'cache:admin', 'cache:', 'Cache:reader']
    const token = tokenOf(signing, claimsOf({ realm_access: { roles } }))
    expect(await judge(token)).toMatchObject({
      roles: ['reader', 'cache:admin', 'cache:', 'Cache:reader'],
    })
    expect(await judge(token, { rolesPrefix: 'cache:' })).toMatchObject({ roles: ['admin', ''] })
  })
})

test('a key that cannot be used after all refuses the token, and nothing worse', async () => {
  const broken: TokenKey = { ...published, jwk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } }
  expect(await judge(tokenOf(signing), {}, { key: broken })).toBe('token-key')
})

test('a claim is found where its path leads, the longest name first', () => {
  const claims = {
    sub: 'a',
    'https://example.com/roles': ['b'],
    realm_access: { roles: ['c'], 'd.e': 'f' },
    'kubernetes.io': { serviceaccount: { name: 'g' }, 'pod.name': 'h' },
    kubernetes: { io: { serviceaccount: { name: 'wrong', uid: 'i' } } },
    list: ['j'],
  }
  const found = [
    ['sub', 'a'],
    ['https://example.com/roles', ['b']],
    ['realm_access.roles', ['c']],
    ['realm_access.d.e', 'f'],
    ['kubernetes.io.serviceaccount.name', 'g'],
    ['kubernetes.io.pod.name', 'h'],
    ['kubernetes.io.serviceaccount.uid', 'i'],
    ['list.0', undefined],
    ['list.length', undefined],
    ['sub.length', undefined],
    ['constructor', undefined],
    ['realm_access.constructor.name', undefined],
    ['__proto__', undefined],
    ['.sub', undefined],
    ['sub.', undefined],
    ['', undefined],
    ['.', undefined],
  ] as const
  for (const [path, value] of found) expect([path, findClaim(claims, path)]).toEqual([path, value])
  expect(findClaim(JSON.parse('{"__proto__":"x"}'), '__proto__')).toBe('x')
})
