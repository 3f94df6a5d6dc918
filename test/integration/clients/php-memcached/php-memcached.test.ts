/** php-memcached, PHP's extension on top of libmemcached, as Debian ships it. */
import { join } from 'node:path'
import { describeClient } from '../../../support/client-suite.ts'

const PHP = '/usr/bin/php'

describeClient({
  client: 'php-memcached',
  needs: [
    {
      packages: 'php-cli php-memcached',
      probe: [PHP, '-r', 'exit(extension_loaded("memcached") ? 0 : 1);'],
    },
  ],
  prepare: () => [PHP, join(import.meta.dirname, 'client.php')],
  mechanism: 'SCRAM-SHA-256',
  refusal: /AUTHENTICATION FAILURE/,
  operations: [
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
  ],
})
