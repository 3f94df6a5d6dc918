import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { CommandFailure, type Input } from '../../../src/cli/io.ts'
import { readPassword } from '../../../src/cli/password.ts'
import { FakeTerminal } from './support.ts'

async function read(stdin: Input): Promise<{ password: string; err: string }> {
  let err = ''
  const password = await readPassword(
    {
      stdin,
      environment: {},
      columns: undefined,
      out: () => undefined,
      err: (text) => {
        err += text
      },
    },
    'Password',
  )
  return { password, err }
}

function pipe(...chunks: readonly (string | Buffer)[]): Readable {
  return Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
}

test('a terminal is asked twice, in raw mode, and shows nothing of the password', async () => {
  const terminal = new FakeTerminal('pä55\r', 'pä55\r')
  const { password, err } = await read(terminal)
  expect(password).toBe('pä55')
  expect(err).toBe('Password: \nThe same again: \n')
  expect(terminal.modes).toEqual([true, false])
})

test('what is typed ahead or pasted in one go answers both questions', async () => {
  expect((await read(new FakeTerminal('secret\nsecret\n'))).password).toBe('secret')
  expect((await read(new FakeTerminal('secret\r\nsecret\r\n'))).password).toBe('secret')
})

test('Backspace takes one character, Control-U all, and a character may come in pieces', async () => {
  const [first, second] = [Buffer.from('€').subarray(0, 1), Buffer.from('€').subarray(1)]
  const terminal = new FakeTerminal('wrong\u0015a😀\u007f\b\bb', first, second, '\r', 'b€\r')
  expect((await read(terminal)).password).toBe('b€')
})

test('arrow keys and other control characters do not get into a password', async () => {
  const terminal = new FakeTerminal('a', '\u001b[D', 'b\u0007\t', '\r', 'ab\r')
  expect((await read(terminal)).password).toBe('ab')
})

test.each([
  ['two different passwords', ['one\r', 'two\r'], 'the two passwords differ', 1],
  ['an empty password', ['\r'], 'an empty password lets nobody in', 1],
  ['Control-C', ['half\u0003'], 'nothing was done', 130],
  ['Control-C at the second question', ['a\r', '\u0003'], 'nothing was done', 130],
  ['Control-D on an empty line', ['\u0004'], 'nothing was done', 130],
])(
  '%s ends the prompt, and the terminal is itself again',
  async (_what, typed, message, exitCode) => {
    const terminal = new FakeTerminal(...typed)
    const failure = await read(terminal).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CommandFailure)
    expect(failure).toMatchObject({ message, exitCode })
    expect(terminal.modes).toEqual([true, false])
  },
)

test('a terminal that goes away ends the prompt', async () => {
  const terminal = new FakeTerminal('half')
  terminal.push(null)
  await expect(read(terminal)).rejects.toMatchObject({ exitCode: 130 })
})

test.each([
  ['secret', 'secret'],
  ['secret\n', 'secret'],
  ['secret\r\n', 'secret'],
  [' s e c ', ' s e c '],
])('a pipe of %j is the password %j, without a prompt', async (text, password) => {
  expect(await read(pipe(text))).toEqual({ password, err: '' })
})

test('a password may come through a pipe in pieces, in the middle of a character too', async () => {
  const bytes = Buffer.from('pä55')
  expect((await read(pipe(bytes.subarray(0, 2), bytes.subarray(2)))).password).toBe('pä55')
})

test.each([
  ['nothing', '', 'there is no password on stdin'],
  ['a lone line end', '\n', 'there is no password on stdin'],
  ['two lines', 'a\nb\n', 'stdin has more than one line'],
  ['too much', 'x'.repeat(1027), 'a password has at most 1024 bytes; stdin has more'],
  ['no text', Buffer.from([0xff, 0x61]), 'the password on stdin is not UTF-8 text'],
])('a pipe with %s is refused', async (_what, text, message) => {
  await expect(read(pipe(text))).rejects.toMatchObject({ message, exitCode: 1 })
})
