import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { findServer } from '../../../../src/server/files/running-server.ts'

interface Process {
  readonly words: readonly string[]
  readonly variables?: readonly string[] | undefined
  readonly user?: number
}

const SELF = process.geteuid?.() ?? 0
const OTHER = SELF + 1
const PROGRAM = 'saslcached.js'

/** A folder like /proc, and a program that `words` can name by its file's name alone. */
function system(processes: Readonly<Record<number, Process>>) {
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-proc-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const app = join(folder, 'app')
  mkdirSync(app)
  const program = join(app, PROGRAM)
  writeFileSync(program, '')
  symlinkSync(program, join(app, 'saslcached'))
  for (const [pid, { words, variables, user = SELF }] of Object.entries(processes)) {
    const own = join(folder, pid)
    mkdirSync(own)
    symlinkSync(app, join(own, 'cwd'))
    writeFileSync(join(own, 'cmdline'), words.map((word) => `${word}\0`).join(''))
    writeFileSync(join(own, 'status'), `Name:\tnode\nUid:\t${OTHER}\t${user}\t${user}\t${user}\n`)
    if (variables === undefined) continue
    writeFileSync(join(own, 'environ'), variables.map((text) => `${text}\0`).join(''))
  }
  return { folder, program, app }
}

function find(
  processes: Readonly<Record<number, Process>>,
  environment: Readonly<Record<string, string>> = {},
) {
  const { folder, program, app } = system(processes)
  const isServer = (argv: readonly string[]): boolean => argv[0] !== 'health'
  const found = findServer(program, environment, isServer, folder)
  return { found, app }
}

test('process 1 is the server of a container, with its own variables and arguments', () => {
  const words = ['node', '--disable-sigusr1', PROGRAM, '-p', '11222']
  const { found, app } = find(
    { 1: { words, variables: ['SASLCACHED_LISTEN=::1', 'A=b=c'], user: OTHER } },
    { SASLCACHED_PORT: '1' },
  )
  expect(found).toEqual({
    argv: ['-p', '11222'],
    environment: { SASLCACHED_LISTEN: '::1', A: 'b=c' },
    directory: app,
  })
})

test('process 1 whose variables may not be read has those of who asks', () => {
  const { found } = find({ 1: { words: ['node', PROGRAM] } }, { SASLCACHED_PORT: '11222' })
  expect(found).toHaveProperty('environment', { SASLCACHED_PORT: '11222' })
})

test('process 1 may be an init that was given the server to start', () => {
  const words = ['/sbin/docker-init', '--', 'node', PROGRAM, '-p', '11222']
  expect(find({ 1: { words, variables: [] } }).found).toMatchObject({ argv: ['-p', '11222'] })
})

test('a server that is not process 1 is found by a link to the program, and health checks are not', () => {
  const { found } = find({
    1: { words: ['/sbin/init'], variables: [] },
    7: { words: ['node', 'saslcached', '-s', '/s'], variables: ['PATH=/bin'] },
    8: { words: ['node', PROGRAM, 'health'], variables: [] },
    9: { words: [], variables: [] },
    10: { words: ['node', 'elsewhere/saslcached.js'], variables: [] },
  })
  expect(found).toHaveProperty('argv', ['-s', '/s'])
})

test.each([
  ['belongs to another user', { words: ['node', PROGRAM], variables: [], user: OTHER }],
  ['keeps its variables to itself', { words: ['node', PROGRAM] }],
  ['is another program', { words: ['node', '/bin/sh', '-p', '11222'], variables: [] }],
  ['is another file of that name', { words: ['vi', 'x.md', '/x/saslcached.js'], variables: [] }],
  ['asks for health', { words: ['node', PROGRAM, 'health'], variables: [] }],
])('a process that %s is not taken for the server', (_, process) => {
  expect(find({ 70: process }).found).toBe(undefined)
})

test('a server with other variables is not taken, and they are named', () => {
  const words = ['node', PROGRAM]
  const variables = ['SASLCACHED_PORT=2', 'SASLCACHED_THREADS=1', 'PATH=/bin']
  const ours = { SASLCACHED_THREADS: '1', MEMCACHED_USERNAME: 'alice', HOME: '/' }
  const other = { words, variables: ['SASLCACHED_THREADS=2', 'MEMCACHED_USERNAME=alice'] }
  expect(find({ 70: { words, variables }, 71: other }, ours).found).toEqual({
    differing: ['MEMCACHED_USERNAME', 'SASLCACHED_PORT', 'SASLCACHED_THREADS'],
  })
  const alike = { words, variables: ['MEMCACHED_USERNAME=alice', 'SASLCACHED_THREADS=1'] }
  const { found } = find({ 70: { words, variables }, 71: alike }, ours)
  expect(found).toMatchObject({ environment: { MEMCACHED_USERNAME: 'alice' } })
})

test('variables of those who ask servers make no difference', () => {
  const words = ['node', PROGRAM, '-p', '1']
  const server = { words, variables: ['SASLCACHED_PROFILE=x', 'SASLCACHED_THREADS=1'] }
  const ours = { SASLCACHED_SERVER: 'cache', SASLCACHED_PROFILE: 'prod', SASLCACHED_THREADS: '1' }
  expect(find({ 70: server }, ours).found).toMatchObject({ argv: ['-p', '1'] })
})

test('of several servers none is taken, unless they were started alike', () => {
  const first = { words: ['node', PROGRAM, '-p', '1'], variables: ['PATH=/bin'] }
  const second = { words: ['node', PROGRAM, '-p', '2'], variables: [] }
  expect(find({ 70: first, 71: second }).found).toBe('several')
  expect(find({ 70: first, 71: first }).found).toMatchObject({ argv: ['-p', '1'] })
})
