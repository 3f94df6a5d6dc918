/**
 * Tests share processes and modules (vitest.config.ts). One that puts something in the place of a
 * module would do so for others, too, or come too late, and one that measures the memory of the process would
 * measure that of others; it stands in the list of those that have a process of their own.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ALONE } from '../alone.ts'

const ROOT = join(import.meta.dirname, '..', '..')
/** What others would notice, or what would notice others. */
const TRACES =
  /\bvi\.(?:mock|doMock|hoisted|spyOn|stubEnv|stubGlobal|useFakeTimers)\b|process\.memoryUsage|getHeapSpaceStatistics|\byieldToEventLoops\(/

test('who changes modules or the process has a process of its own, and nobody else', () => {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.test\.m?[jt]s$/.test(name) && name !== 'house/alone.test.ts')
    .map((name) => `test/${name}`)
  const tracing = files.filter((file) => TRACES.test(readFileSync(join(ROOT, file), 'utf8')))
  expect(tracing.sort()).toEqual([...ALONE])
})
