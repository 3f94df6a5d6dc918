/** What nobody holds is gone after a collection, and nobody has been given the call for it when all threads have collected. */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { collectGarbage } from '../../../src/base/collect-garbage.ts'

const dropped = (): WeakRef<object> => new WeakRef(Buffer.allocUnsafeSlow(64))

const isSupported = Number.parseInt(process.versions.node, 10) >= 22
/** Without it threads cannot load the source. */
const readsTypes = 'typescript' in process.features && Boolean(process.features.typescript)

test('what nobody holds is collected', async () => {
  const reference = dropped()
  // In the turn in which it was made, a WeakRef holds what it refers to.
  await setImmediate()
  expect(collectGarbage(true)).toBe(isSupported)
  if (isSupported) expect(reference.deref()).toBeUndefined()
})

test.runIf(isSupported && readsTypes)(
  'threads that collect at the same time take the call from nobody',
  async () => {
    const url = new URL('../../../src/base/collect-garbage.ts', import.meta.url).href
    const program = `import(${JSON.stringify(url)}).then(({ collectGarbage }) => {
      const collected = Array.from({ length: 10 }, () => collectGarbage(false))
      require('node:worker_threads').parentPort.postMessage(collected.every(Boolean))
    })`
    const threads = Array.from(
      { length: 4 },
      () => new Worker(program, { eval: true, execArgv: [] }),
    )
    const answers = await Promise.all(threads.map((thread) => once(thread, 'message')))
    expect(answers).toEqual(threads.map(() => [true]))
    collectGarbage(true)
    expect(runInNewContext('typeof gc')).toBe('undefined')
  },
)

test('contexts that are made later have no such call', () => {
  collectGarbage(true)
  expect(runInNewContext('typeof gc')).toBe('undefined')
})
