/**
 * libsasl2, which logs the libmemcached family in, against our sessions: which of a list it takes when it
 * has something to bind to or is known by a certificate, and whether that ends in a login.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pipe } from '../../../../src/base/pipe.ts'
import { SaslSession } from '../../../../src/sasl/session.ts'
import {
  LIBSASL2,
  Libsasl2,
  type Libsasl2Login,
  type Libsasl2Result,
} from '../../../support/libsasl2.ts'
import { certificateNaming, EXPORTED, pipeAt, tlsPipeAt } from '../../../support/pipe.ts'
import { hasPrerequisites } from '../../../support/program.ts'
import { fixture, snapshotOf } from '../../../unit/sasl/fixture.ts'

const ALICE = { user: 'alice', password: 'secret' }
const BOUND = { type: 'tls-exporter', data: EXPORTED }
const snapshot = snapshotOf({ alice: 'secret', bob: 'secret' })
const certificate = certificateNaming({ commonNames: ['alice'] })

const clear = pipeAt('192.0.2.1')
const newest = tlsPipeAt('192.0.2.1')
const known = tlsPipeAt('192.0.2.1', { certificate })

const EMPTY_CHALLENGE = { kind: 'challenge', bytes: new Uint8Array(0) } as const
const libsasl2 = new Libsasl2()
afterAll(() => libsasl2.remove())

interface Outcome extends Libsasl2Result {
  /** Why the session refused it; undefined if it did not. */
  readonly reason: string | undefined
}

async function login(
  pipe: Pipe,
  what: Partial<Libsasl2Login> = ALICE,
  mechanisms: readonly string[] = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'],
): Promise<Outcome> {
  const { environment } = fixture(snapshot, { mechanisms, certificateField: 'cn' })
  const session = new SaslSession(environment, pipe)
  const list = environment.announced(pipe.channel)
  const result = await libsasl2.login({ mechanisms: list, ...what }, session)
  const reasons = Object.entries(environment.counters.failures).filter(([, count]) => count > 0)
  return { ...result, reason: reasons[0]?.[0] }
}

if (hasPrerequisites('libsasl2', [LIBSASL2])) {
  beforeAll(async () => await libsasl2.build())

  describe('libsasl2 with something to bind to', () => {
    test.each([
      [['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'], 'SCRAM-SHA-512'],
      [['PLAIN', 'SCRAM-SHA-256'], 'SCRAM-SHA-256'],
      [['SCRAM-SHA-1'], 'SCRAM-SHA-1'],
    ])('binds under the bare name where %j is configured', async (mechanisms, mechanism) => {
      const outcome = await login(newest, { ...ALICE, binding: BOUND }, mechanisms)
      expect(outcome).toMatchObject({ outcome: 'success', mechanism })
      expect(outcome.initialResponse).toMatch(/^p=tls-exporter,,n=alice,r=/)
    })

    test('is refused when it bound to another connection, and when its password is wrong', async () => {
      const other = { type: 'tls-exporter', data: Buffer.from(EXPORTED).reverse() }
      expect(await login(newest, { ...ALICE, binding: other })).toMatchObject({
        outcome: 'failure',
        reason: 'channel-binding',
      })
      const wrong = { user: 'alice', password: 'wrong', binding: BOUND }
      expect(await login(newest, wrong)).toMatchObject({
        outcome: 'failure',
        reason: 'wrong-password',
      })
    })

    test('is refused when somebody in between took -PLUS out of the list', async () => {
      const stripped = { ...ALICE, binding: BOUND, mechanisms: 'SCRAM-SHA-256 PLAIN' }
      const outcome = await login(newest, stripped)
      expect(outcome.initialResponse).toMatch(/^y,,/)
      expect(outcome).toMatchObject({ outcome: 'failure', reason: 'downgrade' })
    })

    test('logs in by SCRAM in the clear, where nothing is bound', async () => {
      const outcome = await login(clear, { ...ALICE, binding: BOUND })
      expect(outcome.initialResponse).toMatch(/^y,,/)
      expect(outcome).toMatchObject({ outcome: 'success', mechanism: 'SCRAM-SHA-512' })
    })
  })

  test('without anything to bind to it logs in by SCRAM wherever -PLUS is announced', async () => {
    const outcome = await login(newest)
    expect(outcome.initialResponse).toMatch(/^n,,/)
    expect(outcome).toMatchObject({ outcome: 'success', mechanism: 'SCRAM-SHA-512' })
  })

  describe('libsasl2 that is known by its certificate', () => {
    const external = { external: 'alice' }

    test('logs in by EXTERNAL, with an empty message or with its name', async () => {
      for (const authzid of ['', 'alice']) {
        const outcome = await login(known, { ...external, authzid }, ['EXTERNAL'])
        expect(outcome).toMatchObject({ outcome: 'success', mechanism: 'EXTERNAL' })
        expect(outcome.initialResponse).toBe(authzid)
      }
    })

    test('is refused as somebody else, and where the certificate names nobody', async () => {
      const asBob = { ...external, authzid: 'bob' }
      expect(await login(known, asBob, ['EXTERNAL'])).toMatchObject({ reason: 'bad-authzid' })
      const forced = { ...external, mechanisms: 'EXTERNAL' }
      expect(await login(newest, forced, ['EXTERNAL'])).toMatchObject({ reason: 'no-certificate' })
    })

    test('is done after its empty message, and takes no challenge for it', async () => {
      // So an empty initial response is taken for one, not for none (sasl/session.ts).
      const challenging = { start: () => EMPTY_CHALLENGE, step: () => EMPTY_CHALLENGE }
      const result = await libsasl2.login({ mechanisms: 'EXTERNAL', ...external }, challenging)
      expect(result).toMatchObject({ outcome: 'broken', initialResponse: '' })
    })

    test('takes a SCRAM before EXTERNAL', async () => {
      const mechanisms = ['EXTERNAL', 'SCRAM-SHA-256', 'PLAIN']
      expect(await login(known, { ...ALICE, ...external }, mechanisms)).toMatchObject({
        outcome: 'success',
        mechanism: 'SCRAM-SHA-256',
      })
    })
  })

  test('without a certificate of its own it still finds a mechanism in every list', async () => {
    for (const mechanisms of [
      ['EXTERNAL', 'SCRAM-SHA-256', 'PLAIN'],
      ['EXTERNAL', 'PLAIN'],
    ]) {
      expect(await login(known, ALICE, mechanisms)).toMatchObject({ outcome: 'success' })
    }
    // What the table of mechanisms keeps from it.
    const beside = { ...ALICE, mechanisms: 'EXTERNAL PLAIN' }
    expect(await login(known, beside)).toMatchObject({ outcome: 'refused' })
  })
}
