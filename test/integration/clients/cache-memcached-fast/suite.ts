/**
 * Cache::Memcached::Fast, Perl's client in C, as Debian ships it. It has no login of its own; the
 * program's first command on its connection is one.
 */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

const PERL = '/usr/bin/perl'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'Cache::Memcached::Fast',
    needs: [
      {
        packages: 'libcache-memcached-fast-perl',
        probe: [PERL, '-MCache::Memcached::Fast', '-e', '1'],
      },
    ],
    prepare: () => [PERL, join(import.meta.dirname, 'client.pl')],
    mechanism: 'PLAIN',
    // It says no more than that.
    refusal: /^the set that logs in was not stored$/,
    text: { unauthenticated: /^delete failed$/ },
    operations: [
      'get',
      'get_multi',
      'set_multi',
      'gets and cas',
      'gat',
      'set with expiry',
      'add',
      'replace',
      'append and prepend',
      'delete',
      'incr and decr',
      'touch',
      'references and large values',
      'binary values',
      'compressed values',
      'long and odd keys',
      'prefixed keys',
      'quiet writes',
      'server_versions',
      'flush_all',
      'incr of a word',
      'a value too large',
    ],
  },
]
