/** A SCRAM client that shares no code with ours logs in to our session. */
import { DIGESTS, SCRAM } from 'kafkajs/src/broker/saslAuthenticator/scram.js'
import { describe, expect, test } from 'vitest'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { SaslSession, type SaslStep } from '../../../src/sasl/session.ts'
import { pipeAt } from '../../support/pipe.ts'
import { fixture, snapshotOf } from './fixture.ts'

const USERS = {
  alice: 'secret',
  'comma,equals=both=2C': 'p=,\u00e4 \u{1F511}:',
  [`${'\u00fc'.repeat(511)}ab`]: '\u00f6'.repeat(512),
  rotating: ['old password', 'new password'],
} as const

const { environment } = fixture(snapshotOf(USERS))

/** Runs the client to its end; the last step of our side, and what the client says of it. */
async function login(
  mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-512',
  username: string,
  password: string,
): Promise<{ step: SaslStep | undefined; accepted: boolean }> {
  const session = new SaslSession(environment, pipeAt('192.0.2.1'))
  let step: SaslStep | undefined
  const client = new SCRAM(
    { username, password },
    'localhost',
    0,
    { debug: () => {}, error: () => {} },
    async ({ request, response }) => {
      // Its messages are framed with their length, as Kafka has them.
      const message = (await request.encode()).subarray(4)
      step = await (step === undefined ? session.start(mechanism, message) : session.step(message))
      if (step.kind !== 'challenge') throw new Error('refused')
      const length = Buffer.alloc(4)
      length.writeInt32BE(step.bytes.length)
      return response.parse(await response.decode(Buffer.concat([length, step.bytes])))
    },
    mechanism === 'SCRAM-SHA-256' ? DIGESTS.SHA256 : DIGESTS.SHA512,
  )
  const accepted = await client.authenticate().then(
    () => true,
    () => false,
  )
  if (accepted) step = await session.step(Buffer.alloc(0))
  return { step, accepted }
}

describe.each(['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)(
  'the client of kafkajs with %s',
  (mechanism) => {
    test.each([
      ['alice', 'secret'],
      ['comma,equals=both=2C', 'p=,\u00e4 \u{1F511}:'],
      [`${'\u00fc'.repeat(511)}ab`, '\u00f6'.repeat(512)],
      ['rotating', 'old password'],
      ['rotating', 'new password'],
    ])('logs %s in and checks our signature', async (user, password) => {
      const { step, accepted } = await login(mechanism, user, password)
      expect(accepted).toBe(true)
      expect(step).toEqual({ kind: 'success', principal: userPrincipal(user), mechanism })
    })

    test('is refused with a wrong password and as nobody', async () => {
      expect((await login(mechanism, 'alice', 'wrong')).step).toMatchObject({
        kind: 'failure',
        reason: 'wrong-password',
      })
      expect((await login(mechanism, 'nobody', 'secret')).step).toMatchObject({
        kind: 'failure',
        reason: 'unknown-user',
      })
    })
  },
)
