/** What nobody holds is gone after a collection, and nobody else has been given the call for it. */
import { setImmediate } from 'node:timers/promises'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { collectGarbage } from '../../../src/base/collect-garbage.ts'

const dropped = (): WeakRef<object> => new WeakRef(Buffer.allocUnsafeSlow(64))

const isSupported = Number.parseInt(process.versions.node, 10) >= 22

test('what nobody holds is collected', async () => {
  const reference = dropped()
  // In the turn in which it was made, a WeakRef holds what it refers to.
  await setImmediate()
  expect(collectGarbage()).toBe(isSupported)
  if (isSupported) expect(reference.deref()).toBeUndefined()
})

test('contexts that are made later have no such call', () => {
  collectGarbage()
  expect(runInNewContext('typeof gc')).toBe('undefined')
})
