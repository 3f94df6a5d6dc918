/** A worker that takes tokens: how it asks the main thread for keys, and what expires in it. */
import { beforeAll, expect, test } from 'vitest'
import type { Channel } from '../../../../src/base/channel.ts'
import { Peer } from '../../../../src/base/peer.ts'
import { loadTables } from '../../../../src/credential/prepare.ts'
import { loadTokenTools } from '../../../../src/credential/token-verifier.ts'
import { ManualTransport } from '../../../support/manual-connection.ts'
import { ManualNewcomer } from '../../../support/manual-newcomer.ts'
import { ManualWorker } from '../../../support/manual-worker.ts'
import {
  bearer,
  claimsOf,
  NOW_SECONDS,
  signingKey,
  tokenOf,
} from '../../../support/token-issuer.ts'
import { keySetOf, TOKEN_POLICY } from '../../../support/token-logins.ts'
import { snapshotOf } from '../../sasl/fixture.ts'

const one = signingKey('ES256', 'one')
const two = signingKey('ES256', 'two')

const CHANNEL: Channel = {
  kind: 'tls',
  listenerIndex: 0,
  tls: {
    version: 'TLSv1.3',
    certificate: undefined,
    localCertificate: undefined,
    exporter: () => undefined,
  },
}

class TlsNewcomer extends ManualNewcomer {
  override readonly channel: Channel = CHANNEL
  override readonly transport: ManualTransport = new ManualTransport(
    Peer.at('192.0.2.1', 40_000),
    CHANNEL,
  )
}

async function startWorker(): Promise<ManualWorker> {
  const worker = new ManualWorker({
    auth: {
      credentials: snapshotOf({ alice: 'secret' }),
      codePoints: loadTables(),
      mechanisms: ['OAUTHBEARER'],
      loginMemoryKey: new Uint8Array(32),
      keyDerivationsMax: 1,
      derivationQueueMax: 10,
      throttle: undefined,
      tokens: { policy: TOKEN_POLICY, keys: keySetOf(one), asksForKeys: true },
    },
  })
  await worker.start()
  worker.takePosted()
  return worker
}

function connect(worker: ManualWorker): TlsNewcomer {
  const newcomer = new TlsNewcomer('192.0.2.1')
  worker.source.options.onAccept(newcomer)
  return newcomer
}

function sendLogin({ transport }: TlsNewcomer, token: string): Promise<void> {
  const answered = transport.nextWrite()
  const message = bearer(token)
  const line = Buffer.from(`sasl auth OAUTHBEARER ${message.length}\r\n`)
  transport.deliver(Buffer.concat([line, message, Buffer.from('\r\n')]))
  return answered
}

/** Gives the worker turns until it is so: tokens are looked at elsewhere, and logins wait for a turn of their own. */
async function turnsUntil({ clock }: ManualWorker, isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    clock.turn()
    await new Promise(setImmediate)
  }
}

async function logIn(worker: ManualWorker, client: TlsNewcomer, token: string): Promise<void> {
  let isAnswered = false
  void sendLogin(client, token).then(() => {
    isAnswered = true
  })
  await turnsUntil(worker, () => isAnswered)
}

beforeAll(loadTokenTools)

test('a key that is not known is asked for, and the login goes on when it has come', async () => {
  const worker = await startWorker()
  const client = connect(worker)
  const posted: unknown[] = []
  const answered = logIn(worker, client, tokenOf(two))
  await turnsUntil(worker, () => posted.push(...worker.takePosted()) > 0)
  expect(posted).toEqual([{ kind: 'token-keys-wanted' }])
  worker.receive({ kind: 'token-keys', keys: keySetOf(one, two) })
  await answered
  expect(client.transport.output.toString()).toBe('SASL_OK\r\n')
  expect(worker.takePosted()).toEqual([])
})

test('clients of one token end together when it expires, and the log has one line of it', async () => {
  const worker = await startWorker()
  // The server's clock, not that of the machine, says what time it is.
  const exp = NOW_SECONDS + 10
  const clients = [connect(worker), connect(worker), connect(worker)]
  for (const client of clients) {
    await logIn(worker, client, tokenOf(one, claimsOf({ exp })))
    client.transport.unsentBytes = 0
  }
  worker.clock.pass(69_900)
  expect(clients.map(({ transport }) => transport.isOpen)).toEqual([true, true, true])
  worker.clock.pass(200)
  expect(clients.map(({ transport }) => transport.isOpen)).toEqual([false, false, false])
  const lines = worker.logged.filter(({ event }) => event === 'logins_expired')
  expect(lines).toMatchObject([{ level: 'info', fields: { connections: 3 } }])
})
