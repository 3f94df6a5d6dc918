/**
 * A program on a real pseudo terminal, and a person at it: waits for what the screen has to show, types, and
 * pulls at the window. Needs Python, whose `pty` is the one way to a pseudo terminal without a compiler.
 */
import { expect } from 'vitest'
import { type Prerequisite, type ProgramOptions, runProgram } from './program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from './server.ts'

export const TERMINAL: Prerequisite = {
  packages: 'python3',
  probe: ['python3', '-c', 'import pty, termios'],
}

/** What the screen has to show next, what is typed then, and how large the window is from then on. */
export interface TerminalStep {
  readonly shows: string
  readonly types?: string
  readonly columns?: number
}

export interface TerminalOptions extends ProgramOptions {
  /** 0: a terminal that does not say how large it is. */
  readonly columns?: number
  readonly rows?: number
}

export interface TerminalResult {
  /** All that was written to it. */
  readonly screen: string
  readonly exitCode: number
  /** Afterwards. */
  readonly echoes: boolean
}

/**
 * Runs argv[2:]; argv[1] is JSON: the size and the steps. Prints JSON: what was on the screen, the exit code, and
 * whether the terminal echoes afterwards.
 */
const TYPIST = `
import fcntl, json, os, pty, select, struct, sys, termios
rows, columns, steps = json.loads(sys.argv[1])
# A slave end of our own keeps the terminal's settings readable after the program has gone.
master, slave = pty.openpty()
def resize(columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
resize(columns)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 64)
    os.execvp(sys.argv[2], sys.argv[2:])
screen = b''
seen = 0
for step in steps:
    shows = step['shows'].encode()
    while shows not in screen[seen:]:
        screen += os.read(master, 4096)
    seen = screen.index(shows, seen) + len(shows)
    if 'columns' in step:
        resize(step['columns'])
    os.write(master, step.get('types', '').encode())
# It may wait for its screen to be read, so both are waited for.
status = None
while status is None or select.select([master], [], [], 0)[0]:
    if select.select([master], [], [], 0.02)[0]:
        screen += os.read(master, 4096)
    if status is None:
        ended, code = os.waitpid(pid, os.WNOHANG)
        status = code if ended else None
echoes = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
print(json.dumps([screen.decode(), os.waitstatus_to_exitcode(status), echoes]))
`

/** Runs saslcached; ends with it, or at the deadline of the options. */
export async function runInTerminal(
  steps: readonly TerminalStep[],
  argv: readonly string[],
  { columns = 80, rows = 24, ...options }: TerminalOptions = {},
): Promise<TerminalResult> {
  const script = JSON.stringify([rows, columns, steps])
  const command = ['python3', '-c', TYPIST, script, SERVER_NODE, SERVER_PROGRAM, ...argv]
  const { stdout, stderr } = await runProgram(command, options)
  expect(stderr).toBe('')
  const [screen, exitCode, echoes] = JSON.parse(stdout) as [string, number, boolean]
  return { screen, exitCode, echoes }
}
