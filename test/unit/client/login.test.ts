/**
 * Which mechanism a client takes, of what a server offers and whoever is in between leaves of it, and
 * what it sends.
 */
import { expect, test } from 'vitest'
import type { Channel } from '../../../src/base/channel.ts'
import {
  chooseMechanism,
  type Login,
  type LoginPipe,
  logIn,
  refusePasswordInTheClear,
  type SaslAnswer,
} from '../../../src/client/login.ts'
import { Secret } from '../../../src/config/secret.ts'

const TLS_CHANNEL: Channel = {
  kind: 'tls',
  listenerIndex: 0,
  tls: {
    version: 'TLSv1.3',
    certificate: undefined,
    localCertificate: undefined,
    exporter: () => Buffer.alloc(32, 1),
  },
}
const CLEAR: LoginPipe = { channel: { kind: 'tcp', listenerIndex: 0 }, isPrivate: false }
const UNIX: LoginPipe = { channel: { kind: 'unix', listenerIndex: 0 }, isPrivate: true }
const VERIFIED: LoginPipe = { channel: TLS_CHANNEL, isPrivate: true }
const INSECURE: LoginPipe = { channel: TLS_CHANNEL, isPrivate: false }
const PIPES = { CLEAR, UNIX, VERIFIED, INSECURE }

const ALICE: Login = {
  user: 'alice',
  password: new Secret('wonderland'),
  mechanism: undefined,
  allowsPlainInTheClear: false,
}
const ALL = [
  'SCRAM-SHA-256-PLUS',
  'SCRAM-SHA-256',
  'SCRAM-SHA-1-PLUS',
  'SCRAM-SHA-1',
  'PLAIN',
  'EXTERNAL',
]

function choose(offered: readonly string[], pipe: LoginPipe, login: Partial<Login> = {}): string {
  try {
    return chooseMechanism(offered, { ...ALICE, ...login }, pipe)
  } catch (error) {
    return (error as { kind?: string }).kind ?? String(error)
  }
}

test.each([
  [ALL, 'VERIFIED', 'SCRAM-SHA-256-PLUS'],
  [ALL, 'INSECURE', 'SCRAM-SHA-256-PLUS'],
  [ALL, 'CLEAR', 'SCRAM-SHA-256'],
  [ALL, 'UNIX', 'SCRAM-SHA-256'],
  [['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-512'], 'CLEAR', 'SCRAM-SHA-512'],
  // A list that was cut down to PLAIN gets no password where others could read it.
  [['PLAIN'], 'CLEAR', 'login'],
  [['PLAIN'], 'INSECURE', 'login'],
  [['PLAIN'], 'VERIFIED', 'PLAIN'],
  [['PLAIN'], 'UNIX', 'PLAIN'],
  [['CRAM-MD5', 'LOGIN', 'SCRAM-SHA-256-PLUS'], 'CLEAR', 'login'],
  [[], 'VERIFIED', 'login'],
] as const)('of %j over %s it is %s', (offered, pipe, mechanism) => {
  expect(choose(offered, PIPES[pipe])).toBe(mechanism)
})

test('PLAIN goes in the clear if it was asked for, and not because SCRAM is there', () => {
  const asked = { allowsPlainInTheClear: true }
  expect(choose(['PLAIN'], CLEAR, asked)).toBe('PLAIN')
  expect(choose(ALL, CLEAR, asked)).toBe('SCRAM-SHA-256')
  expect(choose(ALL, CLEAR, { mechanism: 'PLAIN' })).toBe('login')
  expect(choose(ALL, CLEAR, { ...asked, mechanism: 'PLAIN' })).toBe('PLAIN')
})

test('a password that is kept back is so for what is lacking: TLS, or a certificate that is verified', () => {
  for (const [offered, mechanism] of [
    [['PLAIN'], undefined],
    [ALL, 'PLAIN'],
  ] as const) {
    const login = { ...ALICE, mechanism }
    expect(() => chooseMechanism(offered, login, CLEAR)).toThrow(/as it is, .*: use --tls, or say/)
    expect(() => chooseMechanism(offered, login, INSECURE)).toThrow(
      /to whoever answers, because --tls-insecure .* --tls-ca FILE, or say --plain-in-the-clear$/,
    )
    // memcached -Y takes the password itself.
    expect(() => refusePasswordInTheClear(login, INSECURE)).toThrow(/--tls-ca FILE/)
  }
})

test('a mechanism that was named is the only one', () => {
  expect(choose(['SCRAM-SHA-1'], VERIFIED, { mechanism: 'SCRAM-SHA-256-PLUS' })).toBe('login')
  expect(choose(ALL, CLEAR, { mechanism: 'SCRAM-SHA-256-PLUS' })).toBe('login')
  expect(choose(ALL, VERIFIED, { mechanism: 'SCRAM-SHA-1' })).toBe('SCRAM-SHA-1')
})

/** Answers in order, whatever comes; notes what came. */
function carrierOf(...answers: readonly SaslAnswer[]) {
  const sent: string[] = []
  const take = async (bytes: Uint8Array): Promise<SaslAnswer> => {
    sent.push(Buffer.from(bytes).toString())
    return answers[sent.length - 1] ?? { kind: 'failure' }
  }
  return { sent, start: (_: string, bytes: Uint8Array) => take(bytes), step: take }
}

const success = (text: string): SaslAnswer => ({ kind: 'success', bytes: Buffer.from(text) })
const challenge = (text: string): SaslAnswer => ({ kind: 'challenge', bytes: Buffer.from(text) })

test.each(['', 'Authenticated', 'v=AAAA', 'r=x,s=AAAA,i=4096'])(
  'a server that lets in at once, saying %j, has proven nothing',
  async (text) => {
    const carrier = carrierOf(success(text))
    await expect(logIn(carrier, ['SCRAM-SHA-256'], ALICE, CLEAR)).rejects.toMatchObject({
      kind: expect.stringMatching(/^(identity|protocol)$/),
    })
  },
)

test('a server that lets in after the proof without its own has proven nothing', async () => {
  const carrier = carrierOf()
  carrier.step = async () => success('Authenticated')
  carrier.start = async (_, bytes) => {
    const nonce = /r=(.*)$/.exec(Buffer.from(bytes).toString())?.[1]
    return challenge(`r=${nonce}abc,s=QSXCR+Q6sek8bf92,i=4096`)
  }
  await expect(logIn(carrier, ['SCRAM-SHA-256'], ALICE, CLEAR)).rejects.toMatchObject({
    kind: 'identity',
  })
})

test('the flag says whether we could have bound: y where nobody offered it, n where it makes no sense', async () => {
  const flagOf = async (offered: readonly string[], pipe: LoginPipe, login = ALICE) => {
    const carrier = carrierOf()
    await logIn(carrier, offered, login, pipe).catch(() => undefined)
    return carrier.sent[0]?.slice(0, 15)
  }
  expect(await flagOf(['SCRAM-SHA-256'], VERIFIED)).toMatch(/^y,,n=alice,r=/)
  expect(await flagOf(['SCRAM-SHA-256'], CLEAR)).toMatch(/^n,,n=alice/)
  expect(await flagOf(ALL, VERIFIED)).toBe('p=tls-exporter,')
  expect(await flagOf(ALL, VERIFIED, { ...ALICE, mechanism: 'SCRAM-SHA-256' })).toMatch(/^n,,/)
})

test('PLAIN is sent once, and a wrong password is told in one sentence without it', async () => {
  const carrier = carrierOf({ kind: 'failure' })
  const failed = logIn(carrier, ['PLAIN'], ALICE, VERIFIED)
  await expect(failed).rejects.toMatchObject({ kind: 'login' })
  await expect(failed).rejects.toThrow(/^(?!.*wonderland)/)
  expect(carrier.sent).toEqual(['\0alice\0wonderland'])
})

test('EXTERNAL without a user says nothing, once more if it is asked', async () => {
  const carrier = carrierOf(challenge(''), success(''))
  await logIn(carrier, ALL, { ...ALICE, user: undefined, password: undefined }, VERIFIED)
  expect(carrier.sent).toEqual(['', ''])
})
