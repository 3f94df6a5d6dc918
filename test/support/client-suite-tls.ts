/**
 * What client-suite.ts tries, over TLS. A client that speaks it is told the names of three files, empty for
 * none: the authority's certificate by CLIENT_CA, its own and its key by CLIENT_CERTIFICATE and CLIENT_KEY.
 * One that does not comes through stunnel and is told nothing.
 *
 * Nothing of a login may reach a server that another authority signed for, or that has another name.
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
import { hasPrerequisites, type ProgramResult, runProgram } from './program.ts'
import type { Login, User } from './server.ts'
import { STUNNEL } from './stunnel.ts'
import { type TlsWay, TlsWays } from './tls-ways.ts'

/** How a client speaks TLS: by itself, with what it says of a certificate, or through stunnel. */
export type OverTls = 'stunnel' | TlsComplaints

/** What of a client's suite is tried over TLS. */
export interface SuiteOverTls {
  readonly mechanism: string
  readonly operations: readonly string[]
  readonly refusal: RegExp
}

export interface TlsComplaints {
  /** Another authority signed. */
  readonly untrusted: RegExp
  /** The certificate has another name. */
  readonly misnamed: RegExp
  /** Operations that the library itself breaks over TLS, and what it says. */
  readonly broken?: Readonly<Record<string, RegExp>>
}

/** In its log; what a client is told then is no more than that the connection ended. */
export const STUNNEL_COMPLAINTS: TlsComplaints = {
  untrusted: /CERT: Pre-verification error: .*certificate/,
  misnamed: /CERT: Subject checks failed/,
}

/** Whom the log would name if a login reached a server that is not trusted. */
const STRAY: User = { name: 'stray', password: ALICE.password }

export function describeOverTls(
  suite: SuiteOverTls,
  tls: OverTls,
  commandOf: () => readonly string[],
): void {
  const isTunnelled = tls === 'stunnel'
  const name = isTunnelled ? 'through stunnel' : 'over TLS'
  if (isTunnelled && !hasPrerequisites(name, [STUNNEL])) return
  describe(name, () => {
    let ways: TlsWays
    let outcome: ProgramResult
    let logins: readonly Login[]
    const run = async (
      mode: string,
      way: TlsWay,
      user = ALICE,
      patienceMs = PATIENCE_MS,
    ): Promise<ProgramResult> => {
      const { caFile, pair, ...target } = ways.target(way)
      return await runProgram([...commandOf(), mode], {
        environment: {
          ...clientEnvironment(target, user),
          CLIENT_PATIENCE_MS: String(patienceMs),
          CLIENT_CA: caFile ?? '',
          CLIENT_CERTIFICATE: pair?.certificateFile ?? '',
          CLIENT_KEY: pair?.keyFile ?? '',
        },
      })
    }
    const refusal = async (way: TlsWay, user: User): Promise<string> => {
      const refused = await run('login', way, user, REFUSAL_PATIENCE_MS)
      expect(refused.stdout, describeRun(refused)).toMatch(/^refused: /)
      expect(refused.exitCode, describeRun(refused)).toBe(0)
      return refused.stdout.replace('refused: ', '').trim()
    }

    beforeAll(async () => {
      ways = await TlsWays.start(ALICE, STRAY)
      if (isTunnelled) await ways.startStunnel()
      outcome = await run('operations', 'trusted')
      logins = await ways.server.waitForLogins(1)
    })
    afterAll(async () => await ways?.stop())

    test('does all of these operations, and ends well', () => {
      const broken = isTunnelled ? {} : (tls.broken ?? {})
      for (const [index, line] of resultLines(outcome).entries()) {
        const operation = suite.operations[index] ?? ''
        expect(line).toMatch(broken[operation] ?? new RegExp(`^ok - ${operation}$`))
      }
      expect(resultLines(outcome).map(nameOf)).toEqual(suite.operations)
      expect(outcome.exitCode, describeRun(outcome)).toBe(0)
    })

    test(`logs in with ${suite.mechanism}`, () => {
      const succeeded = { succeeded: true, mechanism: suite.mechanism }
      expect(logins).toEqual(logins.map(() => succeeded))
    })

    test.concurrent.each(['untrusted', 'misnamed'] as const)(
      'turns away from a server whose certificate is %s',
      async (way) => {
        const why = await refusal(way, STRAY)
        if (isTunnelled) await ways.waitForComplaint(way, STUNNEL_COMPLAINTS[way])
        else expect(why).toMatch(tls[way])
      },
    )

    test.concurrent('is turned away without a certificate where one is asked for', async () => {
      await refusal('unknown', STRAY)
    })

    test.concurrent('is let in with its certificate where one is asked for', async () => {
      const letIn = await run('login', 'known')
      expect(letIn.stdout.trim(), describeRun(letIn)).toBe('accepted')
    })

    test('is refused with a wrong password, and what went before sent none', async () => {
      const wrong = { ...ALICE, password: `${ALICE.password}r` }
      expect(await refusal('trusted', wrong)).toMatch(suite.refusal)
      await ways.server.waitForLog(({ event }) => event === 'login_failed')
      expect(ways.server.log().filter(({ user }) => user === STRAY.name)).toEqual([])
    })
  })
}
