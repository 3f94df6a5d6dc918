/**
 * memcached, the client for Node from npm that most packages name. It has no login of its own; the
 * program's first command on its connection is one.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'npm memcached',
    needs: [],
    prepare: () => [process.execPath, join(import.meta.dirname, 'client.mjs')],
    mechanism: 'PLAIN',
    refusal: /^authentication failure$/,
    text: { unauthenticated: /^unauthenticated$/ },
    operations: [
      'get',
      'get of every type',
      'getMulti',
      'gets and cas',
      'set',
      'set with expiry',
      'add',
      'replace',
      'append and prepend',
      'del',
      'incr and decr',
      'touch',
      'large values',
      'long and odd keys',
      'stats',
      'version',
      'a new connection',
      'flush',
    ],
  },
]
