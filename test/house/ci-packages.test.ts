/**
 * What the tests say must be installed, and what .ci/run installs, agree: on a fresh machine a
 * client that is missing would fail there, and only there.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')

function neededByTests(): string[] {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
  const lists = files.flatMap((text) => [...text.matchAll(/\bpackages: '([^']+)'/g)])
  return [...new Set(lists.flatMap(([, list = '']) => list.split(' ')))].sort()
}

function installedByCi(): string[] {
  const script = readFileSync(join(ROOT, '.ci', 'run'), 'utf8')
  const list = /^packages=\(\n(.*?)^\)$/ms.exec(script)?.[1] ?? ''
  return list.trim().split(/\s+/)
}

test('.ci/run installs every Debian package that a test asks for', () => {
  const installed = installedByCi()
  expect(neededByTests().filter((name) => !installed.includes(name))).toEqual([])
})

test('the packages of the clients are seen in the tests', () => {
  expect(neededByTests()).toEqual(
    expect.arrayContaining(['libmemcached-tools', 'memcached', 'php-memcached', 'ruby-dalli']),
  )
})
