/**
 * For loops of many thousand comparisons: an `expect` costs more than most operations of the store, so
 * it is only made where it will fail, for its message.
 */
import { expect } from 'vitest'

export function mustBe<Value>(actual: Value, expected: Value, message?: string): void {
  if (!Object.is(actual, expected)) expect(actual, message).toBe(expected)
}
