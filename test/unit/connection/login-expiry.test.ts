/** A login that is good until some moment, by a clock that is moved by hand: what it ends, and when. */
import { describe, expect, test } from 'vitest'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { COUNTER } from '../../../src/observe/counters.ts'
import { OUTCOME_OK } from '../../../src/protocol/request.ts'
import { LateStore } from '../../support/late-store.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const EXPIRES_AT = 1000
const TICK_MS = 100

function logIn({ connection }: ManualConnection, expiresAt: number): void {
  connection.gate.become(userPrincipal('alice', undefined, 'token', expiresAt))
  connection.loginChanged()
}

function send({ connection }: ManualConnection, text: string): void {
  const bytes = Buffer.from(text, 'latin1')
  connection.receive(bytes, bytes.length)
}

function tickAt(peer: ManualConnection, epochSeconds: number): void {
  peer.context.nowMs += TICK_MS
  peer.context.epochSeconds = epochSeconds
  peer.connection.checkDeadlines()
}

const output = ({ transport }: ManualConnection): string => transport.output.toString('latin1')

async function settle(peer: ManualConnection): Promise<void> {
  for (let round = 0; round < 10; round++) {
    await Promise.resolve()
    for (const connection of peer.deferred.splice(0)) connection.continueServing()
  }
}

describe('a connection whose login expires', () => {
  const server = createManualServer()
  const { environment } = fixture(snapshotOf({ alice: 'secret' }), {
    derive: async (_, { hash }) => Buffer.alloc(hash.digestBytes),
  })
  const open = (dialect: 'text' | 'binary' = 'text'): ManualConnection =>
    openManualConnection(server, server[dialect], {
      sasl: environment,
      limits: { loginTimeoutMs: 60_000, sendBufferBytesMax: 100 },
    })

  test('is served until then, and ends at the first tick after', () => {
    const kicks = server.lane[COUNTER.login_expired_kicks]!
    const peer = open()
    const expired: unknown[] = []
    peer.context.onExpired = (connection) => expired.push(connection)
    logIn(peer, EXPIRES_AT)
    tickAt(peer, EXPIRES_AT - 1)
    send(peer, 'mn\r\n')
    expect(output(peer)).toBe('MN\r\n')
    expect(peer.transport.isOpen).toBe(true)
    tickAt(peer, EXPIRES_AT)
    expect(peer.transport.isOpen).toBe(false)
    send(peer, 'mn\r\n')
    tickAt(peer, EXPIRES_AT + 1)
    expect(output(peer)).toBe('MN\r\n')
    expect(expired).toEqual([peer.connection])
    expect(server.lane[COUNTER.login_expired_kicks]).toBe(kicks + 1)
  })

  test('stays when it logs in anew before then, and ends when that expires', () => {
    const peer = open()
    logIn(peer, EXPIRES_AT)
    tickAt(peer, EXPIRES_AT - 1)
    logIn(peer, EXPIRES_AT + 10)
    tickAt(peer, EXPIRES_AT + 9)
    expect(peer.transport.isOpen).toBe(true)
    tickAt(peer, EXPIRES_AT + 10)
    expect(peer.transport.isOpen).toBe(false)
  })

  test('stays for good where the login is good for ever', () => {
    const peer = open()
    logIn(peer, Number.POSITIVE_INFINITY)
    tickAt(peer, Number.MAX_SAFE_INTEGER)
    expect(peer.transport.isOpen).toBe(true)
  })

  test('ends in the middle of a request that has not wholly arrived', () => {
    const peer = open()
    logIn(peer, EXPIRES_AT)
    send(peer, 'set k 0 0 100\r\nhalf')
    tickAt(peer, EXPIRES_AT)
    expect(peer.transport.isOpen).toBe(false)
    send(peer, `${'x'.repeat(96)}\r\n`)
    expect(output(peer)).toBe('')
  })

  test('ends while it watches', () => {
    const peer = open()
    logIn(peer, EXPIRES_AT)
    peer.connection.watch()
    tickAt(peer, EXPIRES_AT - 1)
    expect(peer.connection.stateName).toBe('conn_watch')
    tickAt(peer, EXPIRES_AT)
    expect(peer.connection.stateName).toBe('conn_closing')
  })

  test('ends while its replies are not taken', () => {
    const peer = open()
    logIn(peer, EXPIRES_AT)
    send(peer, 'mn\r\n'.repeat(100))
    expect(peer.connection.stateName).toBe('conn_mwrite')
    tickAt(peer, EXPIRES_AT)
    expect(peer.transport.isOpen).toBe(false)
  })

  test('without a login keeps to the login deadline alone', () => {
    const peer = open()
    logIn(peer, EXPIRES_AT)
    send(peer, 'sasl auth LOGIN 1\r\nx\r\n')
    expect(output(peer)).toBe('AUTH_ERROR\r\n')
    expect(peer.connection.gate.isOpen).toBe(false)
    tickAt(peer, EXPIRES_AT)
    expect(peer.transport.isOpen).toBe(true)
  })

  test('is answered what it asked for before, and no more', async () => {
    const store = new LateStore()
    const late = createManualServer({ behindFace: store })
    const peer = late.open('text')
    logIn(peer, EXPIRES_AT)
    send(peer, 'set k 0 0 1\r\nx\r\nset l 0 0 1\r\ny\r\n')
    tickAt(peer, EXPIRES_AT)
    tickAt(peer, EXPIRES_AT + 1)
    expect([peer.transport.isOpen, store.requests.length]).toEqual([true, 1])
    store.requests[0]?.answer(OUTCOME_OK)
    await Promise.resolve()
    await settle(peer)
    expect(output(peer)).toBe('STORED\r\n')
    store.requests[1]?.answer(OUTCOME_OK)
    await settle(peer)
    tickAt(peer, EXPIRES_AT + 2)
    expect(peer.transport.isOpen).toBe(false)
  })

  test('is not kept by a request that never ends', () => {
    const store = new LateStore()
    const peer = createManualServer({ behindFace: store }).open('text')
    logIn(peer, EXPIRES_AT)
    send(peer, 'set k 0 0 1\r\nx\r\n')
    for (let count = 0; count < 50; count++) tickAt(peer, EXPIRES_AT)
    expect(peer.transport.isOpen).toBe(true)
    tickAt(peer, EXPIRES_AT)
    expect(peer.transport.isOpen).toBe(false)
  })
})
