/**
 * php-memcached, PHP's extension on top of libmemcached, as Debian ships it: over binary, where it
 * logs in by SASL, and over text, where it has no login of its own and the program's first command
 * is one.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

const PHP = '/usr/bin/php'

const OPERATIONS = [
  'get',
  'get of every type',
  'get with a callback',
  'getMulti and setMulti',
  'getDelayed and fetch',
  'set',
  'set with expiry',
  'user flags',
  'add',
  'replace',
  'append',
  'prepend',
  'cas',
  'delete and deleteMulti',
  'increment',
  'decrement',
  'touch',
  'commands by server key',
  'stats',
  'version',
  'large values',
  'a value too large',
  'compressed values',
  'long and non-ASCII keys',
  'quiet writes',
  'buffered writes',
  'a new connection',
  'a connection for each page',
  'sessions',
  'flush',
]

function suite(
  client: string,
  dialect: 'binary' | 'text',
): Pick<ClientSuite, 'client' | 'needs' | 'prepare' | 'operations'> {
  return {
    client,
    needs: [
      {
        packages: 'php-cli php-memcached',
        probe: [PHP, '-r', 'exit(extension_loaded("memcached") ? 0 : 1);'],
      },
    ],
    prepare: () => [PHP, join(import.meta.dirname, 'client.php'), dialect],
    // PHP's sessions log in by SASL alone.
    operations: OPERATIONS.filter((name) => dialect === 'binary' || name !== 'sessions'),
  }
}

export const SUITES: readonly ClientSuite[] = [
  {
    ...suite('php-memcached', 'binary'),
    tls: 'stunnel',
    mechanism: 'SCRAM-SHA-256',
    refusal: /AUTHENTICATION FAILURE/,
  },
  {
    ...suite('php-memcached over text', 'text'),
    mechanism: 'PLAIN',
    // It says no more than that, also of a failed login.
    refusal: /^CLIENT ERROR$/,
    text: { unauthenticated: /^CLIENT ERROR$/ },
  },
]
