/**
 * Each set once in its shortest form, on the built server and Debian's memcached: that the set runs
 * and its table says what it should. The figures of so short a run mean nothing, and none is tested.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { COMPILER } from './generator.mjs'
import { judgePart } from './memory.mjs'
import { outputOf } from './servers.mjs'

const TIMEOUT_MS = 300_000
const DIST = resolve(import.meta.dirname, '..', '..', 'dist')
const canRun =
  existsSync(DIST) &&
  outputOf(COMPILER, '--version') !== null &&
  outputOf('memcached', '-V') !== null

/** One run of the harness; no process of it is left when it is over. */
function run(...parameters) {
  return new Promise((resolveRun, reject) => {
    const words = [join(import.meta.dirname, 'run.mjs'), '--quick', ...parameters]
    execFile(process.execPath, words, (error, stdout, stderr) => {
      if (error === null) resolveRun(stdout)
      else reject(new Error(`${stdout}\n${stderr}`, { cause: error }))
    })
  })
}

describe.skipIf(!canRun)('the set', { timeout: TIMEOUT_MS }, () => {
  test('miss-ratio compares both servers at three sizes and sums up', async () => {
    const table = await run('--set', 'miss-ratio', '--only', 'cluster37')
    expect(table).toMatch(/^cluster37 +16( +0\.\d{4}){2}( +\d\.\d\d){2} +0\.\d{4} +\d+ \/ \d+$/m)
    expect(table.match(/^ +(32|64) +0\.\d{4} +0\.\d{4} /gm)).toHaveLength(2)
    expect(table).toMatch(/^mean ratio \d\.\d\d, target .*: (reached|MISSED)$/m)
  })

  test('memory fills both servers and holds items per MiB against the target', async () => {
    const table = await run('--set', 'memory', '--only', 'items-1000B')
    expect(table).toMatch(/^items-1000B +memcached( +[\d,.]+){5}$/m)
    expect(table).toMatch(
      /^ +saslcached( +[\d,.]+){5} +\d\.\d\d +items per MiB >= 0\.95 {2}(reached|MISSED)$/m,
    )
  })

  test('full fills both servers far beyond their memory and gets back what it stored', async () => {
    const table = await run('--set', 'full', '--only', 'full-64m')
    expect(table).toMatch(/^full-64m +memcached( +[\d,.]+)+ +[\d.]+ % +\d+$/m)
    expect(table).toMatch(
      /^ +saslcached( +[\d,.]+){5} +[\d.]+ % +\d+ +over -m <= 72 MiB {2}(reached|MISSED)$/m,
    )
  })

  test('stall measures the slowest reply at a fixed rate', async () => {
    const table = await run(
      ...['--set', 'stall', '--only', 'longest-stall-mix', '--seconds', '0.2'],
      ...['--servers', 'saslcached'],
    )
    expect(table).toMatch(
      /^longest-stall-mix +saslcached +\d.* slowest ms <= 10 \([\d.]+\) {2}(reached|MISSED)$/m,
    )
  })

  test('slices compares users of one server, two servers, and a server with itself', async () => {
    const table = await run(
      ...['--set', 'slices', '--rounds', '2'],
      ...['same', 'metrics', 'namespaces', 'tenants'].flatMap((kind) => [
        '--only',
        `${kind}-text-x50-100B-gets`,
      ]),
    )
    const figures = String.raw`( +\d+\.\d\d){2}( +\d\.\d{3} +\d\.\d{3}-\d+\.\d{3}){2} +2 +\d+`
    expect(table).toMatch(new RegExp(`^same-text-x50-100B-gets${figures}$`, 'm'))
    const outcome = String.raw` {2}CPU <= 1\.0\d {2}(reached|MISSED|not decided)$`
    for (const kind of ['metrics', 'namespaces', 'tenants']) {
      expect(table).toMatch(new RegExp(`^${kind}-text-x50-100B-gets${figures}${outcome}`, 'm'))
    }
  })

  test('threads compares saslcached with itself on one thread', async () => {
    const table = await run('--set', 'threads', '--only', 'x50-100B-gets-t2', '--seconds', '0.2')
    expect(table).toMatch(/^binary-x50-100B-gets-t2 +saslcached -t 1 +\d/m)
    expect(table).toMatch(/^ +saslcached -t 2 .* \d\.\d\d \(.* CPU <= 1\.15 {2}(reached|MISSED)$/m)
  })
})

describe('a part of the set memory', () => {
  const figures = (itemsPerMib, overMib) => ({ itemsPerMib, overMib })

  test('is judged by the ratio of items for each MiB, at the bound and below it', () => {
    const part = { leastRatio: 1.2, threads: 1 }
    const servers = { memcached: figures(1000, 5), saslcached: figures(1200, 70) }
    expect(judgePart(part, servers)).toMatchObject({ value: 1.2, isReached: true })
    servers.saslcached.itemsPerMib = 1199
    expect(judgePart(part, servers).isReached).toBe(false)
    expect(judgePart(part, { saslcached: figures(1, 1) }).isReached).toBeNull()
    expect(judgePart(part, { memcached: figures(1, 1) }).isReached).toBeNull()
  })

  test('is judged by the memory over -m, which may grow with the threads', () => {
    const outcome = (threads, overMib) =>
      judgePart({ leastRatio: null, threads }, { saslcached: figures(1, overMib) }).isReached
    expect([outcome(1, 60), outcome(1, 60.1)]).toEqual([true, false])
    expect([outcome(4, 96), outcome(4, 96.1)]).toEqual([true, false])
  })
})
