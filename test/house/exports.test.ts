/**
 * Each name has one home, the file that declares it, and everybody imports it from there: with two ways to a name a
 * reader asks which is right, and who knows what (capabilities.test.ts) cannot be told from the imports.
 */
import { expect, test } from 'vitest'
import { type SourceFile, sourceFiles } from './sources.ts'

const PASSED_ON = /^export (?:type )?(?:\*|\{)/gm

const ALLOWED: Readonly<Record<string, string>> = {
  'command/commands.ts': 'connections hold values of a store, and may not import it',
}

function passedOn({ path, text }: SourceFile): string[] {
  if (path in ALLOWED) return []
  return [...text.matchAll(PASSED_ON)].map(
    ({ index }) =>
      `src/${path}:${text.slice(0, index).split('\n').length}: import it from the file that declares it`,
  )
}

test('no file passes on what another one declares', () => {
  expect(sourceFiles().flatMap(passedOn)).toEqual([])
})

test('every file that may still does', () => {
  const doing = sourceFiles().filter(({ text }) => text.search(PASSED_ON) >= 0)
  expect(Object.keys(ALLOWED).filter((path) => !doing.some((file) => file.path === path))).toEqual(
    [],
  )
})

test('the checker sees it in each form, and no declaration', () => {
  const text = [
    `export * from './a.ts'`,
    `export { b } from './b.ts'`,
    `export type { C } from './c.ts'`,
    `export { d, type E }`,
    'export const f = 1',
    'export type G = { readonly h: number }',
    'export function i(): void {}',
  ].join('\n')
  const told = passedOn({ path: 'a.ts', text }).map((line) => line.split(':')[1])
  expect(told).toEqual(['1', '2', '3', '4'])
})
