/**
 * The command-line tools of libmemcached, under the names that Debian gives them: each does what it
 * can over the binary dialect with SASL, by each mechanism that libsasl and the server share, and
 * memccapable runs its conformance suite.
 *
 * Over text they have no login. memccp alone gets in, if the first file that it copies holds user and
 * password; the others are refused, memcdump, which speaks nothing else, among them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALICE, describeRun } from '../../../support/client-program.ts'
import { PEER, peerPrerequisites, startPeer, UNICODE_USER } from '../../../support/client-suite.ts'
import { STUNNEL_COMPLAINTS } from '../../../support/client-suite-tls.ts'
import {
  hasPrerequisites,
  type Prerequisite,
  type ProgramResult,
  runProgram,
} from '../../../support/program.ts'
import type { TestServer, User } from '../../../support/server.ts'
import { STUNNEL } from '../../../support/stunnel.ts'
import { type TlsWay, TlsWays } from '../../../support/tls-ways.ts'

const TOOLS: Prerequisite = {
  packages: 'libmemcached-tools libsasl2-modules',
  probe: [
    'sh',
    '-c',
    'command -v memccp memccat memcstat memcexist memcrm memctouch memcping memcdump memccapable',
  ],
}
const MALLORY: User = { name: 'mallory', password: ALICE.password }
const WRONG: User = { name: ALICE.name, password: `${ALICE.password}r` }
const LARGE = Buffer.alloc(1_000_000, '0123456789abcdef')

/** Every tool, with arguments that make it talk to the server. */
const COMMANDS: readonly (readonly string[])[] = [
  ['memccp', 'FILE'],
  ['memccat', 'key'],
  ['memcexist', 'key'],
  ['memcrm', 'key'],
  ['memctouch', '--expire=100', 'key'],
  ['memcstat'],
  ['memcping'],
  ['memcflush'],
]

if (hasPrerequisites('the libmemcached tools', [TOOLS, ...peerPrerequisites()])) {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-tools-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(directory, name)
    writeFileSync(path, content)
    return path
  }

  const run = async (
    server: { readonly address: string },
    user: User | undefined,
    tool: string,
    ...args: string[]
  ): Promise<ProgramResult> =>
    await runProgram([
      tool,
      `--servers=${server.address}`,
      ...(tool === 'memcping' ? [] : ['--binary']),
      ...(user === undefined ? [] : [`--username=${user.name}`, `--password=${user.password}`]),
      ...args,
    ])

  describe('the libmemcached tools', () => {
    let server: TestServer
    beforeAll(async () => {
      server = await startPeer({ users: [ALICE, UNICODE_USER] })
    })
    afterAll(async () => await server?.stop())

    const succeeds = async (tool: string, ...args: string[]): Promise<ProgramResult> => {
      const result = await run(server, ALICE, tool, ...args)
      expect(result.exitCode, describeRun(result)).toBe(0)
      return result
    }
    const fails = async (tool: string, ...args: string[]): Promise<ProgramResult> => {
      const result = await run(server, ALICE, tool, ...args)
      expect(result.exitCode, describeRun(result)).toBe(1)
      return result
    }

    test.concurrent('memccp sets and memccat gets, one key and many', async () => {
      await succeeds('memccp', file('copy-1', 'first wörd'), file('copy-2', 'second'))
      expect((await succeeds('memccat', 'copy-1')).stdout).toBe('first wörd\n')
      const both = await succeeds('memccat', 'copy-1', 'copy-2')
      expect(both.stdout).toBe('first wörd\nsecond\n')
      expect((await fails('memccat', 'copy-missing')).stdout).toBe('')
    })

    test.concurrent('memccp --add stores only what is missing, --replace only what is there', async () => {
      const path = file('conditional', 'one')
      expect((await fails('memccp', '--replace', path)).stderr).toMatch(/NOT FOUND/)
      await succeeds('memccp', '--add', path)
      file('conditional', 'two')
      expect((await fails('memccp', '--add', path)).stderr).toMatch(/DATA EXISTS/)
      expect((await succeeds('memccat', 'conditional')).stdout).toBe('one\n')
      await succeeds('memccp', '--replace', path)
      expect((await succeeds('memccat', 'conditional')).stdout).toBe('two\n')
    })

    test.concurrent('memccp --flags stores the flags that memccat --flags shows', async () => {
      await succeeds('memccp', '--flags=305419896', file('flags', 'x'))
      expect((await succeeds('memccat', '--flags', 'flags')).stdout).toContain('305419896')
    })

    test.concurrent('memccp --expire and memctouch --expire set when an item goes', async () => {
      const past = String(Math.floor(Date.now() / 1000) - 10)
      await succeeds('memccp', `--expire=${past}`, file('expired', 'x'))
      await fails('memccat', 'expired')
      await succeeds('memccp', '--expire=100', file('touched', 'x'))
      await succeeds('memctouch', '--expire=200', 'touched')
      await succeeds('memccat', 'touched')
      await succeeds('memctouch', `--expire=${past}`, 'touched')
      await fails('memccat', 'touched')
      await fails('memctouch', '--expire=100', 'touch-missing')
    })

    test.concurrent('a value of a million bytes comes back as it was', async () => {
      await succeeds('memccp', file('large', LARGE))
      const read = await succeeds('memccat', 'large')
      expect(read.stdoutBytes.subarray(0, -1).equals(LARGE)).toBe(true)
    })

    test.concurrent('memcexist says whether a key is there', async () => {
      await succeeds('memccp', file('exists', 'x'))
      await succeeds('memcexist', 'exists')
      await fails('memcexist', 'exists-not')
    })

    test.concurrent('memcrm removes', async () => {
      await succeeds('memccp', file('removed', 'x'))
      await succeeds('memcrm', 'removed')
      await fails('memccat', 'removed')
      await fails('memcrm', 'removed')
    })

    test.concurrent('memcping finds the server alive', async () => {
      await succeeds('memcping')
    })

    test.concurrent('memcstat shows the statistics, their groups and the version', async () => {
      const stats = await succeeds('memcstat')
      expect(stats.stdout).toMatch(/^\s*pid: \d+$/m)
      expect(stats.stdout).toMatch(/^\s*limit_maxbytes: 67108864$/m)
      expect((await succeeds('memcstat', 'settings')).stdout).toMatch(/^\s*maxbytes: 67108864$/m)
      await succeeds('memcstat', 'items')
      await succeeds('memcstat', 'slabs')
      const version = await succeeds('memcstat', '--server-version')
      expect(version.stderr).toMatch(/ \d+\.\d+\.\d+$/m)
    })

    test.concurrent('memcstat --analyze reads what it needs', async () => {
      expect((await succeeds('memcstat', '--analyze')).stdout).toMatch(
        /Number of Servers Analyzed +: 1\n/,
      )
    })

    test.concurrent.each([
      ['a wrong password', WRONG],
      ['an unknown user', MALLORY],
    ])('every tool is refused cleanly with %s', async (_, user) => {
      const path = file('refused', 'x')
      const refusing = await startPeer({ users: [ALICE] })
      try {
        const results = await Promise.all(
          COMMANDS.map(([tool, ...args]) =>
            run(refusing, user, tool ?? '', ...args.map((each) => each.replace('FILE', path))),
          ),
        )
        for (const result of results) {
          expect(result.exitCode, describeRun(result)).toBe(1)
          // memctouch calls every failure one of writing.
          expect(result.stderr).toMatch(/AUTHENTICATION FAILURE|WRITE FAILURE/)
        }
        const logins = await refusing.waitForLogins(COMMANDS.length)
        expect(logins.filter(({ succeeded }) => succeeded)).toEqual([])
      } finally {
        await refusing.stop()
      }
    })

    test.concurrent('a tool without user and password is refused cleanly', async () => {
      for (const [tool, ...args] of COMMANDS.slice(0, 5)) {
        const path = file('nobody', 'x')
        const result = await run(
          server,
          undefined,
          tool ?? '',
          ...args.map((each) => each.replace('FILE', path)),
        )
        expect(result.exitCode, describeRun(result)).toBe(1)
      }
    })

    const runOverText = async (tool: string, ...args: string[]): Promise<ProgramResult> =>
      await runProgram([tool, `--servers=${server.address}`, ...args])

    test.runIf(PEER === 'saslcached')(
      'memccp over text is logged in by the first file that it copies',
      async () => {
        const credentials = file('credentials', `${ALICE.name} ${ALICE.password}`)
        const stored = await runOverText('memccp', credentials, file('by-text', 'x'))
        expect(stored.exitCode, describeRun(stored)).toBe(0)
        expect((await succeeds('memccat', 'by-text')).stdout).toBe('x\n')
        expect((await fails('memccat', 'credentials')).stdout).toBe('')

        const wrong = file('credentials', `${WRONG.name} ${WRONG.password}`)
        const refused = await runOverText('memccp', wrong, file('by-text', 'y'))
        expect(refused.exitCode, describeRun(refused)).toBe(1)
        expect(refused.stderr).toMatch(/authentication failure/)
        expect((await succeeds('memccat', 'by-text')).stdout).toBe('x\n')
      },
    )

    // memcstat and memcping are content with any answer at all; memccat takes a refusal for a miss.
    test.runIf(PEER === 'saslcached').each([
      ['memccp', /bad authentication token format/, [file('text', 'nospace')]],
      ['memccat', /^$/, ['key']],
      ['memcexist', /unauthenticated/, ['key']],
      ['memcrm', /unauthenticated/, ['key']],
      ['memctouch', /Error/, ['--expire=100', 'key']],
      ['memcflush', /unauthenticated/, []],
      ['memcdump', /unauthenticated/, []],
    ])('%s over text is refused without a login', async (tool, complaint, args) => {
      const refused = await runOverText(tool, ...args)
      expect(refused.overran, describeRun(refused)).toBe(false)
      expect(refused.exitCode, describeRun(refused)).toBe(1)
      expect(refused.stderr).toMatch(complaint)
      expect(refused.stdout).toBe('')
    })

    // Alone and last: it takes the items of all the others away.
    test('memcflush empties the server', async () => {
      await succeeds('memccp', file('flushed', 'x'))
      await succeeds('memcflush')
      await fails('memccat', 'flushed')
    })
  })

  // Announced alone, so that libsasl has no other choice.
  describe.each(['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])(
    'the libmemcached tools where only %s is announced',
    (mechanism) => {
      let server: TestServer
      beforeAll(async () => {
        server = await startPeer({ users: [ALICE, UNICODE_USER], mechanisms: [mechanism] })
      })
      afterAll(async () => await server?.stop())

      test.each([
        ['in ASCII', ALICE],
        ['beyond ASCII', UNICODE_USER],
      ])(`let a user in ${mechanism} with a name and password %s`, async (_, user) => {
        const before = server.logins().length
        const stored = await run(server, user, 'memccp', file(`by-${mechanism}`, 'x'))
        expect(stored.exitCode, describeRun(stored)).toBe(0)
        const read = await run(server, user, 'memccat', `by-${mechanism}`)
        expect(read.stdout, describeRun(read)).toBe('x\n')
        const logins = (await server.waitForLogins(before + 2)).slice(before)
        expect(logins).toEqual([
          { succeeded: true, mechanism },
          { succeeded: true, mechanism },
        ])
      })

      test('refuse a wrong password', async () => {
        const refused = await run(server, WRONG, 'memccat', 'key')
        expect(refused.exitCode, describeRun(refused)).toBe(1)
        expect(refused.stderr).toMatch(/AUTHENTICATION FAILURE/)
      })
    },
  )

  if (hasPrerequisites('the libmemcached tools through stunnel', [STUNNEL])) {
    describe('the libmemcached tools through stunnel', () => {
      let ways: TlsWays
      beforeAll(async () => {
        ways = await TlsWays.start(ALICE)
        await ways.startStunnel()
      })
      afterAll(async () => await ways?.stop())

      const runBy = async (
        way: TlsWay,
        user: User,
        ...command: string[]
      ): Promise<ProgramResult> => {
        const [tool = '', ...args] = command
        const { host, port } = ways.target(way)
        return await run({ address: `${host}:${port}` }, user, tool, ...args)
      }

      test.each([
        ['', 'trusted'],
        [', with a certificate of the client,', 'known'],
      ] as const)('do%s what they do in the clear', async (_, way) => {
        const path = file(`tls-${way}`, LARGE)
        for (const [tool = '', ...args] of COMMANDS) {
          const of = { FILE: path, key: `tls-${way}` } as Readonly<Record<string, string>>
          const result = await runBy(way, ALICE, tool, ...args.map((each) => of[each] ?? each))
          // memcrm has gone by then.
          expect(result.exitCode, describeRun(result)).toBe(tool === 'memctouch' ? 1 : 0)
          if (tool === 'memccat') expect(result.stdout.trimEnd()).toBe(LARGE.toString())
        }
        const logins = await ways.server.waitForLogins(1)
        const succeeded = { succeeded: true, mechanism: 'SCRAM-SHA-256' }
        expect(logins).toEqual(logins.map(() => succeeded))
      })

      test.each(['untrusted', 'misnamed'] as const)(
        'get nothing through where the certificate is %s',
        async (way) => {
          const refused = await runBy(way, ALICE, 'memccat', 'key')
          expect(refused.exitCode, describeRun(refused)).toBe(1)
          await ways.waitForComplaint(way, STUNNEL_COMPLAINTS[way])
        },
      )

      test('are refused with a wrong password', async () => {
        const refused = await runBy('trusted', WRONG, 'memccat', 'key')
        expect(refused.exitCode, describeRun(refused)).toBe(1)
        expect(refused.stderr).toMatch(/AUTHENTICATION FAILURE/)
      })
    })
  }

  describe(`memccapable against ${PEER} without authentication`, () => {
    test('passes its binary suite, 27 of 27', async () => {
      const server = await startPeer({})
      try {
        const result = await runProgram([
          'memccapable',
          ...['-h', server.host, '-p', String(server.port), '-t', '5', '-b'],
        ])
        expect(result.stdout.match(/\[pass\]/g)?.length, describeRun(result)).toBe(27)
        expect(result.stdout).toMatch(/^All tests passed$/m)
        expect(result.exitCode).toBe(0)
      } finally {
        await server.stop()
      }
    })
  })
}
