/**
 * Each name has one home, the file that declares it, and everybody imports it from there: with two ways to a name a
 * reader asks which is right, and who knows what (capabilities.test.ts) cannot be told from the imports. And each name
 * means one thing: a name that two files declare is either one thing said twice, or two things of which one is called by
 * the other's name.
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

const DECLARED =
  /^export (?:default )?(?:declare )?(?:abstract )?(?:async )?(?:class|interface|type|function\*?|const|let|enum) ([\w$]+)/gm

/** Each name that several files declare, and which. */
function declaredTwice(files: readonly SourceFile[]): string[] {
  const homes = new Map<string, Set<string>>()
  for (const { path, text } of files) {
    for (const [, name = ''] of text.matchAll(DECLARED)) {
      const known = homes.get(name)
      if (known === undefined) homes.set(name, new Set([path]))
      else known.add(path)
    }
  }
  return [...homes]
    .filter(([, paths]) => paths.size > 1)
    .map(([name, paths]) => `${name}: ${[...paths].map((path) => `src/${path}`).join(', ')}`)
}

test('no exported name is declared in two files', () => {
  expect(declaredTwice(sourceFiles())).toEqual([])
})

test('the checker sees declarations of each kind, and overloads in one file are one', () => {
  const kinds = [
    'class A {}',
    'abstract class B {}',
    'interface C {}',
    'type D = string',
    'function e(): void {}',
    'async function f(): Promise<void> {}',
    'const g = 1',
  ]
  const text = kinds.map((kind) => `export ${kind}`).join('\n')
  const told = declaredTwice([
    { path: 'a.ts', text },
    { path: 'b.ts', text: `${text}\nexport const h = 1\nconst i = 1` },
    { path: 'c.ts', text: 'export function j(): void\nexport function j(): void {}' },
    { path: 'd.ts', text: 'const h = 1\n  export const k = 1' },
  ])
  expect(told.map((line) => line.split(':')[0])).toEqual(['A', 'B', 'C', 'D', 'e', 'f', 'g'])
  expect(told[0]).toBe('A: src/a.ts, src/b.ts')
})
