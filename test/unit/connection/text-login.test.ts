/** Logging in over text, over a pipe that is moved by hand: what is answered, and what it opens. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Channel } from '../../../src/base/channel.ts'
import type { LoginEvent } from '../../../src/connection/auth-gate.ts'
import { userPrincipal } from '../../../src/credential/principal.ts'
import type { SaslEnvironment } from '../../../src/sasl/environment.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'
import { fixture, plain, scramLogin, snapshotOf, textOf } from '../sasl/fixture.ts'

const snapshot = snapshotOf({ alice: 'secret', 'li ne': 'secret' })
const SASL_BYTES_MAX = 200

let server: ManualServer
let environment: SaslEnvironment
let events: LoginEvent[]
let peer: ManualConnection

beforeEach(() => {
  server = createManualServer({ saslBytesMax: SASL_BYTES_MAX })
  ;({ environment } = fixture(snapshot))
  events = []
  peer = open(environment)
})

function open(sasl?: SaslEnvironment, channel?: Channel): ManualConnection {
  return openManualConnection(server, server.text, {
    ...(sasl === undefined ? {} : { sasl }),
    ...(channel === undefined ? {} : { channel }),
    loginAttemptsMax: 3,
    onLogin: (event) => events.push(event),
  })
}

/** Sends bytes, in pieces if told so, and gives what was answered once nothing is at work any more. */
async function ask(text: string | Buffer, pieces: number = 1): Promise<string> {
  const bytes = Buffer.from(text)
  const { connection, transport, deferred } = peer
  const from = transport.output.length
  const size = Math.ceil(bytes.length / pieces)
  for (let offset = 0; offset < bytes.length; offset += size) {
    // The read buffer is somebody else's again afterwards.
    const read = Buffer.from(bytes.subarray(offset, offset + size))
    connection.receive(read, read.length)
    read.fill(0xee)
  }
  await settled()
  for (let turn = deferred.shift(); turn !== undefined; turn = deferred.shift()) {
    turn.continueServing()
  }
  transport.unsentBytes = 0
  return transport.output.subarray(from).toString('latin1')
}

/** A key is derived on other threads; the queue knows when it is. */
async function settled(): Promise<void> {
  do await new Promise((resolve) => setImmediate(resolve))
  while (environment.derivations.runningCount > 0 || peer.connection.stateName === 'conn_parse_cmd')
}

function login(user: string, password: string): string {
  const block = `${user} ${password}`
  return `set x 0 0 ${block.length}\r\n${block}\r\n`
}

describe('the set of a client that is not logged in', () => {
  test.each([1, 2, 7, 1000])('logs in, sent in %i pieces, and opens the gate', async (pieces) => {
    expect(await ask('get k\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
    expect(await ask(login('alice', 'secret'), pieces)).toBe('STORED\r\n')
    expect(peer.connection.gate.principal).toEqual(userPrincipal('alice'))
    expect(events).toMatchObject([
      { succeeded: true, mechanism: 'PLAIN', peer: { text: '192.0.2.1:5' } },
    ])
    expect(await ask('get k\r\n')).toBe('END\r\n')
    // The login was no value, and what looks like one now is.
    expect(await ask('get x\r\n')).toBe('END\r\n')
    expect(await ask(login('alice', 'secret'))).toBe('STORED\r\n')
    expect(await ask('get x\r\n')).toBe('VALUE x 0 12\r\nalice secret\r\nEND\r\n')
  })

  test('answers requests behind it in order, and not before it', async () => {
    expect(await ask(`${login('alice', 'secret')}get k\r\nmn\r\n`)).toBe('STORED\r\nEND\r\nMN\r\n')
  })

  test('is refused alike for a wrong password and a user that there is not', async () => {
    expect(await ask(login('alice', 'wrong'))).toBe('CLIENT_ERROR authentication failure\r\n')
    expect(await ask(login('nobody', 'wrong'))).toBe('CLIENT_ERROR authentication failure\r\n')
    expect(events.map((event) => !event.succeeded && event.reason)).toEqual([
      'wrong-password',
      'unknown-user',
    ])
    expect(peer.transport.isOpen).toBe(true)
    expect(await ask(login('alice', 'wrong'))).toBe('CLIENT_ERROR authentication failure\r\n')
    expect(peer.transport.isOpen).toBe(false)
  })

  test.each([
    ['without a blank', 'set x 0 0 5\r\nalice\r\n', 'bad authentication token format'],
    ['with a wrong end', 'set x 0 0 12\r\nalice secretXX', 'bad command line termination'],
    ['too long', `set x 0 0 ${SASL_BYTES_MAX + 1}\r\n`, 'authentication token too long'],
  ])('%s is no login', async (_, text, problem) => {
    const answer = await ask(text)
    expect(answer).toMatch(/^CLIENT_ERROR .+\r\n$/)
    if (!problem.includes('too long')) expect(answer).toContain(problem)
    expect(peer.connection.gate.isOpen).toBe(false)
    expect(events).toEqual([])
  })

  test('does not work where PLAIN is not announced', async () => {
    peer = open(fixture(snapshot, { mechanisms: ['SCRAM-SHA-256'] }).environment)
    expect(await ask(login('alice', 'secret'))).toBe('CLIENT_ERROR authentication failure\r\n')
    expect(events).toMatchObject([{ reason: 'unknown-mechanism', mechanism: 'PLAIN' }])
  })

  test('is told why where others could read the password, and SCRAM is taken', async () => {
    peer = open(environment, { kind: 'tcp', listenerIndex: 0, refusesPasswords: true })
    expect(await ask(login('alice', 'secret'))).toBe(
      'CLIENT_ERROR passwords are not taken in the clear here: use TLS\r\n',
    )
    expect(peer.connection.gate.isOpen).toBe(false)
    expect(events).toMatchObject([{ reason: 'needs-tls', mechanism: 'PLAIN' }])
    const listed = await ask('sasl mech\r\n')
    expect(listed).toContain('SCRAM-SHA-256')
    expect(listed).not.toContain('PLAIN')
  })
})

describe('sasl', () => {
  test('lists the mechanisms, and says where nobody need log in', async () => {
    expect(await ask('sasl mech\r\n')).toBe(
      'SASL_MECH SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN\r\n',
    )
    peer = open()
    expect(await ask('sasl mech\r\n')).toBe('NOT_SUPPORTED\r\n')
    expect(await ask('sasl auth PLAIN 0\r\n\r\n')).toBe('NOT_SUPPORTED\r\n')
  })

  test('auth takes PLAIN at once, or after an empty challenge', async () => {
    const message = plain('alice', 'secret')
    const step = Buffer.concat([Buffer.from(`${message.length}\r\n`), message, Buffer.from('\r\n')])
    const auth = (words: string): Buffer => Buffer.concat([Buffer.from(words), step])
    expect(await ask(auth('sasl auth PLAIN '))).toBe('SASL_OK\r\n')
    expect(peer.connection.gate.isOpen).toBe(true)
    peer = open(environment)
    expect(await ask('sasl auth PLAIN 0\r\n\r\n')).toBe('SASL_CONTINUE 0\r\n\r\n')
    expect(await ask(auth('sasl auth '))).toBe('SASL_OK\r\n')
  })

  test.each(['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])(
    'auth takes %s',
    async (mechanism) => {
      const exchange = async (words: string, message: Uint8Array) => {
        const head = Buffer.from(`sasl auth ${words}${message.length}\r\n`)
        const answer = await ask(Buffer.concat([head, message, Buffer.from('\r\n')]), 3)
        const challenge = /^SASL_CONTINUE \d+\r\n(.*)\r\n$/s.exec(answer)?.[1]
        if (challenge !== undefined) {
          return { kind: 'challenge', bytes: Buffer.from(challenge, 'latin1') } as const
        }
        expect(answer).toBe('SASL_OK\r\n')
        return { kind: 'success', principal: userPrincipal('alice'), mechanism } as const
      }
      const last = await scramLogin(
        {
          start: (name, message) => exchange(`${name} `, message ?? Buffer.alloc(0)),
          step: (message) => exchange('', message),
        },
        { mechanism, user: 'alice', password: 'secret' },
      )
      expect(last.kind).toBe('success')
      expect(() => textOf(last)).toThrow()
      expect(events).toMatchObject([{ succeeded: true, mechanism }])
    },
  )

  test('auth without a login under way fails as out of sequence', async () => {
    expect(await ask('sasl auth 1\r\nx\r\n')).toBe('AUTH_ERROR\r\n')
    expect(events).toMatchObject([{ reason: 'out-of-sequence' }])
  })
})
