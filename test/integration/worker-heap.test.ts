/**
 * How far a heap grows before its next collection (src/server/main/worker-heap.ts), as V8 says itself of a server whose worker
 * collects twice when it has started: `Limit: old size: 9149 KB, new limit: 37642 KB`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startSaslcached } from '../support/server.ts'

const LIMIT = /\[HeapController\] Limit: old size: (\d+) KB, new limit: (\d+) KB/g
/** Of what V8 counts besides, buffers for one: it is in the limit, and not in the size. */
const BESIDES_SHARE = 0.3

/** The limits after the collections of a server's threads, as multiples of what each left. */
async function limitsOf(nodeFlags: readonly string[]): Promise<readonly number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-heap-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const collects = join(folder, 'collects.cjs')
  writeFileSync(
    collects,
    "if (!require('node:worker_threads').isMainThread) for (const ms of [100, 200]) setTimeout(gc, ms)\n",
  )
  const server = await startSaslcached({
    nodeFlags: ['--expose-gc', '--trace-gc-verbose', ...nodeFlags],
    environment: { NODE_OPTIONS: `--require ${collects}` },
  })
  onTestFinished(() => server.stop())
  const limits = () =>
    [...server.output().matchAll(LIMIT)].map(([, old, limit]) => Number(limit) / Number(old))
  await expect.poll(() => limits().length).toBeGreaterThan(1)
  return limits()
}

test('a heap grows to four times what was left, whatever V8 makes of its own speed', async () => {
  const limits = await limitsOf([])
  expect(Math.min(...limits)).toBeGreaterThan(4 - BESIDES_SHARE)
  // By its own measure V8 comes to two or four: to two at least once on Node 24 and 26, on 20 and 22 not in each run.
  expect(Math.max(...limits)).toBeLessThan(4 + 2 * BESIDES_SHARE)
})

test('what the operator gave Node stands', async () => {
  expect(Math.min(...(await limitsOf(['--heap-growing-percent=500'])))).toBeGreaterThan(
    6 - BESIDES_SHARE,
  )
})
