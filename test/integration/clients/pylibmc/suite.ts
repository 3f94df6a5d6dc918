/**
 * pylibmc, Python's client on top of libmemcached, as Debian ships it: over binary, where it logs in by
 * SASL, and over text, where it has no login of its own and the program's first command is one.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

// Debian's modules belong to Debian's interpreter, whatever another `python3` comes first.
const PYTHON = '/usr/bin/python3'

const OPERATIONS = [
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
]

function suite(
  client: string,
  dialect: 'binary' | 'text',
): Pick<ClientSuite, 'client' | 'needs' | 'prepare' | 'operations'> {
  return {
    client,
    needs: [{ packages: 'python3-pylibmc', probe: [PYTHON, '-c', 'import pylibmc'] }],
    prepare: () => [PYTHON, join(import.meta.dirname, 'client.py'), dialect],
    operations: OPERATIONS,
  }
}

export const SUITES: readonly ClientSuite[] = [
  {
    ...suite('pylibmc', 'binary'),
    tls: 'stunnel',
    mechanism: 'SCRAM-SHA-256',
    refusal: /AUTHENTICATION FAILURE/,
  },
  {
    ...suite('pylibmc over text', 'text'),
    mechanism: 'PLAIN',
    refusal: /^ClientError .*authentication failure/,
    text: { unauthenticated: /^ClientError .*unauthenticated/ },
  },
]
