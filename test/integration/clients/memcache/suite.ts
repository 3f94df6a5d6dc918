/** memcache, a younger client for Node from npm: PLAIN at once, without asking for the list. */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'memcache',
    needs: [],
    prepare: () => [process.execPath, join(import.meta.dirname, 'client.mjs')],
    mechanism: 'PLAIN',
    refusal: /SASL authentication failed/,
    operations: [
      'get',
      'set',
      'set with expiry',
      'add',
      'replace',
      'append',
      'prepend',
      'delete',
      'increment',
      'decrement',
      'touch',
      'stats',
      'version',
      'large values',
      'a value too large',
      'long and non-ASCII keys',
      'a new connection',
      'quit',
      'flush',
    ],
  },
]
