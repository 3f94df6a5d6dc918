/**
 * Users of one namespace against those of others, on several workers, while all memory is lent and taken
 * back and users, rights, quotas and namespaces change: owners lose, see changed and are refused nothing
 * (support/campaign/owner.ts), tenants are told nothing of anybody else (support/campaign/tenant.ts), and
 * what a bystander reads in its statistics does not move.
 *
 * A long run:
 *
 *     npm run build && MINUTES=30 npx vitest run --project fuzz test/fuzz/tenant-campaign.test.ts
 *
 * SEED= repeats the choices of a run, though not their timing; TEST_NODE= names the `node` that runs the server.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Owner } from '../support/campaign/owner.ts'
import { Tenant } from '../support/campaign/tenant.ts'
import { Violations } from '../support/campaign/violations.ts'
import { type RandomBelow, randomBelow } from '../support/random-below.js'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { seedOfRun } from '../unit/storage/model.ts'

const KIB = 1024
const MINUTES = Number(process.env.MINUTES ?? 0)
const WATCHED_READS = 20
const BATCHES = 30
const PIPELINE = 300
const RELOAD_PAUSE_MS = 300
const PASSWORD = 's3cret'
/** The last one is in the default namespace. */
const OWNERS = ['shop0', 'shop1', 'plain']
const TENANTS = ['evil', 'clerk', 'mover']
const BYSTANDER_ITEMS = 50

/**
 * What may move in the statistics of somebody who does nothing, because time does (docs/users.md,
 * "Statistics").
 */
const MOVING_ROWS = /^(uptime|time|items:1:age)$/

function usersFile(random: RandomBelow): string {
  const user = (name: string, ...lines: string[]) =>
    [`[users.${name}]`, `password = "${PASSWORD}"`, ...lines, ''].join('\n')
  const hasExtra = random(2) === 0
  const rights = [
    '["read", "write", "delete", "arithmetic", "touch"]',
    '["read", "stats", "dump"]',
    '["flush", "watch", "write"]',
  ]
  return [
    '[namespaces.shop]\nmemory = "10m"',
    '[namespaces.still]\nmemory = "4m"',
    `[namespaces.evil]\nmemory = "${4 + random(2)}m"`,
    ...(hasExtra ? [`[namespaces.extra]\nmemory = "${4 + random(2)}m"`] : []),
    ...['shop0', 'shop1'].map((name) => user(name, 'namespace = "shop"')),
    ...['plain', 'admin'].map((name) => user(name)),
    user('bystander', 'namespace = "still"'),
    user('evil', 'namespace = "evil"'),
    user('clerk', 'namespace = "evil"', `rights = ${rights[random(rights.length)]}`),
    user('mover', `namespace = "${hasExtra ? 'extra' : 'evil'}"`),
  ].join('\n')
}

/** Reloads other users, rights, quotas and namespaces until it is stopped. */
class Reloads {
  count = 0
  #isStopping = false
  readonly #done: Promise<void>

  constructor(server: TestServer, random: RandomBelow) {
    this.#done = this.#run(server, random)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#done
  }

  async #run(server: TestServer, random: RandomBelow): Promise<void> {
    while (!this.#isStopping) {
      writeFileSync(`${server.usersFile}.new`, usersFile(random), { mode: 0o600 })
      renameSync(`${server.usersFile}.new`, server.usersFile)
      server.signal('SIGHUP')
      this.count++
      await delay(RELOAD_PAUSE_MS)
    }
  }
}

async function login(server: TestServer, user: string): Promise<TextClient> {
  const client = new TextClient(server)
  const text = `${user} ${PASSWORD}`
  expect(await client.ask(`set login 0 0 ${text.length}\r\n${text}\r\n`)).toBe('STORED\r\n')
  return client
}

async function rowsOf(client: TextClient, group: string): Promise<Map<string, string>> {
  const text = await client.ask(`stats${group}\r\n`, 'END\r\n')
  return new Map(
    [...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name!, value!]),
  )
}

/** Somebody in a namespace of its own who has items, asks for statistics and watches, again and again. */
class Bystander {
  readonly #client: TextClient
  readonly #watcher: TextClient
  readonly #violations: Violations
  #lookCount = 0
  #rows = new Map<string, string>()
  #cas = 0

  constructor(client: TextClient, watcher: TextClient, violations: Violations) {
    this.#client = client
    this.#watcher = watcher
    this.#violations = violations
  }

  async begin(): Promise<void> {
    for (let index = 0; index < BYSTANDER_ITEMS; index++) {
      const key = index % 2 === 0 ? `owner0:small${index}` : `item${index}`
      await this.#client.ask(`set ${key} 0 0 100\r\n${'b'.repeat(100)}\r\n`)
    }
    this.#rows = await this.#read()
    this.#cas = await this.#writeOnce()
    await this.#watcher.ask('watch fetchers\r\n')
  }

  async look(): Promise<void> {
    const rows = await this.#read()
    for (const [name, value] of rows) {
      const before = this.#rows.get(name)
      if (before === value || MOVING_ROWS.test(name.replace(/^.* /, ''))) continue
      this.#violations.add(`statistics: ${name}`, `from ${before} to ${value}`)
    }
    await this.#watch()
    this.#rows = await this.#read()
  }

  /** Its watcher sees all that it asks for, and nothing else, however much others do that is watched. */
  async #watch(): Promise<void> {
    const look = this.#lookCount++
    const keys = Array.from({ length: WATCHED_READS }, (_, index) => `look${look}-${index}.`)
    for (const key of keys) await this.#client.ask(`get ${key}\r\n`)
    await this.#client.ask('get last.\r\n')
    const told = (await this.#watcher.until('key=last. status=not_found')).split('\n')
    await this.#watcher.until('\n')
    const seen = told.flatMap((line) => /key=(\S+)/.exec(line)?.[1] ?? [])
    if (seen.join() !== [...keys, 'last.'].join()) {
      this.#violations.add('watch', `${keys.length + 1} requests, seen: ${seen.join(' ')}`)
    }
  }

  /** Ids of its items count its own writes. */
  async end(): Promise<void> {
    const cas = await this.#writeOnce()
    if (cas !== this.#cas + 1) this.#violations.add('cas', `from ${this.#cas} to ${cas}`)
    const dump = await this.#client.ask('lru_crawler metadump all\r\n', 'END\r\n')
    const keyCount = dump.split('key=').length - 1
    if (keyCount !== BYSTANDER_ITEMS + 1) this.#violations.add('dump', `${keyCount} keys`)
  }

  async #writeOnce(): Promise<number> {
    const answer = await this.#client.ask('ms once 1 c\r\nx\r\n')
    this.#rows = await this.#read()
    return Number(/c(\d+)/.exec(answer)?.[1])
  }

  async #read(): Promise<Map<string, string>> {
    const rows = new Map<string, string>()
    for (const group of [
      '',
      ' items',
      ' slabs',
      ' sizes',
      ' conns',
      ' settings',
      ' auth',
      ' store',
    ]) {
      for (const [name, value] of await rowsOf(this.#client, group)) {
        rows.set(`stats${group} ${name}`, value)
      }
    }
    rows.set('stats detail dump', await this.#client.ask('stats detail dump\r\n', 'END\r\n'))
    return rows
  }
}

/** All of them, one of whom does nothing but write more than there is room for, until they are stopped. */
class Tenants {
  readonly all: readonly Tenant[]
  #isStopping = false
  readonly #done: Promise<unknown>

  constructor(server: TestServer, seed: number, violations: Violations) {
    const others = TENANTS.map((name) => ({ name, password: PASSWORD }))
    this.all = [...TENANTS, 'evil'].map(
      (user, index) =>
        new Tenant(server, {
          user,
          password: PASSWORD,
          others,
          ownerCount: OWNERS.length,
          localAddress: '127.0.4.1',
          seed: seed + index * 7919,
          report: (kind, what) => violations.add(kind, what),
        }),
    )
    this.#done = Promise.all(
      this.all.map((tenant, index) => this.#run(tenant, index < TENANTS.length ? '' : 'flood')),
    )
  }

  get havePlayedAll(): boolean {
    return this.all.slice(0, TENANTS.length).every(({ hasPlayedAll }) => hasPlayedAll)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#done
  }

  async #run(tenant: Tenant, act: string): Promise<void> {
    while (!this.#isStopping) await tenant.act(act)
  }
}

function ownersOf(server: TestServer, seed: number, violations: Violations): Owner[] {
  return OWNERS.map(
    (user, number) =>
      new Owner(server, {
        number,
        ownerCount: OWNERS.length,
        seed,
        user,
        password: PASSWORD,
        mayVanish: false,
        mayRefuseReads: false,
        largeBytesMax: 150 * KIB,
        reconnectEvery: 20,
        localAddress: `127.0.0.${2 + number}`,
        tlsPort: 0,
        report: (kind, what) => violations.add(kind, what),
      }),
  )
}

async function campaign(seed: number, endMs: number): Promise<void> {
  const random = randomBelow(seed)
  const server = await startSaslcached({
    users: [{ name: 'first', password: PASSWORD }],
    usersFileEnd: usersFile(random),
    flags: ['-m', '40', '-t', '2', '-I', '256k', '--throttle', 'on'],
  })
  const violations = new Violations()
  const owners = ownersOf(server, seed, violations)
  const admin = await login(server, 'admin')
  const bystander = new Bystander(
    await login(server, 'bystander'),
    await login(server, 'bystander'),
    violations,
  )
  let tenants: Tenants | undefined
  let reloads: Reloads | undefined
  let rows = new Map<string, string>()
  // As long as it takes until each act was played and the flood has evicted its own.
  const hasHappened = async () =>
    (tenants?.havePlayedAll ?? false) && (await evictionsOf(admin, 'evil')) > 0
  try {
    await bystander.begin()
    await Promise.all(owners.map((owner) => owner.open()))
    tenants = new Tenants(server, seed, violations)
    reloads = new Reloads(server, random)
    do {
      await Promise.all([
        ...owners.map(async (owner) => {
          await owner.runLargeValues(4)
          for (let batch = 0; batch < BATCHES; batch++) await owner.runBatch()
          await owner.runLongPipelines(PIPELINE)
          await owner.readAll()
        }),
        bystander.look(),
      ])
      await bystander.look()
    } while (performance.now() < endMs || !(await hasHappened()))
    await reloads.stop()
    await tenants.stop()
    // Whoever borrowed all of it flushes, while the owners' items stay.
    for (const tenant of tenants.all) await tenant.leaveNothing()
    await Promise.all(owners.map((owner) => owner.readAll()))
    await bystander.look()
    await bystander.end()
    rows = await rowsOf(admin, ' namespaces')
  } finally {
    await reloads?.stop()
    await tenants?.stop()
    for (const client of [...(tenants?.all ?? []), ...owners]) client.close()
    await server.stop()
  }
  const counts = tenants.all.map(({ counts }) => JSON.stringify(counts)).join(' ')
  const answered = owners.reduce((sum, owner) => sum + owner.answeredCount, 0)
  console.log(`${answered} answers to owners, ${reloads.count} reloads, acts of tenants: ${counts}`)
  expect(violations.lines()).toEqual([])
  checkNamespaces(rows, owners)
}

/** Nothing of the owners' was evicted, and there is no item in their namespaces that is not theirs. */
function checkNamespaces(rows: ReadonlyMap<string, string>, owners: readonly Owner[]): void {
  const [first, second, plain] = owners.map(({ itemCount }) => itemCount)
  expect(Object.fromEntries(rows)).toMatchObject({
    'shop:evictions': '0',
    'shop:curr_items': String(first! + second!),
    'default:evictions': '0',
    'default:curr_items': String(plain),
    'still:evictions': '0',
    'still:curr_items': String(BYSTANDER_ITEMS + 1),
  })
}

async function evictionsOf(admin: TextClient, namespace: string): Promise<number> {
  return Number((await rowsOf(admin, ' namespaces')).get(`${namespace}:evictions`))
}

const seed = seedOfRun()

test('a tenant sees, counts, evicts and stops nothing of another namespace', {
  timeout: 600_000 + MINUTES * 60_000,
}, async () => {
  await campaign(seed, performance.now() + MINUTES * 60_000)
})
