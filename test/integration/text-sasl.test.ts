/**
 * SASL over text, as bytes on a socket: every mechanism, by the SCRAM client of our own tests, and
 * what happens to those who get it wrong. One gate with the binary dialect: the same limits and the
 * same audit.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { userPrincipal } from '../../src/credential/principal.ts'
import type { SaslStep } from '../../src/sasl/session.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { type Conversation, scramLogin } from '../unit/sasl/fixture.ts'

const ALICE = { name: 'alice', password: 's3cret' }
const SCRAM = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']

/** Carries the messages of a login over `sasl auth`. */
class TextConversation implements Conversation {
  readonly client: TextClient
  /** The lengths of the pieces that requests are sent in; the whole at once without it. */
  private readonly pieceBytes: number

  constructor(client: TextClient, pieceBytes: number = Number.POSITIVE_INFINITY) {
    this.client = client
    this.pieceBytes = pieceBytes
  }

  start(mechanism: string, response: Uint8Array | undefined): Promise<SaslStep> {
    return this.exchange(`sasl auth ${mechanism} `, response ?? Buffer.alloc(0))
  }

  step(response: Uint8Array): Promise<SaslStep> {
    return this.exchange('sasl auth ', response)
  }

  private async exchange(line: string, message: Uint8Array): Promise<SaslStep> {
    const text = Buffer.from(message).toString('latin1')
    const request = `${line}${message.length}\r\n${text}\r\n`
    for (let sent = 0; sent < request.length; sent += this.pieceBytes) {
      this.client.send(request.slice(sent, sent + this.pieceBytes))
      if (this.pieceBytes < request.length) await new Promise((resolve) => setImmediate(resolve))
    }
    const answer = await this.client.until('\r\n')
    const length = /^SASL_CONTINUE (\d+)\r\n$/.exec(answer)?.[1]
    if (length !== undefined) {
      const challenge = (await this.client.until('\r\n')).slice(0, -2)
      expect(challenge).toHaveLength(Number(length))
      return { kind: 'challenge', bytes: Buffer.from(challenge, 'latin1') }
    }
    if (answer === 'SASL_OK\r\n') {
      return { kind: 'success', principal: userPrincipal('?'), mechanism: '?' }
    }
    expect(answer).toBe('AUTH_ERROR\r\n')
    return {
      kind: 'failure',
      reason: 'wrong-password',
      user: '?',
      unknownUser: '',
      mechanism: '?',
    } as SaslStep
  }
}

describe('sasl over text', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({
      flags: ['-t', '1'],
      users: [ALICE],
      mechanisms: [...SCRAM, 'PLAIN'],
    })
  })
  afterAll(async () => {
    await server.stop()
  })

  async function login(
    client: TextClient,
    mechanism: string,
    user: string,
    password: string,
    pieceBytes?: number,
  ): Promise<string> {
    const conversation = new TextConversation(client, pieceBytes)
    return (await scramLogin(conversation, { mechanism, user, password })).kind
  }

  async function isOpen(client: TextClient): Promise<boolean> {
    const answer = await client.ask('get nothing\r\n')
    if (answer === 'END\r\n') return true
    expect(answer).toBe('CLIENT_ERROR unauthenticated\r\n')
    return false
  }

  async function authErrors(): Promise<number> {
    const client = new TextClient(server)
    await client.ask('set auth 0 0 12\r\nalice s3cret\r\n')
    const text = await client.ask('stats auth\r\n', 'END\r\n')
    return Number(/STAT auth_errors (\d+)/.exec(text)?.[1])
  }

  test('the mechanisms are announced in their order', async () => {
    const client = new TextClient(server)
    expect(await client.ask('sasl mech\r\n')).toBe(`SASL_MECH ${SCRAM.join(' ')} PLAIN\r\n`)
  })

  test.each(SCRAM)('%s logs in, and the server proves itself', async (mechanism) => {
    const client = new TextClient(server)
    expect(await login(client, mechanism, 'alice', 's3cret')).toBe('success')
    expect(await isOpen(client)).toBe(true)
  })

  test.each(SCRAM)('%s with a wrong password or an unknown user fails alike', async (mechanism) => {
    const errors = await authErrors()
    const client = new TextClient(server)
    expect(await login(client, mechanism, 'alice', 'wrong')).toBe('failure')
    expect(await isOpen(client)).toBe(false)
    expect(await login(client, mechanism, 'nobody', 's3cret')).toBe('failure')
    expect(await isOpen(client)).toBe(false)
    expect(await login(client, mechanism, 'alice', 's3cret')).toBe('success')
    expect(await isOpen(client)).toBe(true)
    expect(await authErrors()).toBe(errors + 2)
  })

  test('a login sent byte by byte logs in', async () => {
    const client = new TextClient(server)
    expect(await login(client, 'SCRAM-SHA-256', 'alice', 's3cret', 1)).toBe('success')
    expect(await isOpen(client)).toBe(true)
  })

  test.each([
    ['garbage for a first message', 'sasl auth SCRAM-SHA-256 4\r\n\x00\xff=,\r\n'],
    ['an unknown mechanism', 'sasl auth SCRAM-MD5 3\r\nabc\r\n'],
    ['a step of nothing', 'sasl auth 0\r\n\r\n'],
  ])('%s is an error, counted, and no more', async (_, request) => {
    const errors = await authErrors()
    const client = new TextClient(server)
    expect(await client.ask(request)).toBe('AUTH_ERROR\r\n')
    expect(await login(client, 'SCRAM-SHA-1', 'alice', 's3cret')).toBe('success')
    expect(await authErrors()).toBe(errors + 1)
  })

  test('garbage for a proof ends the exchange, and the next begins anew', async () => {
    const client = new TextClient(server)
    const conversation = new TextConversation(client)
    const spoiled = await scramLogin(conversation, {
      mechanism: 'SCRAM-SHA-256',
      user: 'alice',
      password: 's3cret',
      spoil: () => '\x00\x01 not a proof',
    })
    expect(spoiled.kind).toBe('failure')
    expect(await client.ask('sasl auth 2\r\nv=\r\n')).toBe('AUTH_ERROR\r\n')
    expect(await login(client, 'SCRAM-SHA-256', 'alice', 's3cret')).toBe('success')
  })

  test('a message that is too long is refused without being waited for', async () => {
    const client = new TextClient(server)
    expect(await client.ask('sasl auth PLAIN 70000\r\n')).toBe(
      'CLIENT_ERROR auth token too long\r\n',
    )
    client.send(`${'x'.repeat(70_000)}\r\n`)
    expect(await login(client, 'SCRAM-SHA-256', 'alice', 's3cret')).toBe('success')
  })

  test('noreply is no part of it, and a wrong line leaves the stream in step', async () => {
    const client = new TextClient(server)
    for (const line of [
      'sasl auth PLAIN 3 noreply',
      'sasl auth PLAIN -1',
      'sasl auth PLAIN 99999999999',
      'sasl mech noreply',
      'sasl auth',
    ]) {
      expect(await client.ask(`${line}\r\n`), line).toBe('CLIENT_ERROR bad command line format\r\n')
    }
    expect(await login(client, 'SCRAM-SHA-256', 'alice', 's3cret')).toBe('success')
  })

  test('a message without its line end is refused', async () => {
    const client = new TextClient(server)
    expect(await client.ask('sasl auth PLAIN 3\r\nabcde\r\n')).toBe(
      'CLIENT_ERROR bad data chunk\r\n',
    )
  })

  test('the fifth failure is the last, whatever the mechanisms', async () => {
    const client = new TextClient(server)
    for (const mechanism of [...SCRAM, ...SCRAM].slice(0, 5)) {
      expect(await login(client, mechanism, 'alice', 'wrong')).toBe('failure')
    }
    expect(await client.untilEnd()).toBe('')
  })
})
