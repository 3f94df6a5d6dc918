/** `saslcached user add|set|show|check|list` with roles, rights, prefixes and namespaces. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeDirectory, run } from './support.ts'

const SHOP = '[namespaces.shop]\nmemory = "64m"\n'

function usersFile(text: string): { readonly path: string; read(): string } {
  const path = join(makeDirectory(), 'users.toml')
  writeFileSync(path, text)
  return { path, read: () => readFileSync(path, 'utf8') }
}

describe('user add', () => {
  test('writes what the user may do behind its verifiers', async () => {
    const { path, read } = usersFile(SHOP)
    const flags = ['--role', 'readonly', '--namespace', 'shop', '--rights', 'write,delete']
    const prefixes = ['--prefix', 'shop:', '--prefix', 'cart:']
    const added = await run(['user', 'add', 'alice', '--file', path, ...flags, ...prefixes], {
      stdin: 's3cret\n',
    })
    expect(added.exitCode).toBe(0)
    expect(read().startsWith(SHOP)).toBe(true)
    expect(
      read().endsWith(
        ']\nroles = ["readonly"]\nrights = ["write", "delete"]\nkey_prefixes = ["shop:", "cart:"]\nnamespace = "shop"\n',
      ),
    ).toBe(true)
    const { out } = await run(['user', 'show', 'alice', '--file', path])
    expect(out).toBe(
      `user        alice
password    yes
roles       readonly
rights      read, write, delete
keys        that begin with "shop:" or "cart:"
namespace   shop
`,
    )
  })

  test('makes a user without a password, and asks for none', async () => {
    const { path, read } = usersFile('[users]\n')
    const flags = ['--no-password', '--role', 'monitor']
    expect((await run(['user', 'add', 'monitor', '--file', path, ...flags])).exitCode).toBe(0)
    expect(read()).toBe('[users]\n\n[users.monitor]\npassword_login = false\nroles = ["monitor"]\n')
    expect((await run(['user', 'list', '--file', path])).out).toBe(
      'monitor  no password  roles monitor\n',
    )
    // It gets one later, in the place of the line that says that it has none.
    await run(['user', 'passwd', 'monitor', '--file', path], { stdin: 's3cret\n' })
    expect(read()).not.toContain('password_login')
    expect(read()).toMatch(/\[users\.monitor\]\nverifiers = \[\n[^\]]*\]\nroles = \["monitor"\]\n$/)
  })

  test.each([
    [['--role', 'nobody'], 'there is no role "nobody"'],
    [['--rights', 'read,wirte'], 'unknown right "wirte"'],
    [['--namespace', 'none'], 'there is no namespace "none"'],
    [['--prefix', 'a', '--prefix', 'ab'], '"ab" begins with "a"'],
    [['--role', 'admin', '--prefix', 'a'], 'cannot be bound to key_prefixes'],
  ])('with %j says what is wrong, and writes nothing', async (flags, message) => {
    const { path, read } = usersFile(SHOP)
    const argv = ['user', 'add', 'alice', '--file', path, ...flags]
    const { exitCode, err } = await run(argv, { stdin: 's3cret\n' })
    expect(exitCode).toBe(1)
    expect(err).toContain(message)
    expect(read()).toBe(SHOP)
  })
})

describe('user set', () => {
  const TEXT = `# ours
${SHOP}
[users.alice] # of the shop
password = "x" # for now
roles = ["readonly"] # not more

# behind
[users.bob]
password = "y"
`

  test('changes what is given, and leaves all else as a person wrote it', async () => {
    const { path, read } = usersFile(TEXT)
    const argv = ['user', 'set', 'alice', '--file', path, '--role', 'readwrite', '--prefix', 'a']
    expect((await run(argv)).exitCode).toBe(0)
    expect(read()).toBe(
      TEXT.replace('["readonly"] # not more', '["readwrite"] # not more\nkey_prefixes = ["a"]'),
    )
    await run(['user', 'set', 'bob', '--file', path, '--namespace', 'shop'])
    expect(read().endsWith('password = "y"\nnamespace = "shop"\n')).toBe(true)
  })

  test('with --reset takes away what is not given', async () => {
    const { path, read } = usersFile(TEXT)
    await run(['user', 'set', 'alice', '--file', path, '--reset', '--rights', 'stats'])
    expect(read()).toBe(TEXT.replace('\nroles = ["readonly"] # not more', '\nrights = ["stats"]'))
    await run(['user', 'set', 'alice', '--file', path, '--reset'])
    expect(read()).toBe(TEXT.replace('\nroles = ["readonly"] # not more', ''))
  })

  test('takes roles and rights as lists, too', async () => {
    const { path, read } = usersFile(TEXT)
    const lists = ['--role', 'readonly, monitor', '--rights', 'write, delete']
    const { exitCode } = await run(['user', 'set', 'alice', ...lists, '--file', path])
    expect(exitCode).toBe(0)
    expect(read()).toContain('roles = ["readonly", "monitor"]')
    expect(read()).toContain('rights = ["write", "delete"]')
  })

  test('with nothing to set says so', async () => {
    const { path } = usersFile(TEXT)
    const { exitCode, err } = await run(['user', 'set', 'alice', '--file', path])
    expect([exitCode, err]).toEqual([1, expect.stringContaining('nothing to set')])
  })
})

test('user list tells all that a user may do: roles, and the rights that stand beside them', async () => {
  const { path } = usersFile(`${SHOP}[roles.reader]
rights = ["read"]
[users.both]
password_login = false
roles = ["monitor", "reader"]
rights = ["read", "write", "touch"]
key_prefixes = ["a:"]
[users.roles]
password_login = false
roles = ["reader"]
rights = ["read"]
[users.admin]
password_login = false
roles = ["admin"]
rights = ["write"]
[users.rights]
password_login = false
rights = ["read", "write"]
namespace = "shop"
[users.all]
password_login = false
`)
  const { out, err } = await run(['user', 'list', '--file', path])
  expect(err).toBe('')
  expect(out.trimEnd().split('\n')).toEqual([
    'both    no password  roles monitor,reader; rights write, touch; keys "a:"',
    'roles   no password  roles reader',
    'admin   no password  roles admin',
    'rights  no password  rights read, write; namespace shop',
    'all     no password',
  ])
})

describe('user check', () => {
  const TEXT = `${SHOP}[users.alice]
password = "x"
roles = ["readonly"]
key_prefixes = ["shop:"]
namespace = "shop"
[users.bob]
password = "y"
[users.eve]
password = "y"
rights = ["stats", "arithmetic"]
[users.sid]
password = "y"
namespace = "shop"
`

  test.each([
    ['alice', 'get shop:1', 'yes: it has read, and the key begins as it must'],
    ['alice', 'set shop:1', 'no: it lacks write'],
    ['alice', 'get cart:1', 'no: cart:1 does not begin with "shop:"'],
    ['alice', 'get shop:1 shop:2 cart:1', 'no: cart:1 does not begin with "shop:"'],
    ['alice', 'mg shop:1 v N30', 'no: it lacks write'],
    ['alice', 'mg shop:1 v', 'yes: it has read, and the key begins as it must'],
    ['alice', 'mg c2hvcDox b v', 'yes: it has read, and the key begins as it must'],
    ['alice', 'gat shop:1', 'no: it lacks touch'],
    ['alice', 'version', 'yes: that takes no right'],
    ['alice', 'stats', 'no: it lacks stats'],
    ['bob', 'flush_all', 'yes: it has flush'],
    ['bob', 'shutdown', 'no: the server does not offer shutdown'],
    ['eve', 'stats slabs', 'yes: it has stats'],
    ['eve', 'stats detail dump', 'no: it lacks dump'],
    ['eve', 'incr n', 'yes: it has arithmetic'],
    ['eve', 'ma n N0', 'no: it lacks write'],
    ['eve', 'verbosity 2', 'no: it lacks admin'],
    ['eve', 'watch', 'no: it lacks watch'],
    ['eve', 'stats namespaces', 'no: it lacks admin'],
    ['bob', 'stats namespace shop', 'yes: it has stats and admin'],
    ['bob', 'verbosity 1', 'yes: it has admin'],
    ['bob', 'refresh_certs', 'no: the server does not offer refresh_certs'],
    ['sid', 'flush_all', 'yes: it has flush'],
    ['sid', 'stats', 'yes: it has stats'],
    ['sid', 'stats reset', 'yes: it has admin'],
    ['sid', 'verbosity 1', 'no: it is about all namespaces, and the user is in shop'],
    ['sid', 'cache_memlimit 64', 'no: it is about all namespaces, and the user is in shop'],
    ['sid', 'stats namespaces', 'no: it is about all namespaces, and the user is in shop'],
  ])('%s %s: %s', async (user, command, answer) => {
    const { path } = usersFile(TEXT)
    const { exitCode, out } = await run([
      'user',
      'check',
      user,
      ...command.split(' '),
      '--file',
      path,
    ])
    expect(out).toBe(`${answer}\n`)
    expect(exitCode).toBe(answer.startsWith('yes') ? 0 : 1)
  })

  test('knows what the server does not offer', async () => {
    const { path } = usersFile(TEXT)
    const environment = { SASLCACHED_DISABLE_FLUSH_ALL: 'true' }
    const argv = ['user', 'check', 'bob', 'flush_all', '--file', path]
    expect((await run(argv, { environment })).out).toBe('no: the server does not offer flush_all\n')
  })

  test('of a user or a command that there is not says so', async () => {
    const { path } = usersFile(TEXT)
    const nobody = await run(['user', 'check', 'nobody', 'get', 'a', '--file', path])
    expect([nobody.exitCode, nobody.err]).toEqual([1, expect.stringContaining('no user "nobody"')])
    const nothing = await run(['user', 'check', 'alice', 'fetch', 'a', '--file', path])
    expect([nothing.exitCode, nothing.err]).toEqual([
      78,
      expect.stringContaining('is no whole command'),
    ])
  })
})
