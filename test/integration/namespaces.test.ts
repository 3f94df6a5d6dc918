/** Namespaces as their users meet them: over sockets, with several workers, through reloads. */
import { mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const SHOP = '[namespaces.shop]\nmemory = "16m"\n'
const BLOG = '[namespaces.blog]\nmemory = "8m"\n'

function user(name: string, ...settings: string[]): string {
  return [`[users.${name}]`, 'password = "s3cret"', ...settings, ''].join('\n')
}

const ROOT = user('root')
const SALLY = user('sally', 'namespace = "shop"')
const BOB = user('bob', 'namespace = "blog"')
/** Sees what a tenant may see in the default namespace. */
const GUEST = user('guest', 'rights = ["read", "write", "stats"]')
const ALL = [SHOP, BLOG, ROOT, SALLY, BOB, GUEST].join('\n')

async function start(usersFileEnd = ALL, flags: string[] = []): Promise<TestServer> {
  const server = await startSaslcached({
    users: [{ name: 'first', password: 's3cret' }],
    usersFileEnd,
    flags: ['-m', '64', '-t', '2', '-I', '2m', ...flags],
  })
  onTestFinished(async () => {
    await server.stop()
  })
  return server
}

async function login(server: TestServer, name: string): Promise<TextClient> {
  const client = new TextClient(server)
  await relogin(client, name)
  return client
}

function auth(name: string): string {
  const message = `\0${name}\0s3cret`
  return `sasl auth PLAIN ${message.length}\r\n${message}\r\n`
}

async function relogin(client: TextClient, name: string): Promise<void> {
  expect(await client.ask(auth(name))).toBe('SASL_OK\r\n')
}

async function statsOf(client: TextClient, group = ''): Promise<Record<string, string>> {
  const text = await client.ask(`stats${group}\r\n`, 'END\r\n')
  return Object.fromEntries([...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, k, v]) => [k, v]))
}

/** Writes so many values of 1000 bytes. */
async function flood(client: TextClient, prefix: string, count: number): Promise<void> {
  const value = 'v'.repeat(1000)
  for (let index = 0; index < count; index += 1000) {
    const keys = Array.from({ length: Math.min(1000, count - index) }, (_, at) => index + at)
    client.send(keys.map((at) => `set ${prefix}${at} 0 0 1000 noreply\r\n${value}\r\n`).join(''))
    await client.ask('mn\r\n')
  }
}

/** Puts other users in force, or finds them refused. */
async function reload(server: TestServer, text: string): Promise<void> {
  const count = () =>
    server.log().filter(({ event }) => /credentials_(reloaded|refused)/.test(String(event))).length
  const before = count()
  writeFileSync(`${server.usersFile}.new`, text, { mode: 0o600 })
  renameSync(`${server.usersFile}.new`, server.usersFile)
  await expect.poll(count, { timeout: 60_000 }).toBeGreaterThan(before)
}

/** The last reason why users were refused. */
function refusal(server: TestServer): string {
  return String(server.log().findLast(({ event }) => event === 'credentials_refused')?.message)
}

test('nobody sees, counts, dumps, watches or flushes the items of another', async () => {
  const server = await start()
  const [root, sally, bob, guest] = await Promise.all(
    ['root', 'sally', 'bob', 'guest'].map((name) => login(server, name)),
  )
  const watcher = await login(server, 'bob')
  expect(await watcher.ask('watch fetchers mutations connevents\r\n')).toBe('OK\r\n')
  expect(await sally!.ask('set basket 0 0 5\r\nsally\r\n')).toBe('STORED\r\n')
  expect(await root!.ask('set basket 0 0 4\r\nroot\r\n')).toBe('STORED\r\n')
  expect(await sally!.ask('get basket\r\n', 'END\r\n')).toContain('sally')
  for (const line of ['get basket', 'gat 0 basket']) {
    expect(await bob!.ask(`${line}\r\n`)).toBe('END\r\n')
  }
  for (const line of ['mg basket v', 'me basket', 'md basket', 'ma basket']) {
    expect(await bob!.ask(`${line}\r\n`)).not.toContain('VA')
  }
  expect(await bob!.ask('delete basket\r\n')).toBe('NOT_FOUND\r\n')
  // Dumps list one's own.
  expect(await bob!.ask('lru_crawler metadump all\r\n', 'END\r\n')).toBe('OK\r\nEND\r\n')
  expect(await sally!.ask('lru_crawler mgdump all\r\n', 'EN\r\n')).toBe('OK\r\nmg basket\r\nEN\r\n')
  expect(await root!.ask('stats cachedump 1 0\r\n', 'END\r\n')).toContain('[4 b; 0 s]')
  // Statistics count one's own; of the process they tell what is nobody's secret.
  const own = await statsOf(bob!)
  expect(own).toMatchObject({
    curr_items: '0',
    total_items: '0',
    bytes: '0',
    cmd_set: '0',
    get_misses: '2',
    curr_connections: '0',
    total_connections: '0',
    bytes_read: '0',
    rusage_user: '0.000000',
    limit_maxbytes: String(8 * 2 ** 20),
  })
  expect(await statsOf(sally!)).toMatchObject({ curr_items: '1', cmd_set: '1', get_hits: '1' })
  expect(await statsOf(bob!, ' conns')).toEqual({})
  expect(await statsOf(bob!, ' items')).toEqual({})
  // Administrators of the default namespace are told of all, others of it are not.
  expect(await statsOf(root!)).toMatchObject({
    curr_items: '2',
    cmd_set: '2',
    limit_maxbytes: String(2 ** 26),
  })
  expect(await statsOf(guest!)).toMatchObject({
    curr_items: '1',
    limit_maxbytes: String(40 * 2 ** 20),
  })
  expect(await statsOf(root!, ' namespaces')).toMatchObject({
    'default:curr_items': '1',
    'shop:curr_items': '1',
    'shop:quota_bytes': String(2 ** 24),
    'blog:curr_items': '0',
    'blog:borrowed_bytes': '0',
  })
  expect(await statsOf(root!, ' namespace shop')).toMatchObject({ curr_items: '1', get_hits: '1' })
  for (const client of [bob!, guest!]) {
    // Whether there is such a namespace, these are not told.
    for (const group of ['namespaces', 'namespace shop', 'namespace none']) {
      expect(await client.ask(`stats ${group}\r\n`)).toBe(
        'CLIENT_ERROR permission denied: this user lacks the right\r\n',
      )
    }
  }
  expect(await root!.ask('stats namespace none\r\n')).toBe('CLIENT_ERROR no such namespace\r\n')
  for (const words of ['namespace', 'namespace shop blog']) {
    expect(await root!.ask(`stats ${words}\r\n`)).toBe(
      'CLIENT_ERROR usage: stats namespace NAME\r\n',
    )
  }
  // What concerns all is nothing for users of a namespace, whatever their rights.
  for (const line of [
    'verbosity 1',
    'cache_memlimit 32',
    'stats detail on',
    'stats sizes_enable',
  ]) {
    expect(await bob!.ask(`${line}\r\n`), line).not.toMatch(/^(OK|STAT)/)
  }
  // A flush is one of one's own.
  expect(await sally!.ask('flush_all\r\n')).toBe('OK\r\n')
  expect(await sally!.ask('get basket\r\n')).toBe('END\r\n')
  expect(await root!.ask('get basket\r\n', 'END\r\n')).toContain('root')
  // The watcher saw bob's requests alone, numbered as if there were no others.
  const told = (await watcher.until('key=basket status=not_found')).split('\n')
  // Nor does it see where others come from, on whichever thread that is.
  for (let count = 0; count < 8; count++) {
    await bob!.ask('get basket\r\n')
    await login(server, 'root')
  }
  await bob!.ask('set last 0 0 1\r\nx\r\n')
  told.push(...(await watcher.until('key=last status=stored')).split('\n'))
  const lines = told.filter((line) => line.startsWith('ts='))
  expect(
    lines.every((line) => /key=(basket|last)/.test(line) && !/stored.*basket/.test(line)),
  ).toBe(true)
  expect(lines.map((line) => Number(/gid=(\d+)/.exec(line)?.[1]))).toEqual(
    lines.map((_, at) => at + 1),
  )
})

/** All that a user is told, without what moves with the time. */
async function toldTo(client: TextClient): Promise<Record<string, string>> {
  const told: Record<string, string> = {}
  for (const group of [
    '',
    ' items',
    ' slabs',
    ' store',
    ' auth',
    ' settings',
    ' conns',
    ' sizes',
  ]) {
    for (const [name, value] of Object.entries(await statsOf(client, group))) {
      if (!/^(uptime|time|items:1:age)$/.test(name)) told[`${group} ${name}`] = value
    }
  }
  return told
}

test('what others write moves no figure of a tenant that has no more than its quota', async () => {
  const server = await start()
  const [sally, bob, root] = await Promise.all(
    ['sally', 'bob', 'root'].map((it) => login(server, it)),
  )
  const { segments } = await statsOf(sally!, ' store')
  await flood(sally!, 's', 3000)
  // What it does not use is to be lent, which takes until the others ask for it.
  await expect
    .poll(async () => Number((await statsOf(root!, ' namespaces'))['shop:lent_bytes']), {
      timeout: 60_000,
    })
    .toBeGreaterThan(0)
  const before = await toldTo(sally!)
  const heldOf = async (): Promise<string> =>
    (await statsOf(root!, ' namespaces'))['blog:limit_bytes']!
  const heldBefore = await heldOf()
  await flood(bob!, 'b', 30_000)
  await flood(root!, 'r', 60_000)
  expect(await heldOf()).not.toBe(heldBefore)
  await login(server, 'bob')
  expect(await toldTo(sally!)).toEqual(before)
  // Nor does it see that it lends.
  expect(before[' store segments']).toBe(segments)
  // Who borrows is told what it uses, and of none that it may have beside that.
  expect(await toldTo(bob!)).toMatchObject({
    ' slab_global_page_pool': '0',
    ' store segments_free': '0',
  })
})

test('the numbers of connections in the lines of a watcher tell a tenant of no other connection', async () => {
  const server = await start()
  const [watcher, owner] = [await login(server, 'bob'), await login(server, 'root')]
  expect(await watcher.ask('watch fetchers\r\n')).toBe('OK\r\n')
  expect(await owner.ask('namespace blog watch fetchers\r\n')).toBe('OK\r\n')
  const cfdOf = async (client: TextClient, key: string): Promise<number> =>
    Number(
      / cfd=(\d+) /.exec(
        await client
          .until(`key=${key} status=not_found clsid=0 cfd=`)
          .then(async (head) => `${head}${await client.until('\n')}`),
      )?.[1],
    )
  const told: number[] = []
  const whole: number[] = []
  for (let count = 0; count < 12; count++) {
    const client = await login(server, 'bob')
    for (const key of [`first${count}`, `again${count}`]) {
      await client.ask(`get ${key}\r\n`)
      told.push(await cfdOf(watcher, key))
      whole.push(await cfdOf(owner, key))
    }
  }
  // Each connection keeps its number, which has nothing to do with how many came before it.
  const firsts = told.filter((_, index) => index % 2 === 0)
  expect(told.filter((_, index) => index % 2 === 1)).toEqual(firsts)
  expect(firsts.toSorted((a, b) => a - b)).not.toEqual(firsts)
  // An operator finds them in `stats conns`.
  const seen = whole.filter((_, index) => index % 2 === 0)
  expect(seen.toSorted((a, b) => a - b)).toEqual(seen)
})

test('who takes all places to watch keeps nobody of another namespace from watching', async () => {
  const server = await start()
  const greedy = await Promise.all(Array.from({ length: 24 }, () => login(server, 'bob')))
  const answers: string[] = []
  for (const each of greedy) answers.push(await each.ask('watch fetchers\r\n'))
  expect(answers.filter((line) => line === 'OK\r\n')).toHaveLength(4)
  expect(answers.at(-1)).toBe('WATCHER_TOO_MANY log watcher limit reached\r\n')
  for (const name of ['sally', 'root']) {
    expect(await (await login(server, name)).ask('watch fetchers\r\n')).toBe('OK\r\n')
  }
  // Whoever visits by a name has a place of its own namespace's.
  const visitor = await login(server, 'root')
  expect(await visitor.ask('namespace blog watch fetchers\r\n')).toBe('OK\r\n')
})

test('who takes all connections keeps nobody of another namespace out', async () => {
  // Of 32 places 26 are for all, and three namespaces have two each.
  const server = await start(ALL, ['-c', '32', '--prelogin-conn-limit', '32'])
  const answers: string[] = []
  for (let count = 0; count < 30; count++) {
    answers.push(await new TextClient(server).ask(auth('bob')))
  }
  expect(answers.filter((line) => line === 'SASL_OK\r\n')).toHaveLength(28)
  expect(new Set(answers.slice(28)).size).toBe(1)
  const [sally, root] = [await login(server, 'sally'), await login(server, 'root')]
  expect(await sally.ask('set basket 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
  const failures = (await root.ask('stats auth\r\n', 'END\r\n')).match(
    /login_failed_namespace_full \d+/,
  )
  expect(failures?.[0]).toBe('login_failed_namespace_full 2')
})

test('who fills the memory of unread replies keeps no reader of another namespace from its values', async () => {
  const server = await start(ALL, ['-c', '1024'])
  const value = 'v'.repeat(1_000_000)
  const [root, sally, bob] = [
    await login(server, 'root'),
    await login(server, 'sally'),
    await login(server, 'bob'),
  ]
  for (const owner of [sally, bob]) {
    expect(await owner.ask(`set big 0 0 ${value.length}\r\n${value}\r\n`)).toBe('STORED\r\n')
  }
  const greedy = Array.from({ length: 200 }, () => {
    const socket = connect(server.port, server.host)
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    socket.pause()
    socket.write(`${auth('bob')}${'get big\r\n'.repeat(6)}`)
    return socket
  })
  const refused = async () => Number((await statsOf(root, ' auth')).unread_reply_oom)
  await expect.poll(refused, { timeout: 60_000 }).toBeGreaterThan(0)
  const reply = `VALUE big 0 ${value.length}\r\n${value}\r\nEND\r\n`
  for (let count = 0; count < 10; count++) {
    // More than the kernel takes at once: what waits for this reader is held.
    const answer = await sally.ask(`${'get big\r\n'.repeat(4)}mn\r\n`, 'MN\r\n')
    expect(answer === `${reply.repeat(4)}MN\r\n`, answer.slice(0, 200)).toBe(true)
  }
  for (const socket of greedy) socket.destroy()
  const held = async () => Number((await statsOf(root, ' auth')).unread_reply_bytes)
  await expect.poll(held, { timeout: 60_000 }).toBe(0)
})

test('an administrator dumps, counts, watches and flushes a namespace by its name, and nobody else does', async () => {
  const audit = `${mkdtempSync(join(tmpdir(), 'namespaces-'))}/audit.log`
  const usersFile = [
    ALL,
    user('flusher', 'rights = ["admin", "flush"]'),
    user('dumper', 'rights = ["dump", "flush", "watch"]'),
  ].join('\n')
  // One thread: what several write into the audit log is in order only of each.
  const server = await start(usersFile, ['--audit-log', audit, '-t', '1'])
  const names = ['root', 'sally', 'bob', 'flusher', 'dumper', 'guest']
  const clients = await Promise.all(names.map((name) => login(server, name)))
  const [root, sally, bob, flusher, dumper, guest] = clients as [TextClient, ...TextClient[]]
  await sally!.ask('set basket 0 0 5\r\nsally\r\n')
  await bob!.ask('set post 0 0 3\r\nbob\r\n')
  await root.ask('set own 0 0 4\r\nroot\r\n')
  const dump = 'namespace shop lru_crawler mgdump all\r\n'
  expect(await root.ask(dump, 'EN\r\n')).toBe('OK\r\nmg basket\r\nEN\r\n')
  const named = await root.ask('namespace shop stats items\r\n', 'END\r\n')
  expect(named).toContain('STAT items:1:number 1\r\n')
  // Nobody else, and nothing but these: items are their users' own.
  const lacking = await guest!.ask('flush_all\r\n')
  expect(lacking).toMatch(/^CLIENT_ERROR /)
  for (const client of [sally!, bob!, dumper!, guest!]) {
    for (const line of [dump, 'namespace shop flush_all\r\n', 'namespace none flush_all\r\n']) {
      expect(await client.ask(line)).toBe(lacking)
    }
  }
  expect(await flusher!.ask(dump)).toBe(lacking)
  expect(await dumper!.ask('namespace default flush_all\r\n')).toBe(lacking)
  expect(await root.ask('namespace none flush_all\r\n')).toBe('CLIENT_ERROR no such namespace\r\n')
  for (const line of [
    'get basket',
    'flush_all 10',
    'verbosity 1',
    'stats reset',
    'cache_memlimit 9',
  ]) {
    expect(await root.ask(`namespace shop ${line}\r\n`)).toMatch(/^CLIENT_ERROR usage: namespace/)
  }
  // A request behind it is one of its own namespace again.
  root.send('namespace shop flush_all\r\nget own basket\r\nset new 0 0 3\r\nnew\r\n')
  expect(await root.until('END\r\nSTORED\r\n')).toBe(
    'OK\r\nVALUE own 0 4\r\nroot\r\nEND\r\nSTORED\r\n',
  )
  expect(await sally!.ask('get basket\r\n')).toBe('END\r\n')
  expect(await bob!.ask('get post\r\n', 'END\r\n')).toContain('bob')
  expect(await flusher!.ask('namespace blog flush_all\r\n')).toBe('OK\r\n')
  expect(await bob!.ask('get post\r\n')).toBe('END\r\n')

  // A watcher sees that namespace alone, until it may not any more.
  expect(await root.ask('namespace shop watch mutations\r\n')).toBe('OK\r\n')
  await bob!.ask('set post 0 0 3\r\nbob\r\n')
  await sally!.ask('set seen 0 0 1\r\nx\r\n')
  expect(await root.until('status=stored')).toMatch(/^ts=\S+ gid=1 type=item_store key=seen/)
  await reload(server, usersFile.replace(ROOT, user('root', 'rights = ["watch", "dump"]')))
  await expect.poll(() => root.hasEnded, { timeout: 60_000 }).toBe(true)

  await server.stop()
  const lines = readFileSync(audit, 'utf8').split('\n').slice(0, -1)
  const operations = lines.map((line) => JSON.parse(line)).filter((it) => it.event === 'operation')
  expect(operations).toMatchObject([
    { user: 'root', operation: 'dump-keys', namespace: 'shop' },
    { user: 'root', operation: 'flush', namespace: 'shop' },
    { user: 'flusher', operation: 'flush', namespace: 'blog' },
    { user: 'root', operation: 'watch', namespace: 'shop' },
  ])
})

test('who watches a namespace by its name is cut off when that goes away', async () => {
  const server = await start()
  const root = await login(server, 'root')
  expect(await root.ask('namespace blog watch mutations\r\n')).toBe('OK\r\n')
  await reload(server, [SHOP, ROOT, SALLY].join('\n'))
  await expect.poll(() => root.hasEnded, { timeout: 60_000 }).toBe(true)
})

test('who connects is told to watchers of the default namespace, and to no tenant', async () => {
  const server = await start(ALL, ['-t', '1'])
  const [watcher, tenant] = await Promise.all([login(server, 'bob'), login(server, 'bob')])
  const own = await login(server, 'root')
  for (const each of [watcher, own]) {
    expect(await each.ask('watch connevents mutations\r\n')).toBe('OK\r\n')
  }
  // What was told last was of the tenant's namespace.
  expect(await tenant.ask('set mine 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
  const stranger = await login(server, 'sally')
  await own.until('type=conn_new')
  stranger.socket.destroy()
  await own.until('type=conn_close')
  expect(await tenant.ask('set last 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
  expect(await watcher.until('key=last')).not.toContain('type=conn')
})

test('a connection that logs in anew is in the other namespace with its next request', async () => {
  const server = await start()
  const client = await login(server, 'sally')
  const value = 'x'.repeat(1_500_000)
  client.send(
    `set key 0 0 5\r\nsally\r\n${auth('bob')}set key 0 0 3\r\nbob\r\nget key\r\n` +
      `set large 0 0 ${value.length}\r\n${value}\r\n${auth('sally')}get key large\r\n` +
      `set large 0 0 ${value.length}\r\n${value}\r\nappend large 0 0 3\r\nend\r\n${auth('root')}` +
      'get key large\r\nmn\r\n',
  )
  const answers = (await client.until('MN\r\n')).split('\r\n')
  const [loggedIn, stored] = ['SASL_OK', 'STORED']
  expect(answers).toEqual([
    ...[stored, loggedIn, stored, 'VALUE key 0 3', 'bob', 'END', stored, loggedIn],
    ...['VALUE key 0 5', 'sally', 'END', stored, stored, loggedIn, 'END', 'MN', ''],
  ])
  await relogin(client, 'bob')
  expect((await client.ask('get large\r\n', 'END\r\n')).length).toBeGreaterThan(value.length)
})

test('one that floods evicts its own, and gives what it borrowed back to its owner', async () => {
  const server = await start()
  const [root, sally, bob] = await Promise.all(
    ['root', 'sally', 'bob'].map((name) => login(server, name)),
  )
  await flood(bob!, 'flood', 70_000)
  const lent = await statsOf(root!, ' namespaces')
  expect(Number(lent['blog:bytes'])).toBeGreaterThan(50 * 2 ** 20)
  expect(Number(lent['blog:borrowed_bytes'])).toBeGreaterThan(45 * 2 ** 20)
  expect(lent).toMatchObject({ 'shop:evictions': '0', 'default:evictions': '0' })
  await Promise.all([flood(bob!, 'more', 40_000), flood(sally!, 'mine', 14_000)])
  const back = await statsOf(root!, ' namespaces')
  expect(back).toMatchObject({ 'shop:evictions': '0', 'shop:curr_items': '14000' })
  expect(Number(back['blog:evictions'])).toBeGreaterThan(10_000)
  expect(await sally!.ask('get mine0\r\n', 'END\r\n')).toContain('VALUE mine0')
})

test('a reload adds, changes and removes namespaces; who is in one that is gone is cut off', async () => {
  const server = await start([SHOP, SALLY, ROOT].join('\n'))
  const [root, sally] = await Promise.all(['root', 'sally'].map((name) => login(server, name)))
  await flood(sally!, 'key', 1000)
  // A large value is on its way while the namespace goes.
  const late = await login(server, 'sally')
  late.send(`set large 0 0 2000000\r\n${'x'.repeat(1_500_000)}`)
  await reload(server, [SHOP.replace('16m', '20m'), BLOG, SALLY, BOB, ROOT].join('\n'))
  expect(await statsOf(root!, ' namespaces')).toMatchObject({
    'shop:quota_bytes': String(20 * 2 ** 20),
    'shop:curr_items': '1000',
    'blog:quota_bytes': String(2 ** 23),
  })
  const bob = await login(server, 'bob')
  expect(await bob.ask('set key 0 0 3\r\nbob\r\n')).toBe('STORED\r\n')
  await reload(server, [BLOG, BOB, ROOT].join('\n'))
  await Promise.all([sally!.untilEnd(), late.untilEnd()])
  expect(Object.keys(await statsOf(root!, ' namespaces'))).not.toContain('shop:curr_items')
  expect(await bob.ask('get key\r\n', 'END\r\n')).toContain('bob')
  expect(await root!.ask('get key0\r\n')).toBe('END\r\n')
  // The memory has gone back: the default namespace has it.
  await flood(root!, 'root', 50_000)
  expect(await statsOf(root!, ' namespaces')).toMatchObject({ 'default:evictions': '0' })
  await reload(server, [SHOP, BLOG, SALLY, BOB, ROOT].join('\n'))
  const again = await login(server, 'sally')
  expect(await again.ask('get key0\r\n'), 'it comes back empty').toBe('END\r\n')
  // What cannot be stays as it was.
  await reload(server, [SHOP.replace('16m', '54m'), BLOG, SALLY, BOB, ROOT].join('\n'))
  expect(refusal(server)).toContain('must be left for users without')
  expect(await again.ask('set key 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
  await reload(server, [SHOP.replace('16m', '1m'), BLOG, SALLY, BOB, ROOT].join('\n'))
  expect(refusal(server)).toContain('namespace "shop" has 1 MiB: it needs')
})

test('quotas that do not fit keep the server from starting, with the reason', async () => {
  const large = SHOP.replace('16m', '62m')
  await expect(start([large, SALLY, ROOT].join('\n'))).rejects.toThrow(/must be left|ended with/)
})
