/** The client's command line: help, what is refused before a server is asked, and no password repeated. */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { clientMain } from '../../../src/cli/client/client-main.ts'
import { CLIENT_COMMANDS, isClientCommand } from '../../../src/cli/client-commands.ts'
import type { Input } from '../../../src/cli/io.ts'
import { FakeTerminal, type Outcome, run } from './support.ts'

function runClient(...argv: readonly string[]): Promise<Outcome> {
  return runClientWith(Readable.from([]), argv)
}

async function runClientWith(stdin: Input, argv: readonly string[]): Promise<Outcome> {
  let out = ''
  let err = ''
  const exitCode = await clientMain(argv, {
    stdin,
    environment: { SASLCACHED_SERVER: '127.0.0.1:1' },
    columns: undefined,
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { exitCode, out, err }
}

const NAMES = Object.keys(CLIENT_COMMANDS)

test.each(NAMES)('%s --help has examples, and fits a terminal', async (name) => {
  const { exitCode, out, err } = await runClient(name, '--help')
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
  expect(out).toContain(`Usage: saslcached ${name} [options]`)
  expect(out).toMatch(new RegExp(`\nExamples:\n  saslcached ${name}\\b`))
  expect(out).toMatch(/--tls-insecure/)
  expect(out.split('\n').filter((line) => line.length > 100)).toEqual([])
})

test("a command that is none of the client is the server's", async () => {
  expect(NAMES.every((name) => isClientCommand([name, 'x']))).toBe(true)
  expect([[], ['-m', '64'], ['toString'], ['-v', 'stats']].some(isClientCommand)).toBe(false)
  const { exitCode, err } = await run(['-v', 'stats'])
  expect(exitCode).toBe(78)
  expect(err).toContain('stats: comes first: saslcached stats ..., its options behind it')
  expect((await run(['--help'])).out).toMatch(/\n {2}top .*in the terminal/)
})

test.each([
  [['get', 'x', '--password', 'hunter2'], 'everybody on this machine can read it'],
  [['get', 'x', '--password=hunter2'], 'everybody on this machine can read it'],
  [['get', 'x', '--pass=hunter2'], 'everybody on this machine can read it'],
  [['get', 'x', '-phunter2'], '-p is not an option; did you mean --server HOST:PORT?'],
  [['get', 'x', '--hint=hunter2'], '--hint is not an option'],
  [['get', 'x', 'hunter2'], 'an argument too many'],
  [['stats', '-s', 'alice:hunter2@cache'], 'a password on no command line'],
  [['get', 'x', '--sever', 'y'], '--sever is not an option; did you mean --server?'],
  [['get'], "missing required argument 'key'"],
  [['get', ''], 'the key is empty'],
  [['get', '%zz', '--encoded'], 'the key is not as a dump shows it'],
  [['set', 'k', 'v', '--ttl', '-1'], '--ttl is not a whole number'],
  [['set', 'k', 'v', '--file', 'f'], 'the value is given twice'],
  [['set', 'k', '--file', '/nonexistent'], 'cannot be read: no such file'],
  [['set', 'k', '--file', '/dev/zero'], 'is not a regular file'],
  [['flush'], 'there is no terminal to ask on: give --yes'],
  [['stats', 'a\r\nflush_all'], 'the group is none'],
  [['stats', 'items', 'slabs'], 'one group at a time: stats items, and'],
  [['stats', 'prefixes slabs'], 'one group at a time: stats prefixes, and'],
  [['stats', 'namespace'], 'a namespace has a name: stats namespace NAME'],
  [['stats', 'namespace', 'shop', 'items'], 'a namespace has a name: stats namespace NAME'],
  [['get', 'x', '--user', ''], '--user is empty: give a value, or leave it out'],
  [['ping', '-s', ''], '--server is empty'],
  [['ping', '--tls', '--tls-name='], '--tls-name is empty'],
  [['ping', '--tls-key-password-file', ''], '--tls-key-password-file is empty'],
  [['watch', 'a\r\nflush_all'], 'a word of small letters'],
  [['dump', '--limit', 'x'], '--limit is not a whole number'],
  [['dump', '--largest', '10001'], '--largest is not a whole number from 0 to 10000'],
  [
    ['dump', '--largest', '5', '--limit', '9'],
    '--limit ends the list before its largest are known',
  ],
  [['top', '--interval', '0'], '--interval is not a number of seconds'],
  [['bench', '--ratio', '0:0'], '--ratio is not two numbers'],
  [['bench', '--connections', '257'], '--connections is not a whole number from 1 to 256'],
  [['bench', '--seconds', '301'], '--seconds is not a number of seconds'],
  [['ping', '--mechanism', 'LOGIN'], '--mechanism is none of SCRAM-SHA-512-PLUS'],
  [['ping', '--tls', '-s', '/run/x.sock'], 'needs no TLS'],
])('%j ends with 78 and a sentence', async (argv, sentence) => {
  const { exitCode, out, err } = await runClient(...argv)
  expect({ exitCode, out }).toEqual({ exitCode: 78, out: '' })
  expect(err).toContain(sentence)
  expect(err).not.toContain('hunter2')
  expect(err.trimEnd().split('\n')).toHaveLength(1)
})

test.each([
  [[], '127.0.0.1:1 go, for everybody; where it has namespaces, those of the own one.'],
  [['--namespace', 'shop'], 'namespace shop of 127.0.0.1:1 go, for everybody.'],
])('flush %j asks for what would go', async (argv, what) => {
  expect(await runClientWith(new FakeTerminal('no\n'), ['flush', ...argv])).toEqual({
    exitCode: 130,
    out: '',
    err: `All items of ${what} Type yes: saslcached: nothing was done\n`,
  })
})

test('nobody there is exit code 69', async () => {
  expect(await runClient('ping')).toEqual({
    exitCode: 69,
    out: '',
    err: 'saslcached: 127.0.0.1:1 cannot be reached: nobody listens there: is the server running, and is the address right?\n',
  })
  expect(await runClient('ping', '-s', '/nonexistent/x.sock')).toMatchObject({ exitCode: 69 })
})
