/** dalli, Ruby's client, as Debian ships it. */
import { join } from 'node:path'
import type { ClientSuite } from '../../../support/client-suite.ts'

/** Its TLS sockets lack what its reads of several keys ask of a socket. */
const WITHOUT_MULTI = /undefined method `server' for #<Dalli::Socket::SSLSocket/
const RUBY = '/usr/bin/ruby'

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'dalli',
    needs: [{ packages: 'ruby ruby-dalli', probe: [RUBY, '-e', "require 'dalli'"] }],
    prepare: () => [RUBY, join(import.meta.dirname, 'client.rb')],
    tls: {
      untrusted: /certificate verify failed \(unable to get local issuer certificate\)/,
      misnamed: /certificate verify failed \(hostname mismatch\)/,
      broken: {
        get_multi: WITHOUT_MULTI,
        get_multi_cas: WITHOUT_MULTI,
        'large values': WITHOUT_MULTI,
      },
    },
    mechanism: 'PLAIN',
    refusal: /Dalli::.*(Auth failure|Error authenticating|No server available)/,
    operations: [
      'get',
      'get of every type',
      'get_multi',
      'get_multi_cas',
      'fetch',
      'gat',
      'touch',
      'set',
      'set with expiry',
      'add',
      'replace',
      'append',
      'prepend',
      'cas',
      'get_cas and set_cas',
      'replace_cas and delete_cas',
      'delete',
      'incr',
      'decr',
      'quiet writes',
      'stats',
      'reset_stats',
      'version',
      'alive!',
      'large values',
      'a value too large',
      'compressed values',
      'long and non-ASCII keys',
      'namespaced keys',
      'a new connection',
      'flush',
    ],
  },
]
