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

const filesOf = (pattern: RegExp): string[] =>
  readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name) && name !== 'house/alone.test.ts')
    .map((name) => `test/${name}`)

const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

test('who changes modules or the process has a process of its own, and nobody else', () => {
  const tracing = filesOf(/\.test\.m?[jt]s$/).filter((file) => TRACES.test(textOf(file)))
  expect(tracing.sort()).toEqual([...ALONE])
})

test('what a module has does not go with the first file of tests that has the module', () => {
  const shared = filesOf(/(?<!\.test)\.m?[jt]s$/)
  expect(shared.length).toBeGreaterThan(100)
  const ending = shared.filter((file) => /^(?:before|after)(?:All|Each)\(/m.test(textOf(file)))
  expect(ending).toEqual([])
})
