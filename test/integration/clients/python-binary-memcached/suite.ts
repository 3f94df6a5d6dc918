/** python-binary-memcached, Python's client in Python for the binary dialect, as Debian ships it. */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

// Debian's modules belong to Debian's interpreter, whatever another `python3` comes first.
const PYTHON = '/usr/bin/python3'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'python-binary-memcached',
    needs: [
      { packages: 'python3 python3-binary-memcached', probe: [PYTHON, '-c', 'import bmemcached'] },
    ],
    prepare: () => [PYTHON, join(import.meta.dirname, 'client.py')],
    tls: {
      untrusted: /certificate verify failed: unable to get local issuer certificate/,
      misnamed: /certificate is not valid for '127.0.0.2'/,
    },
    mechanism: 'PLAIN',
    // It has another number in mind for a refusal than memcached sends.
    refusal: /^MemcachedException .*Code: 32 Message: .*Auth failure/,
    operations: [
      'get',
      'get of every type',
      'get_multi and set_multi',
      'set',
      'set with expiry',
      'add',
      'replace',
      'gets and cas',
      'delete and delete_multi',
      'incr and decr',
      'large values',
      'a value too large',
      'compressed values',
      'long and odd keys',
      'stats',
      'DistributedClient',
      'a new connection',
      'flush_all',
    ],
  },
]
