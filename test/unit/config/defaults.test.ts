/** A default that two layers state, because config may not import the one that has the reason. */
import { expect, test } from 'vitest'
import { OPTIONS } from '../../../src/config/options.ts'
import { DEFAULT_ITERATIONS } from '../../../src/credential/verifier.ts'

test('the iterations of new verifiers are those that the credential store chose', () => {
  expect(OPTIONS.scram_iterations.default).toBe(DEFAULT_ITERATIONS)
})
