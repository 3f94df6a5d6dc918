/**
 * Cache::Memcached::Fast, Perl's client, as Debian ships it. It speaks text and cannot log in, so it
 * meets a server without login; TEST_PEER=memcached shows that the program is right.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeRun, peerPrerequisites, startPeer } from '../../../support/client-suite.ts'
import { hasPrerequisites, runProgram } from '../../../support/program.ts'

const PERL = 'perl'
const OPERATIONS = [
  'get',
  'get_multi',
  'set_multi',
  'gets and cas',
  'gat',
  'add',
  'replace',
  'append and prepend',
  'delete',
  'incr and decr',
  'touch',
  'references and large values',
  'a value too large',
  'quiet writes',
  'server_versions',
  'flush_all',
]

const needs = [
  {
    packages: 'libcache-memcached-fast-perl',
    probe: [PERL, '-MCache::Memcached::Fast', '-e', '1'],
  },
  ...peerPrerequisites(),
]
if (hasPrerequisites('Cache::Memcached::Fast', needs)) {
  test('Cache::Memcached::Fast does all that it can over text', async () => {
    const server = await startPeer({})
    try {
      const result = await runProgram([PERL, join(import.meta.dirname, 'client.pl')], {
        environment: { CLIENT_HOST: server.host, CLIENT_PORT: String(server.port) },
      })
      const wanted = OPERATIONS.map((name) => `ok - ${name}\n`).join('')
      expect(result.stdout, describeRun(result)).toBe(wanted)
      expect(result.exitCode).toBe(0)
    } finally {
      await server.stop()
    }
  })
}
