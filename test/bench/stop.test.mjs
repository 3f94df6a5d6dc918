/** A run of the harness that is stopped by a signal: its processes end with it, and what was complete is shown. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { COMPILER } from './generator.mjs'
import { outputOf } from './servers.mjs'

const TIMEOUT_MS = 300_000
const DIST = resolve(import.meta.dirname, '..', '..', 'dist')
const canRun = existsSync(DIST) && outputOf(COMPILER, '--version') !== null

/** What is read of a process that may be gone. */
function readOr(nothing, ...path) {
  try {
    return readFileSync(join('/proc', ...path), 'utf8')
  } catch {
    return nothing
  }
}

const commandOf = (pid) => readOr('', String(pid), 'cmdline').replaceAll('\0', ' ')
const childrenOf = (pid) =>
  readOr('', String(pid), 'task', String(pid), 'children').trim().split(' ').map(Number)

/** A run under way, with what it has printed and which generators it has started. */
function start(...parameters) {
  const words = [join(import.meta.dirname, 'run.mjs'), '--servers', 'saslcached', ...parameters]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  const printed = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8')
    child[stream].on('data', (text) => {
      printed[stream] += text
    })
  }
  const generators = new Set()
  const isGenerator = (pid) => commandOf(pid).includes('--server-pid')
  return {
    printed,
    hasGenerator: () => childrenOf(child.pid).some(isGenerator),
    /** How many generators have been seen so far. */
    generatorCount() {
      for (const pid of childrenOf(child.pid)) if (isGenerator(pid)) generators.add(pid)
      return generators.size
    },
    async stop(signal) {
      // Between two generators there is none for a moment.
      let owned = childrenOf(child.pid)
      while (owned.length < 2 && child.exitCode === null) {
        await new Promise((next) => setTimeout(next, 5))
        owned = childrenOf(child.pid)
      }
      child.kill(signal)
      return await new Promise((resolveEnd) => {
        child.on('close', (code) => resolveEnd({ code, owned, ...printed }))
      })
    },
  }
}

describe.skipIf(!canRun)('a run that is stopped', { timeout: TIMEOUT_MS }, () => {
  const cases = ['binary-x1-100B-gets', 'binary-x50-100B-gets']

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('by %s prints the cases that were complete and leaves no process', async (signal, code) => {
    const run = start(
      '--rounds',
      '1',
      '--seconds',
      '5',
      ...cases.flatMap((name) => ['--only', name]),
    )
    await expect.poll(() => run.printed.stderr, { timeout: 100_000 }).toContain('[2/')
    // Those of the first case are over by then.
    await expect.poll(() => run.hasGenerator(), { timeout: 100_000 }).toBe(true)
    const ended = await run.stop(signal)
    expect(ended.stdout).toMatch(new RegExp(String.raw`^${cases[0]} +saslcached +\d`, 'm'))
    expect(ended.stdout).not.toMatch(new RegExp(`^${cases[1]} `, 'm'))
    expect(ended.stderr).toContain(`Stopped by ${signal}: above is what was complete.`)
    expect(ended.code).toBe(code)
    expect(ended.owned.length).toBeGreaterThanOrEqual(2)
    await expect.poll(() => ended.owned.filter((pid) => commandOf(pid) !== '')).toEqual([])
  })

  test('prints of the part under way the starts that were complete', async () => {
    const part = 'same-text-x50-100B-gets'
    const run = start('--set', 'slices', '--only', part, '--rounds', '50', '--seconds', '0.5')
    // The second generator runs: the first start is over.
    await expect
      .poll(() => run.generatorCount(), { timeout: 100_000, interval: 20 })
      .toBeGreaterThanOrEqual(2)
    const { code, stdout } = await run.stop('SIGINT')
    expect(stdout).toMatch(new RegExp(String.raw`^${part} +\d+\.\d\d .* [1-9]\d* +\d+ *$`, 'm'))
    expect(code).toBe(130)
  })
})
