/**
 * The version in package.json, found from wherever this file is run: as a source or from dist/.
 */
import { readFileSync } from 'node:fs'

export function readVersion(): string {
  for (let directory = new URL('./', import.meta.url); ; directory = new URL('../', directory)) {
    try {
      const { name, version } = JSON.parse(
        readFileSync(new URL('package.json', directory), 'utf8'),
      ) as Record<string, unknown>
      if (name === 'saslcached') return String(version)
    } catch {
      // Not here: one directory up.
    }
    if (directory.pathname === '/') return 'unknown'
  }
}
