/** dalli, Ruby's client, as Debian ships it. */
import { join } from 'node:path'
import { describeClient } from '../../../support/client-suite.ts'

const RUBY = '/usr/bin/ruby'

describeClient({
  client: 'dalli',
  needs: [{ packages: 'ruby ruby-dalli', probe: [RUBY, '-e', "require 'dalli'"] }],
  prepare: () => [RUBY, join(import.meta.dirname, 'client.rb')],
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
})
