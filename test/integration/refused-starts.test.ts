/** Starts that are refused: what is said of each, and the exit code. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'
import {
  asUser,
  connect,
  EXIT_CONFIG,
  EXIT_OS,
  events,
  expectEndSoon,
  expectServed,
  isRoot,
  NOBODY,
  needProgramForAll,
  run,
  serve,
  stop,
  temporary,
  until,
  usersFile,
} from '../support/server-process.ts'

test('a port in use is said on stderr, with exit code 71', async () => {
  const first = await serve(['--no-auth'])
  const second = run(['--no-auth', '-l', '127.0.0.1', '-p', String(first.port)])
  expect(await second.exited).toEqual({ code: EXIT_OS, signal: null })
  expect(second.stderr).toContain(`cannot listen on 127.0.0.1:${first.port}`)
  expect(second.stderr).toContain('the address is in use')
  expect(second.stderr).not.toMatch(/\n\s+at /)
  await expectServed(await connect(first))
  await stop(first)
})

test('an address of another machine is said on stderr, with exit code 71', async () => {
  const refused = run(['--no-auth', '-l', '192.0.2.1', '-p', '-1'])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain('no interface of this machine has that address')
})

test('all problems of the command line are told at once, with exit code 78', async () => {
  const refused = run(['-c', '0', '-I', '2g', '--no-such-flag', '--users-file', '/no/such/file'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  for (const part of ['-c', '-I', '--no-such-flag', '/no/such/file']) {
    expect(refused.stderr).toContain(part)
  }
  expect(refused.stderr).not.toMatch(/\n\s+at /)
  expect(refused.stdout).toBe('')
})

test('a broken configuration file is refused with its line', async () => {
  const file = join(temporary(), 'saslcached.toml')
  writeFileSync(file, '[network]\nport = 11211\n\n[memory]\nmemory_limit_mib = "much"\n')
  const refused = run(['--config', file])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain(`${file}:5`)
})

test.each([
  ['is broken', '[users.alice]\npassword = "unfinished\n', ':2'],
  ['is empty', '', 'empty'],
  ['has an unknown key', '[users.alice]\npasword = "x"\n', ':'],
])('a users file that %s is refused, with exit code 78', async (_, content, told) => {
  const file = usersFile(temporary(), content)
  const refused = run(['--users-file', file, '-l', '127.0.0.1', '-p', '-1'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain(file)
  expect(refused.stderr).toContain(told)
  expect(refused.stderr).not.toContain('unfinished')
  expect(refused.stderr).not.toMatch(/\n\s+at /)
})

test('a pipe in the place of a file of the configuration ends the start with 78, and no reload', async () => {
  const directory = temporary()
  const pipe = join(directory, 'pipe')
  expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
  const common = ['-l', '127.0.0.1', '-p', '-1']
  for (const [flags, sentence] of [
    [['--users-file', pipe], 'this is a pipe, not a regular file'],
    [['-Y', pipe], 'this is a pipe, not a regular file'],
    [['--no-auth', '--config', pipe], 'is a pipe that nobody writes into'],
  ] as const) {
    const refused = run([...common, ...flags])
    expect(await refused.exited).toEqual({ code: EXIT_CONFIG, signal: null })
    expect(refused.stderr + refused.stdout).toContain(sentence)
  }
  const users = usersFile(directory)
  const server = await serve(['--log-format', 'json', '--users-file', users])
  renameSync(pipe, users)
  server.child.kill('SIGHUP')
  await until(() => events(server).find((event) => event === 'credentials_refused'), 'the refusal')
  await expectEndSoon(server)
})

test('a users file that is a directory is refused, with exit code 78', async () => {
  const refused = run(['--users-file', temporary(), '-l', '127.0.0.1', '-p', '-1'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain('directory')
})

test.runIf(isRoot)('a users file that only root may read is refused to others', async (context) => {
  needProgramForAll(context)
  // Root may read everything, so the one who may not is made by setpriv.
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-process-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const file = usersFile(directory)
  const flags = ['--users-file', file, '-l', '127.0.0.1', '-p', '-1']
  const [launcher = '', ...args] = asUser(NOBODY, NOBODY)
  const child = spawn(launcher, [...args, SERVER_NODE, SERVER_PROGRAM, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = (await once(child, 'close')) as [number]
  expect([code, stderr]).toEqual([EXIT_CONFIG, expect.stringContaining(file)])
})

test.each([
  ['is not there', 'no/server.sock', 'the directory of the socket does not exist'],
  ['is a file', 'file/server.sock', 'is not a directory'],
])('a Unix socket in a directory that %s is told as such', async (_, name, told) => {
  const directory = temporary()
  writeFileSync(join(directory, 'file'), '')
  const refused = run(['--no-auth', '-s', join(directory, name)])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain(told)
  expect(refused.stderr).not.toContain('permission')
})

test('-s refuses to replace what is no socket', async () => {
  const path = join(temporary(), 'precious')
  writeFileSync(path, 'data')
  const refused = run(['--no-auth', '-s', path])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain(path)
  expect(readFileSync(path, 'utf8')).toBe('data')
})

test('-p 0 turns TCP off: alone it is refused, with -s the socket is all there is', async () => {
  const refused = run(['--no-auth', '-p', '0'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain('-p: 0 turns TCP off, and there is no Unix socket')
  const path = join(temporary(), 'server.sock')
  const server = run(['--no-auth', '-p', '0', '-s', path])
  await until(() => (events(server).includes('started') ? true : undefined), 'the start')
  expect(events(server).filter((event) => event === 'listening')).toHaveLength(1)
  const socket = connectSocket({ path })
  await once(socket, 'connect')
  const client = new BinaryClient(socket)
  await expectServed(client)
  client.destroy()
  await stop(server)
})

test.runIf(isRoot)('-u with nobody of that name is refused, with exit code 71', async () => {
  const refused = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', '-u', 'no-such-user'])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain('no-such-user')
})
