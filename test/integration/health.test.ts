/** `saslcached health` without a word about where: the server that runs is found as it was started. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import { inheritedEnvironment, type ProgramResult, runProgram } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'

/** So that no server of another test is started with the same variables. */
const MARK = { MEMCACHED_PORT_FILENAME: '' }

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-health-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  MARK.MEMCACHED_PORT_FILENAME = join(directory, 'port')
  return directory
}

async function start(
  flags: readonly string[],
  directory: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<ChildProcess> {
  const words = [SERVER_PROGRAM, '--no-auth', '--log-format', 'json', ...flags]
  const child = spawn(SERVER_NODE, words, {
    cwd: directory,
    env: { ...inheritedEnvironment(), ...MARK, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  for await (const line of createInterface(child.stdout)) {
    if (line.includes('"event":"started"')) return child
  }
  throw new Error('the server did not start')
}

async function health(
  flags: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProgramResult> {
  return await runProgram([SERVER_NODE, SERVER_PROGRAM, 'health', ...flags], {
    environment: { ...MARK, ...environment },
  })
}

const HEALTHY = { exitCode: 0, stdout: expect.stringMatching(/^healthy: version /), stderr: '' }

test('a server is healthy by -p, -l, a socket beside it, a file and variables', async () => {
  const directory = makeDirectory()
  const port = String(await freePort())
  writeFileSync(join(directory, 'own.toml'), `[network]\nlisten = ["127.0.0.1:${port}"]\n`)
  const ways: readonly (readonly [readonly string[], Readonly<Record<string, string>>])[] = [
    [['-p', port], {}],
    [['-l', `127.0.0.1:${port}`], {}],
    [['serve', '-s', 'own.sock'], {}],
    [['--config', 'own.toml'], {}],
    [['memcached', '-l', '127.0.0.1'], { SASLCACHED_PORT: port }],
    [['-p', '-1', '-l', '127.0.0.1'], {}],
  ]
  for (const [flags, environment] of ways) {
    const child = await start(flags, directory, environment)
    await expect
      .poll(() => health([], environment), { message: String(flags) })
      .toMatchObject(HEALTHY)
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  }
})

test('health that is told where to look looks nowhere else', async () => {
  const directory = makeDirectory()
  const port = await freePort()
  await start(['-p', String(port)], directory)
  const elsewhere = String(await freePort())
  for (const flags of [['-p', elsewhere], [`127.0.0.1:${elsewhere}`], ['-s', '/nonexistent']]) {
    expect((await health(flags)).exitCode).toBe(1)
  }
  await expect.poll(() => health([`127.0.0.1:${port}`])).toMatchObject(HEALTHY)
})

test('variables of the client alone do not hide a server, and others that do are named', async () => {
  const directory = makeDirectory()
  const port = await freePort()
  await start(['-p', String(port)], directory)
  const ofClient = { SASLCACHED_SERVER: `127.0.0.1:${port}`, SASLCACHED_PROFILE: 'prod' }
  await expect.poll(() => health([], ofClient)).toMatchObject(HEALTHY)
  const { exitCode, stderr } = await health([], { SASLCACHED_PORT: String(await freePort()) })
  expect(exitCode).toBe(1)
  // Servers of other tests may run here as well.
  expect(stderr).toMatch(
    /^unhealthy: 127\.0\.0\.1:\d+: cannot be reached: .*\n {2}A server runs here that was started with other variables \(.*SASLCACHED_PORT.*\), so the configured address was asked; name another\.\n$/,
  )
})

test('of a server that does not answer health says so', async () => {
  const directory = makeDirectory()
  const port = await freePort()
  const child = await start(['-p', String(port)], directory)
  child.kill('SIGSTOP')
  const ended = await health()
  expect(ended.exitCode).toBe(1)
  expect(ended.stderr).toBe(`unhealthy: 127.0.0.1:${port}: no answer within 3000 ms\n`)
})
