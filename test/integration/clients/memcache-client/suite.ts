/**
 * memcache-client, a client for Node from npm. It has no login of its own; the program's first command
 * on its connection is one.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'memcache-client',
    needs: [],
    prepare: () => [process.execPath, join(import.meta.dirname, 'client.mjs')],
    tls: {
      untrusted: /unable to verify the first certificate|unable to get local issuer certificate/,
      misnamed: /does not match certificate's altnames/,
    },
    mechanism: 'PLAIN',
    refusal: /^CLIENT_ERROR authentication failure$/,
    text: { unauthenticated: /^CLIENT_ERROR unauthenticated$/ },
    operations: [
      'get',
      'get of every type',
      'get of many keys',
      'gets and cas',
      'set',
      'set with expiry',
      'add',
      'replace',
      'append and prepend',
      'delete',
      'incr and decr',
      'touch',
      'noreply',
      'binary values',
      'compressed values',
      'large values',
      'a value too large',
      'long and odd keys',
      'stats',
      'version',
      'a new connection',
      'commands in its own words',
    ],
  },
]
