/** Channel binding: where it is announced, which logins it lets through, which it refuses and why. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Pipe } from '../../../src/base/pipe.ts'
import { bindingData } from '../../../src/sasl/channel-binding.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { EXPORTED, pipeAt, tlsPipeAt } from '../../support/pipe.ts'
import { fixture, type ScramClientOptions, scramLogin, snapshotOf, textOf } from './fixture.ts'

const snapshot = snapshotOf({ alice: 'secret', bob: 'secret' })
const HASHES = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']

const certificates = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', 'vectors', 'certificates.json'), 'utf8'),
) as readonly { signature: string; der: string }[]

function certificateSignedBy(signature: string): Buffer {
  const vector = certificates.find((each) => each.signature === signature)
  return Buffer.from(vector?.der ?? '', 'base64')
}

const localCertificate = certificateSignedBy('ECDSA with SHA-256')
const newest = tlsPipeAt('192.0.2.1', { localCertificate })
const older = tlsPipeAt('192.0.2.1', { localCertificate, version: 'TLSv1.2' })
/** Nothing to bind to: TLS 1.2 with a certificate whose signature has no hash. */
const unbound = tlsPipeAt('192.0.2.1', {
  localCertificate: certificateSignedBy('Ed25519'),
  version: 'TLSv1.2',
})
const clear = pipeAt('192.0.2.1')

let { environment } = fixture(snapshot)

beforeEach(() => {
  ;({ environment } = fixture(snapshot))
})

function login(
  pipe: Pipe,
  mechanism: string,
  options: Partial<ScramClientOptions> = {},
): ReturnType<typeof scramLogin> {
  const session = new SaslSession(environment, pipe)
  return scramLogin(session, { mechanism, user: 'alice', password: 'secret', ...options })
}

/** Binds as a client on the other end of the same channel does. */
function boundTo(pipe: Pipe, type: string): Pick<ScramClientOptions, 'gs2Header' | 'bindingData'> {
  const data = bindingData(pipe.channel, type)
  if (data === undefined) throw new Error(`no ${type} on this channel`)
  return { gs2Header: `p=${type},,`, bindingData: data }
}

async function reasonOf(step: ReturnType<typeof scramLogin>): Promise<string> {
  const settled = await step
  return settled.kind === 'failure' ? settled.reason : settled.kind
}

describe('the list', () => {
  test('has -PLUS beside every SCRAM where the channel can be bound to, and for none elsewhere', () => {
    const bare = 'SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN'
    const plus =
      'SCRAM-SHA-512-PLUS SCRAM-SHA-512 SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN'
    const lists = [clear, newest, older, unbound].map(({ channel }) =>
      environment.announced(channel),
    )
    expect(lists).toEqual([bare, plus, plus, bare])
  })

  test.each([
    [['PLAIN'], 'PLAIN'],
    [['SCRAM-SHA-1'], 'SCRAM-SHA-1-PLUS SCRAM-SHA-1'],
    [['PLAIN', 'SCRAM-SHA-256'], 'PLAIN SCRAM-SHA-256-PLUS SCRAM-SHA-256'],
  ])('of %j is "%s"', (mechanisms, list) => {
    const configured = fixture(snapshot, { mechanisms }).environment
    expect(configured.announced(newest.channel)).toBe(list)
    expect(configured.mechanisms).toBe(mechanisms.join(' '))
  })

  test('loses -PLUS together with its hash when a user has no verifier for it', () => {
    const lacking = [{ hash: 'SCRAM-SHA-512' as const, userCount: 1, userNames: ['bob'] }]
    environment.replaceCredentials({ ...snapshot, lacking })
    expect(environment.announced(newest.channel)).toBe(
      'SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN',
    )
  })

  test('does not take -PLUS as configured', () => {
    const mechanisms = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
    expect(() => fixture(snapshot, { mechanisms })).toThrow('unknown mechanism SCRAM-SHA-256-PLUS')
  })
})

describe.each(HASHES)('%s', (name) => {
  test.each([
    ['tls-exporter', newest],
    ['tls-server-end-point', newest],
    ['tls-server-end-point', older],
  ] as const)('bound by %s logs in under both names', async (type, pipe) => {
    for (const mechanism of [`${name}-PLUS`, name]) {
      expect(await login(pipe, mechanism, boundTo(pipe, type))).toMatchObject({
        kind: 'success',
        principal: { name: 'alice' },
        mechanism,
      })
    }
  })

  test('needs no binding under its bare name from a client that cannot bind', async () => {
    expect(await reasonOf(login(newest, name))).toBe('success')
    expect(await reasonOf(login(newest, `${name}-PLUS`))).toBe('channel-binding')
  })

  test('is refused to a client that was told that we cannot bind, where we can', async () => {
    for (const pipe of [newest, older]) {
      expect(await reasonOf(login(pipe, name, { gs2Header: 'y,,' }))).toBe('downgrade')
    }
    for (const pipe of [clear, unbound]) {
      expect(await reasonOf(login(pipe, name, { gs2Header: 'y,,' }))).toBe('success')
    }
    const plus = login(newest, `${name}-PLUS`, { gs2Header: 'y,,' })
    expect(await reasonOf(plus)).toBe('channel-binding')
  })

  test('is not there with -PLUS where nothing can be bound to', async () => {
    for (const pipe of [clear, unbound]) {
      const plus = login(pipe, `${name}-PLUS`, { gs2Header: 'p=tls-exporter,,' })
      expect(await reasonOf(plus)).toBe('unknown-mechanism')
    }
  })
})

describe('a binding is refused', () => {
  const other = tlsPipeAt('192.0.2.1', {
    exported: Buffer.from(EXPORTED).reverse(),
    localCertificate: certificateSignedBy('ECDSA with SHA-384'),
  })
  const ofOther = (type: string): object => boundTo(other, type)

  test.each([
    ['that is another connection’s exporter', newest, ofOther('tls-exporter')],
    ['to another certificate', newest, ofOther('tls-server-end-point')],
    [
      'that is of the other type',
      newest,
      { ...boundTo(newest, 'tls-server-end-point'), gs2Header: 'p=tls-exporter,,' },
    ],
    ['of an unknown type', newest, { ...boundTo(newest, 'tls-exporter'), gs2Header: 'p=tls-x,,' }],
    ['of tls-unique', newest, { ...boundTo(newest, 'tls-exporter'), gs2Header: 'p=tls-unique,,' }],
    ['by exporter on TLS 1.2', older, boundTo(newest, 'tls-exporter')],
    ['that is empty', newest, { gs2Header: 'p=tls-exporter,,' }],
    ['that is cut', newest, { gs2Header: 'p=tls-exporter,,', bindingData: EXPORTED.subarray(1) }],
    [
      'that is longer',
      newest,
      { gs2Header: 'p=tls-exporter,,', bindingData: Buffer.concat([EXPORTED, EXPORTED]) },
    ],
    [
      'with a header that has an authzid in c= only',
      newest,
      {
        ...boundTo(newest, 'tls-exporter'),
        spoil: (text: string) =>
          text.replace(/c=[^,]*/, () => {
            const header = Buffer.from('p=tls-exporter,a=alice,')
            return `c=${Buffer.concat([header, EXPORTED]).toString('base64')}`
          }),
      },
    ],
    [
      'with a header of another flag in c=',
      newest,
      { spoil: (text: string) => text.replace('c=biws', 'c=eSws') },
    ],
    [
      'in other base64',
      newest,
      {
        ...boundTo(newest, 'tls-exporter'),
        spoil: (text: string) => text.replace(/c=[^,]*/, (all) => `${all}=`),
      },
    ],
    [
      'in no base64',
      newest,
      {
        ...boundTo(newest, 'tls-exporter'),
        spoil: (text: string) => text.replace(/c=[^,]*/, 'c=\u00e4!$%'),
      },
    ],
    [
      'of the header alone',
      newest,
      {
        ...boundTo(newest, 'tls-exporter'),
        spoil: (text: string) => text.replace(/c=[^,]*/, 'c=cD10bHMtZXhwb3J0ZXIsLA=='),
      },
    ],
  ] as [string, Pipe, Partial<ScramClientOptions>][])('%s', async (_what, pipe, options) => {
    for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS']) {
      expect(await reasonOf(login(pipe, mechanism, options))).toBe('channel-binding')
    }
  })

  test.each([
    'p,,n=alice,r=abc',
    'p=,,n=alice,r=abc',
    'p=tls exporter,,n=alice,r=abc',
    'p=tls-exporter,n=alice,r=abc',
    'p=tls-exporter',
    'P=tls-exporter,,n=alice,r=abc',
    'n=tls-exporter,,n=alice,r=abc',
    'y=tls-exporter,,n=alice,r=abc',
    'np=tls-exporter,,n=alice,r=abc',
    'p=tls-exporter\0,,n=alice,r=abc',
    `p=${'x'.repeat(8192)},,n=alice,r=abc`,
    '',
  ])('as malformed when it begins with %j', (message) => {
    const session = new SaslSession(environment, newest)
    const first = session.start('SCRAM-SHA-256-PLUS', Buffer.from(message.padEnd(1)))
    expect(first).toMatchObject({ kind: 'failure', reason: 'malformed' })
  })

  test('when the client-final is more than 8 KiB', async () => {
    const data = { gs2Header: 'p=tls-exporter,,', bindingData: Buffer.alloc(8192) }
    expect(await reasonOf(login(newest, 'SCRAM-SHA-256-PLUS', data))).toBe('malformed')
  })
})

test('a wrong binding is found where a wrong password is, whether there is the user or not', async () => {
  const wrong = { gs2Header: 'p=tls-exporter,,', bindingData: Buffer.alloc(32, 1) }
  const right = boundTo(newest, 'tls-exporter')
  const mechanism = 'SCRAM-SHA-256-PLUS'
  const nobody = { user: 'nobody' }
  const bad = { password: 'bad' }
  expect(await reasonOf(login(newest, mechanism, { ...right, ...bad }))).toBe('wrong-password')
  expect(await reasonOf(login(newest, mechanism, { ...right, ...nobody }))).toBe('unknown-user')
  expect(await reasonOf(login(newest, mechanism, { ...wrong, ...bad }))).toBe('channel-binding')
  expect(await reasonOf(login(newest, mechanism, { ...wrong, ...nobody }))).toBe('channel-binding')
})

test('an unknown user is shown the same salt on every channel and under both names', () => {
  const saltOf = (pipe: Pipe, name: string, header: string): string => {
    const session = new SaslSession(environment, pipe)
    const first = session.start(name, Buffer.from(`${header}n=ghost,r=abc`))
    if (first instanceof Promise) throw new Error('SCRAM does not wait')
    return /s=.*/.exec(textOf(first))?.[0] ?? ''
  }
  const salts = [
    saltOf(clear, 'SCRAM-SHA-256', 'n,,'),
    saltOf(newest, 'SCRAM-SHA-256', 'n,,'),
    saltOf(newest, 'SCRAM-SHA-256', 'p=tls-exporter,,'),
    saltOf(newest, 'SCRAM-SHA-256-PLUS', 'p=tls-exporter,,'),
  ]
  expect(salts[0]).toMatch(/^s=[A-Za-z0-9+/]{22}==,i=4096$/)
  expect(new Set(salts).size).toBe(1)
})
