/** EXTERNAL: whom a client certificate names, where that is announced, what is refused and why. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerCertificate } from '../../../src/base/channel.ts'
import type { Pipe } from '../../../src/base/pipe.ts'
import type { CertificateField } from '../../../src/sasl/certificate-user.ts'
import type { SaslEnvironment } from '../../../src/sasl/environment.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { certificateNaming, pipeAt, tlsPipeAt } from '../../support/pipe.ts'
import { fuzzParameters } from '../credential/fuzz-parameters.ts'
import { fixture, plain, snapshotOf } from './fixture.ts'

const URI = 'spiffe://prod/ns/shop/sa/web'
const snapshot = snapshotOf({
  web: 'secret',
  'web.example.com': 'secret',
  'web@example.com': 'secret',
  [URI]: 'secret',
  IX: 'secret',
  b: 'secret',
})
const MECHANISMS = ['EXTERNAL', 'SCRAM-SHA-256', 'PLAIN']
const MANY = Array.from({ length: 33 }, (_, index) => `host${index}`)

function environmentOf(
  certificateField: CertificateField | undefined,
  mechanisms: readonly string[] = MECHANISMS,
): SaslEnvironment {
  return fixture(snapshot, { mechanisms, certificateField }).environment
}

function showing(names: Partial<PeerCertificate>): Pipe {
  return tlsPipeAt('192.0.2.1', { certificate: certificateNaming(names) })
}

const web = showing({ commonNames: ['web'] })

function outcome(environment: SaslEnvironment, pipe: Pipe, authzid = ''): string {
  const step = new SaslSession(environment, pipe).start('EXTERNAL', Buffer.from(authzid))
  if (step instanceof Promise) throw new Error('EXTERNAL does not wait')
  if (step.kind !== 'success') return step.kind === 'failure' ? step.reason : step.kind
  return `${step.principal.origin} ${step.principal.name}`
}

describe('the user is named by', () => {
  test.each([
    ['cn', { commonNames: ['web'] }, 'web'],
    ['dns', { dnsNames: ['web.example.com'] }, 'web.example.com'],
    ['email', { emailAddresses: ['web@example.com'] }, 'web@example.com'],
    ['uri', { uris: [URI] }, URI],
    // Prepared, as every name is.
    ['cn', { commonNames: ['\u2168'] }, 'IX'],
    // One of several, as long as no other is a user's.
    ['dns', { dnsNames: ['localhost', 'web.example.com', 'web.local'] }, 'web.example.com'],
    // Twice the same user is one.
    ['cn', { commonNames: ['IX', '\u2168', 'I\u00adX'] }, 'IX'],
    ['cn', { commonNames: [...MANY.slice(2), 'web'] }, 'web'],
  ] as const)('%s of %j: %s', (field, names, user) => {
    expect(outcome(environmentOf(field), showing(names))).toBe(`certificate ${user}`)
  })
})

describe('nobody is let in', () => {
  test.each([
    ['in the clear', 'cn', pipeAt(''), 'no-certificate'],
    ['without a certificate', 'cn', tlsPipeAt(''), 'no-certificate'],
    [
      'before the handshake is done',
      'cn',
      { ...web, channel: { kind: 'tls', listenerIndex: 0 } },
      'no-certificate',
    ],
    ['whom the certificate does not name', 'cn', showing({}), 'certificate-of-nobody'],
    ['who is no user', 'cn', showing({ commonNames: ['eve'] }), 'certificate-of-nobody'],
    ['of an empty name', 'cn', showing({ commonNames: [''] }), 'certificate-of-nobody'],
    [
      'whose name ends in NUL',
      'cn',
      showing({ commonNames: ['web\0.evil.com'] }),
      'certificate-of-nobody',
    ],
    [
      'whose name is too long',
      'cn',
      showing({ commonNames: ['\u2168'.repeat(400)] }),
      'certificate-of-nobody',
    ],
    ['in another case', 'cn', showing({ commonNames: ['WEB'] }), 'certificate-of-nobody'],
    ['by a wildcard', 'dns', showing({ dnsNames: ['*.example.com'] }), 'certificate-of-nobody'],
    [
      'by a field that is not asked for',
      'dns',
      showing({
        commonNames: ['web.example.com'],
        emailAddresses: ['web@example.com'],
        uris: [URI],
      }),
      'certificate-of-nobody',
    ],
    ['of two users', 'cn', showing({ commonNames: ['web', 'b'] }), 'certificate-of-several'],
    [
      'of more names than are looked at',
      'cn',
      showing({ commonNames: [...MANY.slice(1), 'web'] }),
      'certificate-of-several',
    ],
  ] as [string, CertificateField, Pipe, string][])('%s', (_what, field, pipe, reason) => {
    const environment = environmentOf(field)
    expect(outcome(environment, pipe)).toBe(reason)
    expect(environment.announced(pipe.channel).split(' ')).not.toContain('EXTERNAL')
    expect(environment.counters.failures[reason as 'no-certificate']).toBe(1)
  })

  test('where certificates name nobody by configuration', () => {
    const environment = environmentOf(undefined)
    expect(outcome(environment, web)).toBe('unknown-mechanism')
    expect(environment.announced(web.channel)).not.toContain('EXTERNAL')
  })
})

test('the login is good for as long as the certificate, and one that has expired is none', () => {
  const { validTo } = certificateNaming({})
  let nowSeconds = validTo - 1
  const certificateField = 'cn' as const
  const { environment } = fixture(snapshot, {
    mechanisms: MECHANISMS,
    certificateField,
    epochSeconds: () => nowSeconds,
  })
  const step = new SaslSession(environment, web).start('EXTERNAL', Buffer.alloc(0))
  expect(step).toMatchObject({ kind: 'success', principal: { expiresAt: validTo } })
  nowSeconds = validTo
  expect(environment.announced(web.channel).split(' ')).not.toContain('EXTERNAL')
  expect(outcome(environment, web)).toBe('certificate-expired')
})

describe('the authorization identity', () => {
  test.each([
    ['', 'certificate IX'],
    ['IX', 'certificate IX'],
    ['\u2168', 'certificate IX'],
    ['web', 'bad-authzid'],
    ['nobody', 'bad-authzid'],
    ['IX\0', 'malformed'],
    ['\0', 'malformed'],
    ['IX'.padEnd(1025, 'X'), 'malformed'],
  ])('%j of IX: %s', (authzid, result) => {
    const pipe = showing({ commonNames: ['IX'] })
    expect(outcome(environmentOf('cn'), pipe, authzid)).toBe(result)
  })

  test('that is not UTF-8 is malformed, and a foreign one is reported with the user', () => {
    const session = new SaslSession(environmentOf('cn'), web)
    expect(session.start('EXTERNAL', Buffer.from([0xff]))).toMatchObject({ reason: 'malformed' })
    expect(session.start('EXTERNAL', Buffer.from('b'))).toMatchObject({
      reason: 'bad-authzid',
      user: 'web',
      mechanism: 'EXTERNAL',
    })
  })
})

test('an absent initial response is an empty one, and no challenge follows', () => {
  for (const initial of [undefined, Buffer.alloc(0)]) {
    const session = new SaslSession(environmentOf('cn'), web)
    expect(session.start('external', initial)).toMatchObject({
      kind: 'success',
      principal: { name: 'web', origin: 'certificate' },
      mechanism: 'EXTERNAL',
    })
    expect(session.step(Buffer.alloc(0))).toMatchObject({ reason: 'out-of-sequence' })
  }
})

describe('the list has EXTERNAL', () => {
  const SCRAMS = 'SCRAM-SHA-256-PLUS SCRAM-SHA-256'
  test.each([
    [MECHANISMS, `EXTERNAL ${SCRAMS} PLAIN`, `${SCRAMS} PLAIN`],
    [['SCRAM-SHA-256', 'EXTERNAL'], `${SCRAMS} EXTERNAL`, SCRAMS],
    [['EXTERNAL'], 'EXTERNAL', ''],
    // libsasl2 would take it, fail, and not try PLAIN.
    [['EXTERNAL', 'PLAIN'], 'PLAIN', 'PLAIN'],
  ])('of %j as "%s" with a certificate, else "%s"', (mechanisms, withOne, without) => {
    const environment = environmentOf('cn', mechanisms)
    expect(environment.announced(web.channel)).toBe(withOne)
    expect(environment.announced(tlsPipeAt('').channel)).toBe(without)
    expect(environment.announced(showing({ commonNames: ['eve'] }).channel)).toBe(without)
  })

  test('only as long as a SCRAM beside PLAIN is there for every user', () => {
    const environment = environmentOf('cn')
    const lacking = [{ hash: 'SCRAM-SHA-256' as const, userCount: 1, userNames: ['b'] }]
    environment.replaceCredentials({ ...snapshot, lacking })
    expect(environment.announced(web.channel)).toBe('PLAIN')
    expect(outcome(environment, web)).toBe('unknown-mechanism')
  })

  test('and does not stand in for a mechanism that every user can use', () => {
    const lacking = [{ hash: 'SCRAM-SHA-256' as const, userCount: 1, userNames: ['b'] }]
    const mechanisms = ['EXTERNAL', 'SCRAM-SHA-256']
    const make = (): unknown =>
      fixture({ ...snapshot, lacking }, { mechanisms, certificateField: 'cn' })
    expect(make).toThrow('no mechanism of "EXTERNAL SCRAM-SHA-256" can be used by every user')
  })
})

test('a user who comes or goes with a reload changes whom a certificate names at once', () => {
  const environment = environmentOf('cn')
  const pipe = showing({ commonNames: ['web', 'late'] })
  expect(outcome(environment, pipe)).toBe('certificate web')
  environment.replaceCredentials(snapshotOf({ web: 'x', late: 'x' }))
  expect(outcome(environment, pipe)).toBe('certificate-of-several')
  environment.replaceCredentials(snapshotOf({ late: 'x' }))
  expect(outcome(environment, pipe)).toBe('certificate late')
  environment.replaceCredentials(snapshotOf({ other: 'x' }))
  expect(outcome(environment, pipe)).toBe('certificate-of-nobody')
})

test('who has a certificate of one user may log in as another by a password', async () => {
  const session = new SaslSession(environmentOf('cn'), web)
  const step = await session.start('PLAIN', plain('b', 'secret'))
  expect(step).toMatchObject({ kind: 'success', principal: { name: 'b', origin: 'users' } })
})

test('whatever is sent with whatever certificate, only the one user it names is let in', () => {
  const users = snapshot.users.map(({ name }) => name)
  const name = fc.oneof(
    fc.constantFrom(...users, '', '\u2168', 'WEB', 'web\0', '*'),
    fc.string({ unit: 'binary', maxLength: 20 }),
  )
  const authzid = fc.oneof(
    name.map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 40 }),
  )
  const environment = environmentOf('cn')
  const property = fc.property(fc.array(name, { maxLength: 4 }), authzid, (commonNames, bytes) => {
    const session = new SaslSession(environment, showing({ commonNames }))
    const step = session.start('EXTERNAL', bytes)
    if (step instanceof Promise) throw new Error('EXTERNAL does not wait')
    // By the normalization of JavaScript, as far as the names above need it.
    const named = new Set(commonNames.map((each) => each.normalize('NFKC')))
    const [user, other] = users.filter((each) => named.has(each))
    const text = Buffer.from(bytes).toString()
    const isOwn = text === '' || text.normalize('NFKC') === user
    if (step.kind !== 'success') {
      expect(user !== undefined && other === undefined && isOwn).toBe(false)
      return
    }
    expect(step.principal.name).toBe(user)
    expect([other, isOwn]).toEqual([undefined, true])
  })
  fc.assert(property, fuzzParameters(2000))
})
