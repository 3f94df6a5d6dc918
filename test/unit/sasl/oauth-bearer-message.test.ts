import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TOKEN_BYTES_MAX } from '../../../src/credential/token-verifier.ts'
import { parseBearerMessage } from '../../../src/sasl/oauth-bearer-message.ts'

const S = '\u0001'

describe('the message of OAUTHBEARER', () => {
  test.each([
    ['as in RFC 7628, 4.1', `n,a=user@example.com,${S}host=server.example.com${S}port=143${S}`],
    ['without anything beside the token', `n,,${S}`],
    ['of a client that knows of channel binding', `y,,${S}`],
    ['with keys that nobody has defined', `n,,${S}mthd=POST${S}path=/${S}qs=${S}`],
    ['with a host that has spaces, tabs and line ends', `n,,${S}host= \t\r\n~${S}`],
  ])('%s is taken', (_, before) => {
    expect(parseBearerMessage(`${before}auth=Bearer a.b-c_d.e==${S}${S}`)).toEqual({
      authorizationIdentity: before.startsWith('n,a=') ? 'user@example.com' : '',
      token: 'a.b-c_d.e==',
    })
  })

  test.each(['bearer', 'BEARER', 'Bearer '])('has the scheme %j as well', (scheme) => {
    expect(parseBearerMessage(`n,,${S}auth=${scheme} t${S}${S}`)).toMatchObject({ token: 't' })
  })

  test('has commas and equals signs escaped in the name', () => {
    expect(parseBearerMessage(`n,a=a=2Cb=3Dc,${S}auth=Bearer t${S}${S}`)).toMatchObject({
      authorizationIdentity: 'a,b=c',
    })
  })

  test.each([
    ['nothing', ''],
    ['an acknowledgement alone', S],
    ['no token', `n,,${S}${S}`],
    ['a discovery', `n,,${S}auth=${S}${S}`],
    ['no separator at its end', `n,,${S}auth=Bearer t${S}`],
    ['no separator behind the header', `n,,auth=Bearer t${S}${S}`],
    ['something behind its end', `n,,${S}auth=Bearer t${S}${S}x`],
    ['a separator too many', `n,,${S}auth=Bearer t${S}${S}${S}`],
    ['a separator too many before', `n,,${S}${S}auth=Bearer t${S}${S}`],
    ['no header', `${S}auth=Bearer t${S}${S}`],
    ['half a header', `n,${S}auth=Bearer t${S}${S}`],
    ['a header of three parts', `n,,x${S}auth=Bearer t${S}${S}`],
    ['a flag that there is not', `x,,${S}auth=Bearer t${S}${S}`],
    ['the flag of what is no standard', `F,n,,${S}auth=Bearer t${S}${S}`],
    ['a name without a=', `n,alice,${S}auth=Bearer t${S}${S}`],
    ['an empty name', `n,a=,${S}auth=Bearer t${S}${S}`],
    ['a name with a bare equals sign', `n,a=a=b,${S}auth=Bearer t${S}${S}`],
    ['a name that is too long', `n,a=${'a'.repeat(1025)},${S}auth=Bearer t${S}${S}`],
    ['two tokens', `n,,${S}auth=Bearer t${S}auth=Bearer u${S}${S}`],
    ['the same token twice', `n,,${S}auth=Bearer t${S}auth=Bearer t${S}${S}`],
    ['another scheme', `n,,${S}auth=Basic YWxpY2U6c2VjcmV0${S}${S}`],
    ['no scheme', `n,,${S}auth=t${S}${S}`],
    ['no space behind the scheme', `n,,${S}auth=Bearert${S}${S}`],
    ['a tab behind the scheme', `n,,${S}auth=Bearer\tt${S}${S}`],
    ['a token of nothing', `n,,${S}auth=Bearer ${S}${S}`],
    ['a space behind the token', `n,,${S}auth=Bearer t ${S}${S}`],
    ['a token with padding inside', `n,,${S}auth=Bearer a=b${S}${S}`],
    ['a token that is not ASCII', `n,,${S}auth=Bearer \u00fc${S}${S}`],
    ['a token that is too long', `n,,${S}auth=Bearer ${'t'.repeat(TOKEN_BYTES_MAX + 1)}${S}${S}`],
    ['a key of its own kind', `n,,${S}a1=x${S}auth=Bearer t${S}${S}`],
    ['a key without a name', `n,,${S}=x${S}auth=Bearer t${S}${S}`],
    ['no equals sign', `n,,${S}host${S}auth=Bearer t${S}${S}`],
    ['auth in another case', `n,,${S}Auth=Bearer t${S}${S}`],
    ['a NUL', `n,,${S}host=\0${S}auth=Bearer t${S}${S}`],
    ['a port that is none', `n,,${S}port=x${S}auth=Bearer t${S}${S}`],
    ['a port of six digits', `n,,${S}port=111111${S}auth=Bearer t${S}${S}`],
  ])('with %s is malformed', (_, text) => {
    expect(parseBearerMessage(text)).toBe('malformed')
  })

  test('that asks for channel binding is refused for that', () => {
    for (const flag of ['p=tls-exporter', 'p=tls-unique', 'p=']) {
      expect(parseBearerMessage(`${flag},,${S}auth=Bearer t${S}${S}`)).toBe('channel-binding')
    }
  })

  test('has a token of the largest size, and no larger', () => {
    const token = 't'.repeat(TOKEN_BYTES_MAX)
    expect(parseBearerMessage(`n,,${S}auth=Bearer ${token}${S}${S}`)).toMatchObject({ token })
  })

  test('of any kind is read without an exception, and what is taken can be written again', () => {
    const seed = process.env.SEED === undefined ? Date.now() & 0x7fffffff : Number(process.env.SEED)
    const piece = fc.oneof(
      fc.constantFrom(S, ',', '=', 'n', 'y', 'p=', 'a=', 'auth=', 'Bearer ', 'host=', 'port=', 't'),
      fc.string({ maxLength: 5, unit: 'binary' }),
    )
    const text = fc.oneof(
      fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join('')),
      // Right, but for one change.
      fc.tuple(fc.nat(60), fc.nat(3), piece).map(([at, length, put]) => {
        const right = `n,a=alice,${S}host=h${S}port=1${S}auth=Bearer abc.def.ghi${S}${S}`
        return right.slice(0, at) + put + right.slice(at + length)
      }),
    )
    fc.assert(
      fc.property(text, (given) => {
        const parsed = parseBearerMessage(given)
        if (typeof parsed === 'string') return
        const { authorizationIdentity: name, token } = parsed
        const escaped = name.replaceAll('=', '=3D').replaceAll(',', '=2C')
        const header = name === '' ? 'n,,' : `n,a=${escaped},`
        expect(token).toMatch(/^[\w.~+/-]+=*$/)
        expect(parseBearerMessage(`${header}${S}auth=Bearer ${token}${S}${S}`)).toEqual(parsed)
      }),
      { seed, numRuns: 3000 },
    )
  })
})
