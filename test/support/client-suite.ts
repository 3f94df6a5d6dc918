/**
 * One suite for every client library: it does all the operations that it has, is refused with wrong
 * credentials, and its server's log tells which mechanism it really used.
 *
 * The library is driven by a program in its own language, a file beside the test. The program is
 * told where to go by CLIENT_HOST, CLIENT_PORT, CLIENT_USER and CLIENT_PASSWORD and what to do by
 * its last argument:
 * - `operations`: prints one line an operation, `ok - NAME` or `not ok - NAME: WHY`, as TAP does;
 * - `login`: signs in by reading one key, then prints `accepted` or `refused: WHY`;
 * - `stranger`, of clients that speak text: reads a key without signing in, then prints the same.
 * Over text a client signs in by what it sends first: a `set` with user and password as the value.
 *
 * A client waits CLIENT_PATIENCE_MS for a reply, and one that reports no refusal but goes on trying
 * gives up then.
 * It ends with exit code 0 either way; anything else is a crash. The names of the operations stand
 * in the test as well, so that a program cannot pass by leaving some out.
 *
 * A client that is tried over TLS, too, is told of three files besides, see client-suite-tls.ts.
 *
 * TEST_PEER=memcached runs the suites against Debian's memcached, which shows that the
 * programs are right about memcached rather than about us.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ALICE,
  clientEnvironment,
  describeRun,
  nameOf,
  PATIENCE_MS,
  REFUSAL_PATIENCE_MS,
  resultLines,
} from './client-program.ts'
import { describeOverTls, type OverTls } from './client-suite-tls.ts'
import { hasPrerequisites, type Prerequisite, type ProgramResult, runProgram } from './program.ts'
import {
  MEMCACHED,
  type ServerKind,
  type ServerOptions,
  startMemcached,
  startSaslcached,
  type TestServer,
  type User,
} from './server.ts'

export interface ClientSuite {
  readonly client: string
  readonly needs: readonly Prerequisite[]
  /** Makes ready and resolves with the command, to which the mode is appended. */
  readonly prepare: () => Promise<readonly string[]> | readonly string[]
  /** Announced by the server; its default if absent. */
  readonly mechanisms?: readonly string[]
  /** The mechanism that the client must be seen to use. */
  readonly mechanism: string
  readonly operations: readonly string[]
  /** What the program prints behind `refused: ` if the password is wrong. */
  readonly refusal: RegExp
  /** Present if it speaks text. */
  readonly text?: {
    /** What the program prints behind `refused: ` if it does not sign in at all. */
    readonly unauthenticated: RegExp
  }
  /** Present if it is tried over TLS, too. */
  readonly tls?: OverTls
}

export const PEER: ServerKind = process.env.TEST_PEER === 'memcached' ? 'memcached' : 'saslcached'

export const UNICODE_USER: User = { name: 'jürgen-日本', password: 'pä:ss wörd:€ “quoted”' }
/** Cyrus takes what follows an @ for a realm, so memcached cannot have this user. */
const TENANT_USER: User = {
  name: 'tenant-1/user@example.com',
  password: 'Ab1:'.repeat(50),
}

/**
 * A client that has not given up on a refused login by then hangs, for a person's purposes; most of it is for
 * the start of its runtime on a busy machine.
 */
const REFUSAL_DEADLINE_MS = 30_000

/** The server that the client tests run against: saslcached, or the reference if so told. */
export async function startPeer(options: ServerOptions): Promise<TestServer> {
  return PEER === 'memcached'
    ? await startMemcached(options)
    : await startSaslcached({ throttles: true, ...options })
}

export function peerPrerequisites(): readonly Prerequisite[] {
  return PEER === 'memcached' ? [MEMCACHED] : []
}

export function describeClient(suite: ClientSuite): void {
  if (!hasPrerequisites(suite.client, [...suite.needs, ...peerPrerequisites()])) return
  describe(suite.client, () => {
    let server: TestServer
    let command: readonly string[]
    let outcome: ProgramResult
    const run = async (
      mode: string,
      user: User,
      at = server,
      patienceMs = PATIENCE_MS,
    ): Promise<ProgramResult> =>
      await runProgram([...command, mode], {
        environment: { ...clientEnvironment(at, user), CLIENT_PATIENCE_MS: String(patienceMs) },
      })
    // Over text a password ends at its first blank for memcached.
    const isSplit = PEER === 'memcached' && suite.text !== undefined
    const told = ({ name, password }: User): User => ({
      name,
      password: isSplit ? password.replaceAll(' ', '_') : password,
    })
    const alice = told(ALICE)
    const accepted: [string, User][] = [
      ['plain ASCII', alice],
      ['names and passwords beyond ASCII, with colons, blanks and quotes', told(UNICODE_USER)],
    ]
    if (PEER === 'saslcached') {
      accepted.push(['a name like an address and a password of 200 bytes', TENANT_USER])
    }
    const options: ServerOptions = {
      users: accepted.map(([, user]) => user),
      ...(suite.mechanisms === undefined ? {} : { mechanisms: suite.mechanisms }),
      ...(suite.text === undefined ? {} : { textLogin: true }),
    }
    // memcached says nothing of a login over text, at any verbosity.
    const logsLogins = PEER === 'saslcached' || suite.text === undefined

    beforeAll(async () => {
      command = await suite.prepare()
      server = await startPeer(options)
      outcome = await run('operations', alice)
      if (resultLines(outcome).length === 0) throw new Error(describeRun(outcome))
    })
    afterAll(async () => await server?.stop())

    test.each(suite.operations)('%s', (operation) => {
      const line = resultLines(outcome).find((each) => nameOf(each) === operation)
      expect(line, line ?? describeRun(outcome)).toBe(`ok - ${operation}`)
    })

    test('does nothing but these operations, and ends well', () => {
      expect(resultLines(outcome).map(nameOf)).toEqual(suite.operations)
      expect(outcome.exitCode, describeRun(outcome)).toBe(0)
    })

    test.runIf(logsLogins)(`logs in with ${suite.mechanism}`, async () => {
      const logins = await server.waitForLogins(1)
      expect(new Set(logins.map(({ mechanism }) => mechanism))).toEqual(new Set([suite.mechanism]))
      expect(logins.filter(({ succeeded }) => !succeeded)).toEqual([])
    })

    describe('is refused cleanly', () => {
      // A server that nobody may enter: its log has failed logins only.
      let refusing: TestServer
      beforeAll(async () => {
        refusing = await startPeer(options)
      })
      afterAll(async () => await refusing?.stop())

      test.concurrent.each([
        ['a wrong password', { name: alice.name, password: `${alice.password}r` }],
        ['the start of the password', { name: alice.name, password: alice.password.slice(0, -1) }],
        ['an unknown user', { name: 'mallory', password: alice.password }],
      ])('with %s', async (_, user) => {
        const refused = await run('login', user, refusing, REFUSAL_PATIENCE_MS)
        expect(refused.stdout, describeRun(refused)).toMatch(/^refused: /)
        expect(refused.stdout.replace('refused: ', '').trim()).toMatch(suite.refusal)
        expect(refused.exitCode, describeRun(refused)).toBe(0)
        expect(refused.elapsedMs).toBeLessThan(REFUSAL_DEADLINE_MS)
        const logins = await refusing.waitForLogins(logsLogins ? 1 : 0)
        expect(logins.filter(({ succeeded }) => succeeded)).toEqual([])
      })

      const { text } = suite
      if (text !== undefined) {
        test.concurrent('without a login', async () => {
          const refused = await run('stranger', alice, refusing, REFUSAL_PATIENCE_MS)
          expect(refused.stdout, describeRun(refused)).toMatch(/^refused: /)
          expect(refused.stdout.replace('refused: ', '').trim()).toMatch(text.unauthenticated)
          expect(refused.exitCode, describeRun(refused)).toBe(0)
          expect(refused.elapsedMs).toBeLessThan(REFUSAL_DEADLINE_MS)
        })
      }
    })

    test.concurrent.each(accepted)('is let in with %s', async (_, user) => {
      const letIn = await run('login', user)
      expect(letIn.stdout.trim(), describeRun(letIn)).toBe('accepted')
      expect(letIn.exitCode, describeRun(letIn)).toBe(0)
    })

    if (suite.tls !== undefined && PEER === 'saslcached') {
      describeOverTls(suite, suite.tls, () => command)
    }
  })
}
