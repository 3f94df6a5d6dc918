/** The options of tokens: what makes a whole, and that half of one lets nobody in. */
import { describe, expect, test } from 'vitest'
import { OFFERED_ALGORITHMS } from '../../../src/config/oauth-kinds.ts'
import { OPTIONS } from '../../../src/config/options.ts'
import { TOKEN_ALGORITHMS } from '../../../src/credential/token-keys.ts'
import { load, makeDirectory, problemsOf } from './support.ts'

const ISSUER = ['--oauth-issuer', 'https://issuer.example', '--oauth-audience', 'cache']
const WHOLE = [...ISSUER, '--oauth-jwks-url', 'https://issuer.example/jwks']

test('the algorithms of the option are those that there are, none with a shared secret', () => {
  expect([...OFFERED_ALGORITHMS].sort()).toEqual([...TOKEN_ALGORITHMS].sort())
  expect(OPTIONS.oauth_algorithms.default.every((name) => TOKEN_ALGORITHMS.includes(name))).toBe(
    true,
  )
  expect(OFFERED_ALGORITHMS.filter((name) => /^(HS|none)/i.test(name))).toEqual([])
})

describe('tokens', () => {
  test('are not taken unless an issuer is named', async () => {
    const { auth } = await load({})
    expect(auth.tokens).toBeUndefined()
    expect(auth.mechanisms).not.toContain('OAUTHBEARER')
  })

  test('have an issuer, an audience and keys, and OAUTHBEARER behind the others', async () => {
    const { auth } = await load({ flags: WHOLE })
    expect(auth.tokens).toEqual({
      issuer: 'https://issuer.example',
      audiences: ['cache'],
      keys: {
        kind: 'url',
        url: 'https://issuer.example/jwks',
        caFile: undefined,
        tokenFile: undefined,
      },
      algorithms: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
      clockSkewSeconds: 60,
      userClaim: 'sub',
      rolesClaim: undefined,
      rolesPrefix: '',
    })
    expect(auth.mechanisms).toEqual(['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN', 'OAUTHBEARER'])
  })

  test('are configured in a table of their own, with paths that belong to the file', async () => {
    const directory = makeDirectory()
    const toml = `[oauth]
oauth_issuer = "https://issuer.example"
oauth_audience = ["a", "b"]
oauth_jwks_file = "jwks.json"
oauth_algorithms = ["ES256"]
oauth_clock_skew_seconds = 0
oauth_user_claim = "kubernetes.io.serviceaccount.name"
oauth_roles_claim = "realm_access.roles"
oauth_roles_prefix = "cache:"
[authentication]
mechanisms = ["oauthbearer"]
`
    const { auth } = await load({ directory, toml })
    expect(auth.tokens).toMatchObject({
      audiences: ['a', 'b'],
      keys: { kind: 'file', path: `${directory}/jwks.json` },
      algorithms: ['ES256'],
      clockSkewSeconds: 0,
      userClaim: 'kubernetes.io.serviceaccount.name',
      rolesClaim: 'realm_access.roles',
      rolesPrefix: 'cache:',
    })
    expect(auth.mechanisms).toEqual(['OAUTHBEARER'])
  })

  test.each<[string, readonly string[], string]>([
    ['no audience', [...WHOLE.slice(0, 2), ...WHOLE.slice(4)], 'takes an audience'],
    ['no keys', ISSUER, 'takes its keys'],
    ['keys twice', [...WHOLE, '--oauth-jwks-file', 'f'], 'keep one of them'],
    ['no issuer', WHOLE.slice(2), 'has no effect without an issuer'],
    ['a claim and no issuer', ['--oauth-roles-claim', 'roles'], 'has no effect without an issuer'],
    ['a prefix and no claim', [...WHOLE, '--oauth-roles-prefix', 'x'], 'no effect without a claim'],
    ['a mechanism and no issuer', ['--mechanisms', 'PLAIN,OAUTHBEARER'], 'takes an issuer'],
    ['an issuer and no mechanism', [...WHOLE, '--mechanisms', 'PLAIN'], 'OAUTHBEARER is not among'],
    [
      'a CA without a URL',
      [...ISSUER, '--oauth-jwks-file', 'f', '--oauth-jwks-ca-file', 'c'],
      'no effect',
    ],
    ['no signature', [...WHOLE, '--oauth-algorithms', 'ES256,none'], 'nobody has signed'],
    ['a shared secret', [...WHOLE, '--oauth-algorithms', 'HS256'], 'a secret that the issuer'],
    ['an unknown algorithm', [...WHOLE, '--oauth-algorithms', 'ES256K'], 'is not one of RS256'],
    ['a skew of a day', [...WHOLE, '--oauth-clock-skew', '86400'], 'from 0 to 600'],
    ['an endless path', [...WHOLE, '--oauth-user-claim', 'a.'.repeat(129)], 'longer than 256'],
    ['http', [...ISSUER, '--oauth-jwks-url', 'http://issuer.example/'], 'not one of https'],
    [
      'http by a name like loopback',
      [...ISSUER, '--oauth-jwks-url', 'http://127.0.0.1.example/'],
      'https',
    ],
    ['another scheme', [...ISSUER, '--oauth-jwks-url', 'file:///etc/passwd'], 'not one of https'],
    ['no URL', [...ISSUER, '--oauth-jwks-url', 'issuer.example'], 'is not a URL'],
    ['a password', [...ISSUER, '--oauth-jwks-url', 'https://u:hunter2@h/'], 'a user or a password'],
  ])('with %s are a mistake', async (_, flags, message) => {
    const problems = await problemsOf({ flags })
    expect(problems.join('\n')).toContain(message)
    expect(problems.join('\n')).not.toContain('hunter2')
  })

  test.each(['http://127.0.0.1:8080/jwks', 'http://[::1]/', 'http://localhost/'])(
    'have keys from %s, which is this machine',
    async (url) => {
      const { auth } = await load({ flags: [...ISSUER, '--oauth-jwks-url', url] })
      expect(auth.tokens?.keys).toMatchObject({ url })
    },
  )
})
