/**
 * A person with `openssl s_client`: logs in by what is typed, over each version, with a password or a
 * certificate, and sends nothing to a server that is not the right one.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALICE, describeRun } from '../../../support/client-program.ts'
import {
  hasPrerequisites,
  type Prerequisite,
  type ProgramResult,
  runProgram,
} from '../../../support/program.ts'
import { type TlsWay, TlsWays } from '../../../support/tls-ways.ts'

const OPENSSL: Prerequisite = { packages: 'openssl', probe: ['openssl', 'version'] }
const CREDENTIALS = `${ALICE.name} ${ALICE.password}`
const LOGIN = `set login 0 0 ${CREDENTIALS.length}\r\n${CREDENTIALS}\r\n`
const USE = 'set greeting 0 0 5\r\nhello\r\nget greeting\r\nmg greeting v\r\nquit\r\n'
const USED = 'STORED\r\nVALUE greeting 0 5\r\nhello\r\nEND\r\nVA 5\r\nhello\r\n'

if (hasPrerequisites('openssl s_client', [OPENSSL])) {
  describe('openssl s_client', () => {
    let ways: TlsWays
    beforeAll(async () => {
      ways = await TlsWays.start(ALICE)
    })
    afterAll(async () => await ways?.stop())

    const type = async (way: TlsWay, input: string, ...flags: string[]): Promise<ProgramResult> => {
      const { host, port, caFile = '', pair } = ways.target(way)
      const own = pair === undefined ? [] : ['-cert', pair.certificateFile, '-key', pair.keyFile]
      const trust = ['-CAfile', caFile, '-verify_ip', host, '-verify_return_error', '-quiet']
      const connection = ['-connect', `${host}:${port}`, ...trust, ...own, ...flags]
      return await runProgram(['openssl', 's_client', ...connection], { input })
    }

    test.concurrent.each(['-tls1_3', '-tls1_2'])('logs in over %s by a set', async (version) => {
      const run = await type('trusted', LOGIN + USE, version)
      expect(run.stdout, describeRun(run)).toBe(`STORED\r\n${USED}`)
      expect(run.exitCode).toBe(0)
    })

    test.concurrent('logs in by its certificate, without a password', async () => {
      const run = await type('known', `sasl auth EXTERNAL 0\r\n\r\n${USE}`)
      expect(run.stdout, describeRun(run)).toBe(`SASL_OK\r\n${USED}`)
    })

    test.concurrent('is refused without a login', async () => {
      const run = await type('trusted', 'get greeting\r\nquit\r\n')
      expect(run.stdout, describeRun(run)).toBe('CLIENT_ERROR unauthenticated\r\n')
    })

    test.concurrent('is cut off without a certificate where one is asked for', async () => {
      const run = await type('unknown', LOGIN + USE)
      // The server's log says why; a client of TLS 1.3 believes the handshake to be done.
      expect(run.stdout).toBe('')
    })

    test.concurrent.each([
      ['untrusted', /unable to get local issuer certificate/],
      ['misnamed', /IP address mismatch/],
    ] as const)('sends nothing where the certificate is %s', async (way, why) => {
      const run = await type(way, LOGIN + USE)
      expect(run.stdout).toBe('')
      expect(run.stderr).toMatch(why)
      expect(run.exitCode).toBe(1)
    })
  })
}
