/**
 * The lock file must hold every platform's optional packages, or `npm ci` refuses it outright:
 * npm leaves out those that the registry at hand does not carry.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

interface LockFile {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >
}

test('every optional dependency that the lock file names has an entry in it', () => {
  const path = join(import.meta.dirname, '..', '..', 'package-lock.json')
  const { packages } = JSON.parse(readFileSync(path, 'utf8')) as LockFile
  const missing = Object.entries(packages).flatMap(([owner, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) =>
        packages[`node_modules/${name}`] === undefined &&
        packages[`${owner}/node_modules/${name}`] === undefined,
    ),
  )
  expect(missing).toEqual([])
})
