/** memjs, a client for Node written for SASL over the binary dialect, from npm. */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'memjs',
    needs: [],
    prepare: () => [process.execPath, join(import.meta.dirname, 'client.mjs')],
    mechanism: 'PLAIN',
    refusal: /authentication failed/,
    operations: [
      'get',
      'gets at the same time',
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
      'statsWithKey',
      'resetStats',
      'large values',
      'a value too large',
      'long and non-ASCII keys',
      'a new connection',
      'flush',
    ],
  },
]
