/**
 * The transcripts against gates before one cluster: what a client of memcached sees there. Cases keep to keys of their
 * own and are played side by side, but for those that flush or follow another.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPrerequisites } from '../support/program.ts'
import { REDIS, RedisCluster } from '../support/redis-cluster.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { DIFFERS_WITH_A_CLUSTER } from './differs-with-a-cluster.ts'
import { transcripts } from './play-all.ts'
import { type Case, play } from './transcript.ts'

const USER = { name: 'alice', password: 's3cret' }
/** By the flags of a transcript; of all other flags the store knows nothing. */
const GATES: readonly string[] = ['', '-C', '-F', 'login']

/** These follow one another with one key. */
const IN_ORDER: readonly string[] = [
  'what one dialect stores the other reads',
  'in text',
  'and back',
]

const isAlone = ({ name }: Case): boolean => /flush/.test(name) || IN_ORDER.includes(name)

test('what differs before a cluster is a case, and is told in docs/cluster.md', () => {
  const names = transcripts.flatMap(({ transcript }) => transcript.cases.map(({ name }) => name))
  const guide = readFileSync(join(import.meta.dirname, '../../docs/cluster.md'), 'utf8')
  for (const [name, reason] of Object.entries(DIFFERS_WITH_A_CLUSTER)) {
    expect(names).toContain(name)
    expect(guide.toLowerCase()).toContain(reason.toLowerCase())
  }
})

if (hasPrerequisites('the transcripts before a cluster', [REDIS])) {
  describe('before a cluster', () => {
    const directory = mkdtempSync(join(tmpdir(), 'saslcached-store-'))
    let cluster: RedisCluster
    const gates = new Map<string, TestServer>()

    beforeAll(async () => {
      cluster = await RedisCluster.start({ hasReplicas: false })
      // With the rights of the guide: the transcripts need all that a gate ever asks of the nodes.
      await cluster.makeUserOfGuide('of-the-gates')
      const passwordFile = join(directory, 'store-password')
      writeFileSync(passwordFile, 'of-the-gates\n', { mode: 0o600 })
      await Promise.all(
        GATES.map(async (gate) => {
          const flags = [
            ...['-t', '1', '--store', 'cluster', '--store-nodes', cluster.seeds],
            // All cases are played at once, and a busy machine leaves a node alone for seconds.
            ...['--store-timeout', '20'],
            ...['--store-user', 'saslcached', '--store-password-file', passwordFile],
          ]
          if (gate.startsWith('-')) flags.push(gate)
          const users = gate === 'login' ? [USER] : []
          gates.set(gate, await startSaslcached({ flags, users }))
        }),
      )
    })
    afterAll(async () => {
      await Promise.all([...gates.values()].map((gate) => gate.stop()))
      await cluster?.stop()
      rmSync(directory, { recursive: true, force: true })
    })

    const cases = transcripts.flatMap(({ name, transcript: { login, flags, cases: all } }, file) =>
      all.map((each, index) => ({
        file: name,
        gate: login ? 'login' : flags.join(' '),
        each,
        prefix: `t${file}.${index}.`,
      })),
    )
    const played = cases.filter(
      ({ gate, each }) => GATES.includes(gate) && !(each.name in DIFFERS_WITH_A_CLUSTER),
    )
    const playOne = async ({ gate, each, prefix }: (typeof played)[number]): Promise<void> => {
      const server = gates.get(gate)
      if (server === undefined) throw new Error(`no gate for ${gate}`)
      await play(each, server.host, server.port, { answerer: 'saslcached', prefix })
    }
    describe('side by side', { concurrent: true }, () => {
      for (const one of played) {
        if (!isAlone(one.each)) test(`${one.file}: ${one.each.name}`, () => playOne(one))
      }
    })
    describe('one by one', () => {
      for (const one of played) {
        if (isAlone(one.each)) test(`${one.file}: ${one.each.name}`, () => playOne(one))
      }
    })
  })
}
