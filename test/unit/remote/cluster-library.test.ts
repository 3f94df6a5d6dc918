/** What is taken from the library is what it does not use for what it is asked here. */
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { COMMANDS, loadLibrary } from '../../../src/remote/cluster-library.ts'

const require = createRequire(import.meta.url)
const folder = dirname(require.resolve('@redis/client/package.json'))
/** Of the whole library they are more than 500. */
const FILES_MAX = 120

function sourceOf(...path: string[]): string {
  return readFileSync(join(folder, 'dist', 'lib', ...path), 'utf8')
}

test('of the release that is installed most files are left out', () => {
  loadLibrary()
  const loaded = Object.keys(require.cache).filter((path) => path.startsWith(folder))
  expect(loaded.length).toBeGreaterThan(10)
  expect(loaded.length).toBeLessThan(FILES_MAX)
})

test('each command that the library names itself is in the table', () => {
  const names = new Set<string>()
  for (const place of ['client', 'cluster']) {
    for (const file of readdirSync(join(folder, 'dist', 'lib', place))) {
      if (!file.endsWith('.js')) continue
      const named = sourceOf(place, file).matchAll(/\bcommands_1\.default\.(\w+)/g)
      for (const [, name = ''] of named) names.add(name)
    }
  }
  // That one is called by its method.
  expect(sourceOf('cluster', 'cluster-slots.js')).toContain('client.clusterSlots()')
  names.add('CLUSTER_SLOTS')
  expect([...names].sort()).toEqual(Object.keys(COMMANDS).sort())
})

test('a command of the table is that of the library', () => {
  const table = sourceOf('commands', 'index.js')
  for (const [name, method] of Object.entries(COMMANDS)) {
    for (const key of [name, method]) expect(table).toContain(` ${key}: ${name}_1.default`)
  }
})
