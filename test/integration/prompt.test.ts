/**
 * The password prompt on a real pseudo terminal: what a person types is seen by the program and not
 * by whoever looks at the screen.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { hasPrerequisites, type Prerequisite, runProgram } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'

const PYTHON: Prerequisite = {
  packages: 'python3',
  probe: ['python3', '-c', 'import pty, termios'],
}

/**
 * Runs argv[2:] on a pseudo terminal. argv[1] is JSON: what to wait for on the screen and what to
 * type then. Prints JSON: what was on the screen, the exit code, and whether the terminal echoes
 * afterwards.
 */
const TYPIST = `
import json, os, pty, sys, termios
steps = json.loads(sys.argv[1])
# A slave end of our own keeps the terminal's settings readable after the program has gone.
master, slave = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    import fcntl
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 64)
    os.execvp(sys.argv[2], sys.argv[2:])
screen = b''
seen = 0
import select
for expected, typed in steps:
    while expected.encode() not in screen[seen:]:
        screen += os.read(master, 4096)
    seen = screen.index(expected.encode(), seen) + len(expected.encode())
    os.write(master, typed.encode())
_, status = os.waitpid(pid, 0)
while select.select([master], [], [], 0)[0]:
    screen += os.read(master, 4096)
echoes = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
print(json.dumps([screen.decode(), os.waitstatus_to_exitcode(status), echoes]))
`

interface Seen {
  readonly screen: string
  readonly exitCode: number
  readonly echoes: boolean
}

async function type(
  steps: readonly (readonly [string, string])[],
  argv: readonly string[],
): Promise<Seen> {
  const command = ['python3', '-c', TYPIST, JSON.stringify(steps), SERVER_NODE, SERVER_PROGRAM]
  const { stdout, stderr } = await runProgram([...command, ...argv])
  expect(stderr).toBe('')
  const [screen, exitCode, echoes] = JSON.parse(stdout) as [string, number, boolean]
  return { screen: screen.replaceAll('\r\n', '\n'), exitCode, echoes }
}

function usersFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-prompt-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'users.toml')
}

if (hasPrerequisites('the password prompt', [PYTHON])) {
  test('a password typed at a terminal is not shown, and the user is made', async () => {
    const file = usersFile()
    const seen = await type(
      [
        ['Password for "alice": ', 'hunter2\r'],
        ['The same again: ', 'hunter2\r'],
      ],
      ['user', 'add', 'alice', '--file', file],
    )
    expect(seen).toEqual({
      screen: `Password for "alice": \nThe same again: \nuser "alice" was added to ${file}\n`,
      exitCode: 0,
      echoes: true,
    })
    expect(readFileSync(file, 'utf8')).toContain('[users.alice]')
  })

  test('what is typed ahead of the second question is not shown either', async () => {
    const seen = await type([['Password: ', 'hunter2\rhunter2\r']], ['hash-password'])
    expect(seen).toMatchObject({ exitCode: 0, echoes: true })
    expect(seen.screen).not.toContain('hunter2')
    expect(seen.screen).toContain('SCRAM-SHA-256$')
  })

  test('Control-C at the prompt leaves with 130 and a terminal that echoes again', async () => {
    const file = usersFile()
    const seen = await type(
      [['Password for "a": ', 'hun\u0003']],
      ['user', 'add', 'a', '--file', file],
    )
    expect(seen).toEqual({
      screen: 'Password for "a": \nsaslcached: nothing was done\n',
      exitCode: 130,
      echoes: true,
    })
  })
}
