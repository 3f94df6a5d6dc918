/**
 * Other people's clients at a gate before a cluster: each does all the operations that it does elsewhere
 * (support/client-suite.ts), logged in as a user of its own in a namespace of its own, so that all of them run at once.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ALICE,
  clientEnvironment,
  describeRun,
  nameOf,
  PATIENCE_MS,
  resultLines,
} from '../support/client-program.ts'
import type { ClientSuite } from '../support/client-suite.ts'
import { hasPrerequisites, runProgram } from '../support/program.ts'
import { REDIS, RedisCluster } from '../support/redis-cluster.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { SUITES as CACHE_MEMCACHED } from './clients/cache-memcached/suite.ts'
import { SUITES as CACHE_MEMCACHED_FAST } from './clients/cache-memcached-fast/suite.ts'
import { SUITES as DALLI } from './clients/dalli/suite.ts'
import { SUITES as GOMEMCACHE } from './clients/gomemcache/suite.ts'
import { SUITES as MEMCACHE } from './clients/memcache/suite.ts'
import { SUITES as MEMCACHE_CLIENT } from './clients/memcache-client/suite.ts'
import { SUITES as MEMCACHED } from './clients/memcached/suite.ts'
import { SUITES as MEMJS } from './clients/memjs/suite.ts'
import { SUITES as PHP_MEMCACHE } from './clients/php-memcache/suite.ts'
import { SUITES as PHP_MEMCACHED } from './clients/php-memcached/suite.ts'
import { SUITES as PYLIBMC } from './clients/pylibmc/suite.ts'
import { SUITES as PYMEMCACHE } from './clients/pymemcache/suite.ts'
import { SUITES as PYTHON_BINARY_MEMCACHED } from './clients/python-binary-memcached/suite.ts'
import { SUITES as SPYMEMCACHED } from './clients/spymemcached/suite.ts'

const DEADLINE_MS = 120_000

/** Each library once: what it does over another dialect, or with another list of mechanisms, is the gate's as elsewhere. */
const SUITES: readonly ClientSuite[] = [
  CACHE_MEMCACHED,
  CACHE_MEMCACHED_FAST,
  DALLI,
  GOMEMCACHE,
  MEMCACHE,
  MEMCACHE_CLIENT,
  MEMCACHED,
  MEMJS,
  PHP_MEMCACHE,
  PHP_MEMCACHED,
  PYLIBMC,
  PYMEMCACHE,
  PYTHON_BINARY_MEMCACHED,
  SPYMEMCACHED,
].flatMap((suites) => suites.slice(0, 1))

/** They look for the items and the memory of this process, which has none: a row of the table in docs/cluster.md. */
const STATS = 'stats'
/** Of the whole server, which is not for who has a namespace. */
const MEMORY_LIMIT = 'cache_memlimit'

const userOf = (index: number): { readonly name: string; readonly password: string } => ({
  name: `client${index}`,
  password: ALICE.password,
})

if (hasPrerequisites("other people's clients before a cluster", [REDIS])) {
  describe("other people's clients before a cluster", { concurrent: true }, () => {
    let cluster: RedisCluster
    let gate: TestServer

    beforeAll(async () => {
      cluster = await RedisCluster.start({ hasReplicas: false })
      const namespaces = SUITES.map((_, index) => {
        const { name, password } = userOf(index)
        // What a quota says is not kept before a cluster.
        return `[namespaces.space${index}]\nmemory = "4g"\n[users.${name}]\npassword = "${password}"\nnamespace = "space${index}"\n`
      })
      gate = await startSaslcached({
        flags: ['--store', 'cluster', '--store-nodes', cluster.seeds, '--store-timeout', '20'],
        users: [ALICE],
        usersFileEnd: namespaces.join(''),
      })
    })
    afterAll(async () => {
      await gate?.stop()
      await cluster?.stop()
    })

    for (const [index, suite] of SUITES.entries()) {
      if (!hasPrerequisites(`${suite.client} before a cluster`, suite.needs)) continue
      test(`${suite.client} does what it does elsewhere`, {
        timeout: 2 * DEADLINE_MS,
      }, async () => {
        const command = [...(await suite.prepare()), 'operations']
        const environment = {
          ...clientEnvironment(gate, userOf(index)),
          CLIENT_PATIENCE_MS: String(PATIENCE_MS),
        }
        const outcome = await runProgram(command, { environment, deadlineMs: DEADLINE_MS })
        const lines = resultLines(outcome)
        expect(lines.map(nameOf), describeRun(outcome)).toEqual(suite.operations)
        const failed = lines.filter((line) => !line.startsWith('ok - ')).map(nameOf)
        const differs = suite.operations.filter((name) => name === STATS || name === MEMORY_LIMIT)
        expect(failed, describeRun(outcome)).toEqual(differs)
        expect(outcome.exitCode, describeRun(outcome)).toBe(0)
      })
    }
  })
}
