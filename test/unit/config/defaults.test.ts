/** Defaults that two layers state, because config may not import the one that has the reason. */
import { expect, test } from 'vitest'
import { OPTIONS } from '../../../src/config/options.ts'
import { DEFAULT_ITERATIONS } from '../../../src/credential/verifier.ts'
import { DEFAULT_MECHANISMS } from '../../../src/sasl/environment.ts'

test('the announced mechanisms and the iterations are those that credential and sasl chose', () => {
  expect(OPTIONS.mechanisms.default).toEqual(DEFAULT_MECHANISMS)
  expect(OPTIONS.scram_iterations.default).toBe(DEFAULT_ITERATIONS)
})
