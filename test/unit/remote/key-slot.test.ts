import { expect, test } from 'vitest'
import { slotOf } from '../../../src/remote/key-slot.ts'

/** As redis-server 7.0.15 answers CLUSTER KEYSLOT. */
test.each([
  ['123456789', 12739],
  ['foo', 12182],
  ['{foo}bar', 12182],
  ['bar{foo}', 12182],
  ['{}{foo}', 2263],
  ['foo{bar', 15278],
  ['', 0],
])('%j is in slot %d', (key, slot) => {
  expect(slotOf(Buffer.from(key))).toBe(slot)
})
