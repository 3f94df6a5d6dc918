/** pylibmc, Python's client on top of libmemcached, as Debian ships it. */
import { join } from 'node:path'
import { describeClient } from '../../../support/client-suite.ts'

// Debian's modules belong to Debian's interpreter, whatever another `python3` comes first.
const PYTHON = '/usr/bin/python3'

describeClient({
  client: 'pylibmc',
  needs: [{ packages: 'python3-pylibmc', probe: [PYTHON, '-c', 'import pylibmc'] }],
  prepare: () => [PYTHON, join(import.meta.dirname, 'client.py')],
  mechanism: 'SCRAM-SHA-256',
  refusal: /AUTHENTICATION FAILURE/,
  operations: [
    'get',
    'get of every type',
    'get_multi and set_multi',
    'set',
    'set with expiry',
    'add',
    'replace',
    'append',
    'prepend',
    'gets and cas',
    'delete and delete_multi',
    'incr',
    'decr',
    'incr_multi',
    'touch',
    'stats',
    'large values',
    'a value too large',
    'compressed values',
    'long and non-ASCII keys',
    'quiet writes',
    'a new connection',
    'flush_all',
  ],
})
