/**
 * What this package says about itself, found from wherever this file is run: as a source or from
 * dist/.
 */
import { readFileSync } from 'node:fs'

export function readVersion(): string {
  return String(findPackage()?.version ?? 'unknown')
}

/** The text of the licence. */
export function readLicense(): string {
  const found = findPackage()
  if (found === undefined) return 'MIT\n'
  return readFileSync(new URL('LICENSE', found.directory), 'utf8')
}

interface Package {
  readonly directory: URL
  readonly version: unknown
}

function findPackage(): Package | undefined {
  for (let directory = new URL('./', import.meta.url); ; directory = new URL('../', directory)) {
    try {
      const { name, version } = JSON.parse(
        readFileSync(new URL('package.json', directory), 'utf8'),
      ) as Record<string, unknown>
      if (name === 'saslcached') return { directory, version }
    } catch {
      // Not here: one directory up.
    }
    if (directory.pathname === '/') return undefined
  }
}
