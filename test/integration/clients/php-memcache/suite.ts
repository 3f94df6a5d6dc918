/** php-memcache (PECL memcache), PHP's older extension with a protocol engine of its own. */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

const PHP = '/usr/bin/php'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'php-memcache',
    needs: [
      {
        packages: 'php-cli php-memcache',
        probe: [PHP, '-r', 'exit(extension_loaded("memcache") ? 0 : 1);'],
      },
    ],
    prepare: () => [PHP, join(import.meta.dirname, 'client.php')],
    mechanism: 'PLAIN',
    refusal: /Auth failure/,
    operations: [
      'get',
      'get of every type',
      'get of many keys',
      'set',
      'set of many keys',
      'set with expiry',
      'user flags',
      'add',
      'replace',
      'append',
      'prepend',
      'cas',
      'delete',
      'increment',
      'decrement',
      'version',
      'large values',
      'a value too large',
      'compressed values',
      'long and non-ASCII keys',
      'a new connection',
      'a connection for each page',
      'flush',
    ],
  },
]
