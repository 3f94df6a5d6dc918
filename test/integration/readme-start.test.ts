/**
 * The start that README shows for a lasting user, as a user does it: its own two lines, in an empty directory,
 * with nothing turned off. Guesses are throttled then, and whoever logged in rightly stays welcome.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { runProgram } from '../support/program.ts'
import { type LogRecord, SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const PASSWORD = 'correct-horse'
const ROOT = join(import.meta.dirname, '..', '..')
/** Where nobody has logged in rightly. */
const ELSEWHERE = '127.0.0.9'
/** One more than a source and a user have until they are refused (--throttle-failures). */
const GUESSES = 11

/** The lines of the block that makes a user and serves with it, as programs to run. */
function readmeLines(): readonly (readonly string[])[] {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const block = /To make a lasting user:\n\n```sh\n([^`]*)```/.exec(readme)?.[1] ?? ''
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const lines = block.trim().split('\n')
  return lines.map((line) => {
    const words = line.replace('npm start --', scripts.start.replace('exec ', '')).split(' ')
    const program = words.indexOf('dist/bin/saslcached.js')
    expect([words[0], program]).toEqual(['node', line.startsWith('npm') ? 2 : 1])
    return [SERVER_NODE, ...words.slice(1, program), SERVER_PROGRAM, ...words.slice(program + 1)]
  })
}

function login(user: string, password: string): string {
  const message = `\0${user}\0${password}`
  return `sasl auth PLAIN ${message.length}\r\n${message}\r\n`
}

async function loginFrom(localAddress: string, port: number, password: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  socket.write(login('alice', password))
  const [answer] = await once(socket, 'data')
  socket.destroy()
  return String(answer)
}

test('README’s two lines make a user and serve it, and guesses at its password are throttled', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'readme-start-'))
  const environment = { HOME: directory, PATH: process.env.PATH ?? '' }
  const [add = [], serve = []] = readmeLines()
  const added = await runProgram(add, { directory, environment, input: `${PASSWORD}\n` })
  expect([added.exitCode, added.stderr]).toEqual([0, expect.not.stringContaining(PASSWORD)])
  expect(statSync(join(directory, 'users.toml')).mode & 0o777).toBe(0o600)
  expect(readFileSync(join(directory, 'users.toml'), 'utf8')).not.toContain(PASSWORD)

  // On a port of its own, and read by a program; all else is as it comes.
  const [program = '', ...words] = serve
  const flags = ['-l', '127.0.0.1', '-p', '-1', '--log-format', 'json']
  const child = spawn(program, [...words, ...flags], { cwd: directory, env: environment })
  onTestFinished(async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
    rmSync(directory, { recursive: true })
  })
  const records: LogRecord[] = []
  createInterface(child.stderr).on('line', (line) => records.push({ stderr: line }))
  createInterface(child.stdout).on('line', (line) => records.push(JSON.parse(line)))
  const record = async (wanted: string): Promise<LogRecord> => {
    const find = (): LogRecord | undefined => records.find(({ event }) => event === wanted)
    await expect.poll(find, { timeout: 60_000, message: JSON.stringify(records) }).toBeDefined()
    return find() ?? {}
  }
  const port = Number((await record('listening')).port)
  await record('started')

  const target = { host: '127.0.0.1', port }
  const alice = new TextClient(target)
  expect(await alice.ask('get greeting\r\n')).toMatch(/^CLIENT_ERROR/)
  expect(await alice.ask(login('alice', PASSWORD))).toBe('SASL_OK\r\n')
  expect(await alice.ask('set greeting 0 0 5\r\nhello\r\n')).toBe('STORED\r\n')
  for (let index = 0; index < GUESSES; index++) {
    expect(await loginFrom(ELSEWHERE, port, `guess${index}`)).toBe('AUTH_ERROR\r\n')
  }
  await record('throttle_began')
  const again = new TextClient(target)
  expect(await again.ask(login('alice', PASSWORD))).toBe('SASL_OK\r\n')
  expect(await again.ask('get greeting\r\n', 'END\r\n')).toContain('hello')
})
