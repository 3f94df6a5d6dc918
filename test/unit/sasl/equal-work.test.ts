/**
 * What a login costs in hash operations, counted exactly: a wrong password of a user with one
 * password, of one with two, and an unknown user must cost the same, or the time tells who exists.
 */
import { beforeEach, expect, test, vi } from 'vitest'
import { Peer } from '../../../src/base/peer.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { LoginLog } from '../../../src/server/worker/login-log.ts'
import { EXPORTED, pipeAt, tlsPipeAt } from '../../support/pipe.ts'
import { ALL_MECHANISMS, fixture, plain, scramLogin, snapshotOf } from './fixture.ts'

/** Every hash operation that was begun, in order: its kind and algorithm. */
const operations = vi.hoisted((): string[] => [])

vi.mock('node:crypto', async (importOriginal) => {
  const crypto = await importOriginal<typeof import('node:crypto')>()
  return {
    ...crypto,
    createHash: (...args: Parameters<typeof crypto.createHash>) => {
      operations.push(`hash ${args[0]}`)
      return crypto.createHash(...args)
    },
    createHmac: (...args: Parameters<typeof crypto.createHmac>) => {
      operations.push(`hmac ${args[0]}`)
      return crypto.createHmac(...args)
    },
    timingSafeEqual: (...args: Parameters<typeof crypto.timingSafeEqual>) => {
      operations.push('compare')
      return crypto.timingSafeEqual(...args)
    },
  }
})

// Names of one length, so that nothing but who they are differs.
const ONE = 'alice'
const TWO = 'rotat'
const NONE = 'ghost'
const users = { [ONE]: 'secret', [TWO]: ['one', 'two'], third: 'secret' } as const
const LONG = 'x'.repeat(1000)
// Who logs in by a certificate, say, and has no password.
const BARE = 'tokyo'
const withPasswords = snapshotOf({
  ...users,
  [`${LONG}1`]: 'secret',
  [`${LONG}2`]: ['one', 'two'],
})
const snapshot = {
  ...withPasswords,
  users: [...withPasswords.users, { name: BARE, verifiers: [] }],
}

let session = new SaslSession(fixture(snapshot).environment, pipeAt(''))

beforeEach(() => {
  // The derivation is another's business (plain.test.ts), and would only make this slow.
  const derive = async (): Promise<Uint8Array> => Buffer.alloc(32)
  session = new SaslSession(fixture(snapshot, { derive }).environment, pipeAt(''))
})

async function costOf(work: () => unknown): Promise<readonly string[]> {
  operations.length = 0
  await work()
  return operations.splice(0)
}

async function plainCost(user: string): Promise<readonly string[]> {
  return await costOf(async () => {
    expect(await session.start('PLAIN', plain(user, 'wrong'))).toMatchObject({ kind: 'failure' })
  })
}

/** What is wrong besides the proof, if anything: the binding of a -PLUS login. */
interface Binding {
  readonly gs2Header: string
  readonly data: Uint8Array
}

const UNBOUND: Binding = { gs2Header: 'n,,', data: Buffer.alloc(0) }

/** Of the three steps: the challenge, the refusal of the proof, and one that breaks off. */
function scramCosts(
  mechanism: string,
  user: string,
  { gs2Header, data }: Binding = UNBOUND,
): readonly (readonly string[])[] {
  const costs: (readonly string[])[] = []
  const measure = (work: () => unknown): void => {
    operations.length = 0
    work()
    costs.push(operations.splice(0))
  }
  const first = Buffer.from(`${gs2Header}n=${user},r=abc`)
  const c = Buffer.concat([Buffer.from(gs2Header), data]).toString('base64')
  let nonce = ''
  measure(() => {
    const step = session.start(mechanism, first)
    if (step instanceof Promise || step.kind !== 'challenge') throw new Error('no challenge')
    nonce = /^r=([^,]+)/.exec(Buffer.from(step.bytes).toString())?.[1] ?? ''
  })
  const hash = mechanism.replace(/-PLUS$/, '')
  const proofBytes = { 'SCRAM-SHA-1': 20, 'SCRAM-SHA-256': 32, 'SCRAM-SHA-512': 64 }[hash]
  const proof = Buffer.alloc(proofBytes ?? 0, 1).toString('base64')
  measure(() => {
    const step = session.step(Buffer.from(`c=${c},r=${nonce},p=${proof}`))
    const isBoundWrong = gs2Header !== 'n,,' && !EXPORTED.every((byte, at) => byte === data[at])
    const reason = { [NONE]: 'unknown-user', [`${LONG}3`]: 'unknown-user', [BARE]: 'no-password' }
    expect(step).toMatchObject({
      reason: isBoundWrong ? 'channel-binding' : (reason[user] ?? 'wrong-password'),
    })
  })
  session.start(mechanism, first)
  measure(() => session.abandon())
  return costs
}

test('a refused PLAIN login takes the same operations, whoever it names', async () => {
  const cost = await plainCost(ONE)
  expect(cost.filter((operation) => operation.startsWith('hmac')).length).toBeGreaterThan(5)
  expect(await plainCost(TWO)).toEqual(cost)
  expect(await plainCost(NONE)).toEqual(cost)
  expect(await plainCost(BARE)).toEqual(cost)
})

test('so it does where some have logged in, and where names are long', async () => {
  const { environment } = fixture(snapshot)
  session = new SaslSession(environment, pipeAt(''))
  for (const [user, password] of Object.entries({
    [ONE]: 'secret',
    [TWO]: 'one',
    third: 'secret',
  })) {
    expect(await session.start('PLAIN', plain(user, password))).toMatchObject({ kind: 'success' })
  }
  const cost = await plainCost(ONE)
  expect(await plainCost(TWO)).toEqual(cost)
  expect(await plainCost(NONE)).toEqual(cost)
  const long = await plainCost(`${LONG}1`)
  expect(await plainCost(`${LONG}2`)).toEqual(long)
  expect(await plainCost(`${LONG}3`)).toEqual(long)
  // A long name is hashed once more, and not once for every decoy.
  expect(long.length).toBe(cost.length + 1)
})

test('a remembered PLAIN login takes the same, with one password and with two', async () => {
  const { environment } = fixture(snapshot)
  session = new SaslSession(environment, pipeAt(''))
  const logins = [plain(ONE, 'secret'), plain(TWO, 'one'), plain(TWO, 'two')]
  for (const login of logins) await session.start('PLAIN', login)
  const costs: (readonly string[])[] = []
  for (const login of logins) {
    costs.push(
      await costOf(() => {
        expect(session.start('PLAIN', login)).toMatchObject({ kind: 'success' })
      }),
    )
  }
  expect(costs[1]).toEqual(costs[0])
  expect(costs[2]).toEqual(costs[0])
})

test.each(ALL_MECHANISMS.filter((name) => name !== 'PLAIN'))(
  'each step of %s takes the same operations, whoever it names',
  (mechanism) => {
    const costs = scramCosts(mechanism, ONE)
    expect(costs.map((cost) => cost.length > 0)).toEqual([true, true, true])
    expect(scramCosts(mechanism, TWO)).toEqual(costs)
    expect(scramCosts(mechanism, NONE)).toEqual(costs)
    expect(scramCosts(mechanism, BARE)).toEqual(costs)
    const long = scramCosts(mechanism, `${LONG}1`)
    expect(scramCosts(mechanism, `${LONG}2`)).toEqual(long)
    expect(scramCosts(mechanism, `${LONG}3`)).toEqual(long)
  },
)

test('a wrong binding takes the same operations as a wrong password, whoever it names', () => {
  session = new SaslSession(fixture(snapshot).environment, tlsPipeAt(''))
  const gs2Header = 'p=tls-exporter,,'
  const costs = scramCosts('SCRAM-SHA-256-PLUS', ONE, { gs2Header, data: EXPORTED })
  for (const data of [EXPORTED, Buffer.alloc(32, 1)]) {
    for (const user of [ONE, TWO, NONE, BARE]) {
      expect(scramCosts('SCRAM-SHA-256-PLUS', user, { gs2Header, data })).toEqual(costs)
    }
  }
})

test('who has no password is shown what an unknown user is, and is no user to the list', () => {
  const { environment } = fixture(snapshot)
  const whole = new SaslSession(environment, pipeAt(''))
  const saltOf = (user: string): string => {
    const step = whole.start('SCRAM-SHA-256', Buffer.from(`n,,n=${user},r=abc`))
    if (step instanceof Promise || step.kind !== 'challenge') throw new Error('no challenge')
    return Buffer.from(step.bytes)
      .toString()
      .replace(/^[^,]*/, '')
  }
  const before = saltOf(BARE)
  environment.replaceCredentials(withPasswords)
  expect(saltOf(BARE)).toBe(before)
  environment.replaceCredentials(snapshot)
  expect(environment.mechanisms).toBe(ALL_MECHANISMS.join(' '))
})

test('a right password takes the same operations, with one password and with two', async () => {
  const logins = [
    [ONE, 'secret'],
    [TWO, 'one'],
    [TWO, 'two'],
  ] as const
  const costs: (readonly string[])[] = []
  for (const [user, password] of logins) {
    const { environment } = fixture(snapshot)
    const options = { mechanism: 'SCRAM-SHA-256', user, password }
    costs.push(
      await costOf(async () => {
        const step = await scramLogin(new SaslSession(environment, pipeAt('')), options)
        expect(step).toMatchObject({ kind: 'success' })
      }),
    )
  }
  expect(costs[1]).toEqual(costs[0])
  expect(costs[2]).toEqual(costs[0])
})

test('the log line of a name that is no user has none of it, and one of a user names it', () => {
  const fields: unknown[] = []
  const log = new LoginLog((event) => fields.push(event.fields), 1)
  const peer = Peer.at('192.0.2.1', 1)
  const login = { succeeded: false, peer, mechanism: 'PLAIN', reason: 'malformed' } as const
  log.record({ ...login, user: '', unknownUser: '7 characters, 0123abcd' }, 0)
  log.record({ ...login, user: ONE, unknownUser: '' }, 0)
  expect(fields).toEqual([
    {
      unknown_user: '7 characters, 0123abcd',
      peer: '192.0.2.1:1',
      mechanism: 'PLAIN',
      reason: 'malformed',
    },
    { user: ONE, peer: '192.0.2.1:1', mechanism: 'PLAIN', reason: 'malformed' },
  ])
})
