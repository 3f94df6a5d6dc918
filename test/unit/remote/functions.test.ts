import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { FUNCTIONS, FUNCTIONS_VERSION } from '../../../src/remote/functions.ts'

/** The code of each version: who changes it raises the version, as gates of two versions share the nodes. */
const DIGESTS: Readonly<Record<number, string>> = {
  1: 'eadd79f4ba637db6',
}

test('code that has changed has another version', () => {
  const digest = createHash('sha256').update(FUNCTIONS).digest('hex').slice(0, 16)
  expect(digest).toBe(DIGESTS[FUNCTIONS_VERSION])
})
