/**
 * Cache::Memcached, Perl's client in Perl, as Debian ships it. It has no login of its own; the
 * program's first command on its connection is one.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

const PERL = '/usr/bin/perl'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'Cache::Memcached',
    needs: [
      {
        packages: 'libcache-memcached-perl',
        probe: [PERL, '-MCache::Memcached', '-e', '1'],
      },
    ],
    prepare: () => [PERL, join(import.meta.dirname, 'client.pl')],
    mechanism: 'PLAIN',
    // It says no more than that.
    refusal: /^the set that logs in was not stored$/,
    text: { unauthenticated: /^CLIENT_ERROR unauthenticated$/ },
    operations: [
      'get',
      'get_multi',
      'set with expiry',
      'add',
      'replace',
      'append and prepend',
      'delete',
      'incr and decr',
      'references and large values',
      'binary values',
      'compressed values',
      'long and odd keys',
      'a value too large',
      'prefixed keys',
      'stats',
      'a new connection',
      'flush_all',
    ],
  },
]
