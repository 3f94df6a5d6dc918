/** Whose a Unix socket is, and who can connect to it: users and groups of the test's own, by number. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { inheritedEnvironment } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'
import { asUser, isRoot, NOBODY, needProgramForAll } from '../support/server-process.ts'

const EXIT_OS = 71
const OWNER = NOBODY
const GROUP = 54_321
const OTHER_GROUP = 54_322
/** Exit code 0: connected. */
const CONNECT = `require('net').connect(process.argv[1]).on('connect', () => process.exit(0)).on('error', () => process.exit(1))`

interface Started {
  readonly output: Promise<string>
  readonly code: Promise<number | null>
}

/** In a directory that everybody may enter. */
function socketPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-group-'))
  chmodSync(directory, 0o777)
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'cache.sock')
}

/** Resolves `output` when the server is ready, or at its end. */
function start(flags: readonly string[], as: readonly string[] = []): Started {
  const [file = '', ...args] = [...as, SERVER_NODE, SERVER_PROGRAM, '--no-auth', ...flags]
  const child = spawn(file, args, {
    env: inheritedEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let text = ''
  const output = new Promise<string>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part
        if (text.includes('"started"')) resolve(text)
      })
    }
    child.once('close', () => resolve(text))
  })
  const code = once(child, 'close').then(([exitCode]) => exitCode as number | null)
  return { output, code }
}

function canConnect(path: string, uid: number, gid: number): boolean {
  const [file = '', ...args] = [...asUser(uid, gid), SERVER_NODE, '-e', CONNECT, path]
  return spawnSync(file, args, { stdio: 'ignore', cwd: '/' }).status === 0
}

function accessOf(path: string): unknown {
  const { uid, gid, mode } = statSync(path)
  return { uid, gid, mode: (mode & 0o777).toString(8) }
}

test.runIf(isRoot)('with -u, the socket is of that user and of --unix-group', async (context) => {
  needProgramForAll(context)
  const path = socketPath()
  const flags = ['-s', path, '-a', '770', '--unix-group', String(GROUP), '-u', String(OWNER)]
  const { output } = start(flags)
  expect(await output).toContain('"started"')
  expect(accessOf(path)).toEqual({ uid: OWNER, gid: GROUP, mode: '770' })
  expect(canConnect(path, 12_345, GROUP)).toBe(true)
  expect(canConnect(path, 12_345, OTHER_GROUP)).toBe(false)
})

test.runIf(isRoot)('a name of /etc/group is its number', async () => {
  const [name = '', , number] =
    readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([, , id]) => id !== '0') ?? []
  const path = socketPath()
  const { output } = start(['-s', path, '-a', '770', '--unix-group', name])
  expect(await output).toContain('"started"')
  expect(accessOf(path)).toMatchObject({ gid: Number(number), mode: '770' })
})

test.each(['no such group', '4294967295', '-1', '../passwd'])(
  'the group %j is refused by a sentence, and no socket is left',
  async (group) => {
    const path = socketPath()
    const { output, code } = start(['-s', path, '-a', '770', '--unix-group', group])
    expect(await code).toBe(EXIT_OS)
    expect(await output).toContain(
      `saslcached: --unix-group ${group}: there is no such group in /etc/group\n`,
    )
    expect(existsSync(path)).toBe(false)
  },
)

test.runIf(isRoot)('without root, only a group that one is in can be given', async (context) => {
  needProgramForAll(context)
  const path = socketPath()
  const flags = ['-s', path, '-a', '770', '--unix-group', String(GROUP)]
  const stranger = start(flags, asUser(OWNER, OWNER))
  expect(await stranger.code).toBe(EXIT_OS)
  expect(await stranger.output).toContain('is not in that group, and is not root')
  expect(existsSync(path)).toBe(false)
  const member = start(flags, asUser(OWNER, OWNER, GROUP))
  expect(await member.output).toContain('"started"')
  expect(accessOf(path)).toEqual({ uid: OWNER, gid: GROUP, mode: '770' })
})

test("one's own group can be given by whoever one is", async () => {
  const path = socketPath()
  const group = process.getgid?.() ?? 0
  const { output } = start(['-s', path, '-a', '770', '--unix-group', String(group)])
  expect(await output).toContain('"started"')
  expect(accessOf(path)).toMatchObject({ gid: group, mode: '770' })
})
