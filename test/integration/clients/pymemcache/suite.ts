/**
 * pymemcache, Python's client in Python, as Debian ships it. It has no login of its own; the program
 * sends one on each connection that it makes, by the hook that the library calls there.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

// Debian's modules belong to Debian's interpreter, whatever another `python3` comes first.
const PYTHON = '/usr/bin/python3'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'pymemcache',
    needs: [{ packages: 'python3 python3-pymemcache', probe: [PYTHON, '-c', 'import pymemcache'] }],
    prepare: () => [PYTHON, join(import.meta.dirname, 'client.py')],
    tls: {
      untrusted: /certificate verify failed: unable to get local issuer certificate/,
      misnamed: /certificate is not valid for '127.0.0.2'/,
    },
    mechanism: 'PLAIN',
    refusal: /^MemcacheClientError .*authentication failure/,
    text: { unauthenticated: /^MemcacheClientError .*unauthenticated/ },
    operations: [
      'get',
      'get_many and set_many',
      'gets',
      'set',
      'set with expiry',
      'add',
      'replace',
      'append and prepend',
      'cas',
      'delete',
      'incr and decr',
      'touch',
      'flags',
      'serialized values',
      'binary values',
      'large values',
      'a value too large',
      'long and odd keys',
      'prefixed keys',
      'noreply',
      'stats',
      'version',
      'cache_memlimit',
      'pools and rings',
      'a new connection',
      'quit',
      'flush_all',
    ],
  },
]
