/**
 * No file imports itself by way of others, also not for a type alone: who reads one file of a circle
 * has to read all of them. The linter looks at imports of values only.
 */
import { expect, test } from 'vitest'
import { importsOf, type SourceFile, sourceFiles } from './sources.ts'

/** Files that all reach each other, a line each, the largest circles there are. */
function circlesOf(files: readonly SourceFile[]): string[] {
  const targets = new Map(
    files.map((file) => [file.path, importsOf(file).flatMap(({ target }) => target ?? [])]),
  )
  const reached = new Map([...targets.keys()].map((path) => [path, reach(path, targets)]))
  const circles = new Set<string>()
  for (const [path, others] of reached) {
    if (!others.has(path)) continue
    const circle = [...others].filter((other) => reached.get(other)?.has(path) === true)
    circles.add(circle.sort().join(' <-> '))
  }
  return [...circles].sort()
}

function reach(path: string, targets: ReadonlyMap<string, readonly string[]>): Set<string> {
  const found = new Set<string>()
  const open = [...(targets.get(path) ?? [])]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (found.has(next)) continue
    found.add(next)
    open.push(...(targets.get(next) ?? []))
  }
  return found
}

test('no files import each other in a circle', () => {
  expect(circlesOf(sourceFiles())).toEqual([])
})

test('the checker sees a circle of types over three files, and no other', () => {
  const files = [
    { path: 'a.ts', text: `import type { B } from './b.ts'` },
    { path: 'b.ts', text: `export type { C } from './c.ts'` },
    { path: 'c.ts', text: `type A = import('./a.ts').A` },
    { path: 'd.ts', text: `import { a } from './a.ts'` },
  ]
  expect(circlesOf(files)).toEqual(['a.ts <-> b.ts <-> c.ts'])
})
