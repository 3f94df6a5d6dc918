/** Rights, roles, key prefixes and namespaces in users.toml: what they come to, and what is refused where. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BUILT_IN_ROLES } from '../../../src/credential/access.ts'
import { CredentialSource } from '../../../src/credential/credential-source.ts'
import { CredentialStore } from '../../../src/credential/credential-store.ts'
import { KeyPrefixes } from '../../../src/credential/key-prefixes.ts'
import { NEVER } from '../../../src/credential/principal.ts'
import {
  RIGHT,
  RIGHT_NAMES,
  RIGHTS_ALL,
  RIGHTS_BEYOND_KEYS,
} from '../../../src/credential/rights.ts'
import { parseUsersFile } from '../../../src/credential/users-file.ts'
import { configuredMechanisms } from '../../../src/sasl/mechanisms.ts'
import { fuzzParameters } from './fuzz-parameters.ts'

function problemsOf(text: string): string[] {
  return parseUsersFile(text, 'f').problems.map(({ line, message }) => `${line}: ${message}`)
}

function accessOf(text: string) {
  const { users, problems } = parseUsersFile(`${text}\n`, 'f')
  expect(problems).toEqual([])
  return users[0]?.access
}

const USER = '[users.a]\npassword = "x"\n'

/** A source of one file that a test can change. */
function sourceOf(text: string, memoryBytes?: number) {
  const file = { text }
  const source = new CredentialSource({
    files: [{ path: 'users.toml', format: 'toml' }],
    mechanisms: configuredMechanisms(['PLAIN']),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    access: {
      read: async () => ({
        bytes: Buffer.from(file.text),
        stats: { mode: 0o600 } as never,
      }),
      signature: async () => '',
    },
  })
  return { file, source }
}

describe('what a user may do', () => {
  test('is everything without an entry', () => {
    expect(accessOf(USER)).toBe(undefined)
  })

  test('is what its rights and its roles have together', () => {
    const text = `[roles.counter]\nrights = ["arithmetic"]\n${USER}roles = ["readonly", "counter"]\nrights = ["stats"]`
    expect(accessOf(text)).toEqual({
      rights: RIGHT.arithmetic | RIGHT.read | RIGHT.stats,
      keyPrefixes: undefined,
      namespace: 'default',
    })
  })

  test('on some keys or in a namespace is what can be done there, and nothing beyond', () => {
    const text = `[namespaces.shop]\nmemory = "64m"\n${USER}key_prefixes = ["shop:", "é"]\nnamespace = "shop"`
    expect(accessOf(text)).toEqual({
      rights: RIGHTS_ALL & ~RIGHTS_BEYOND_KEYS,
      keyPrefixes: ['shop:', 'é'],
      namespace: 'shop',
    })
  })

  test('may come with prefixes and a namespace of one of its roles', () => {
    const text = `[namespaces.shop]\nmemory = 2000000\n[roles.shop]\nrights = ["write"]\nkey_prefixes = ["s"]\nnamespace = "shop"\n${USER}roles = ["readonly", "shop"]`
    expect(accessOf(text)).toEqual({
      rights: RIGHT.write | RIGHT.read,
      keyPrefixes: ['s'],
      namespace: 'shop',
    })
  })

  test.each([
    ['readonly', ['read']],
    ['readwrite', ['read', 'write', 'delete', 'arithmetic', 'touch']],
    ['monitor', ['stats']],
    ['operator', RIGHT_NAMES.filter((name) => name !== 'admin')],
    ['admin', RIGHT_NAMES],
  ])('%s is a role that is built in', (name, rights) => {
    const role = BUILT_IN_ROLES.find((each) => each.name === name)
    expect(RIGHT_NAMES.filter((right) => ((role?.rights ?? 0) & RIGHT[right]) !== 0)).toEqual(
      rights,
    )
  })

  test('a user without a password has no verifier, and says so', () => {
    const { users, problems } = parseUsersFile('[users.m]\npassword_login = false\n', 'f')
    expect(problems).toEqual([])
    expect(users).toMatchObject([{ name: 'm', verifiers: [], passwords: [] }])
  })
})

const ROLES_257 = Array.from({ length: 257 }, (_, n) => `r${n} = { rights = ["read"] }`).join('\n')
const NAMESPACES_65 = Array.from({ length: 65 }, (_, n) => `n${n} = { memory = "1m" }`).join('\n')
const list = (length: number, text: (n: number) => string) =>
  JSON.stringify(Array.from({ length }, (_, n) => text(n)))

describe('refused, with its line, is', () => {
  test.each([
    [
      'an unknown right',
      `${USER}rights = [\n"read",\n"raed"]`,
      '5: user "a": unknown right "raed"; known are read, write',
    ],
    ['an empty list of rights', `${USER}rights = []`, '3: user "a": rights is empty'],
    ['an empty list of roles', `${USER}roles = []`, '3: user "a": roles is empty'],
    ['an empty list of prefixes', `${USER}key_prefixes = []`, '3: user "a": key_prefixes is empty'],
    ['a right twice', `${USER}rights = ["read", "read"]`, '3: user "a": "read" stands there twice'],
    [
      'a right that is no text',
      `${USER}rights = [1]`,
      '3: user "a": rights must be an array of strings',
    ],
    [
      'rights that are no list',
      `${USER}rights = "read"`,
      '3: user "a": rights must be an array of strings',
    ],
    [
      'an unknown role',
      `${USER}roles = ["radonly"]`,
      '3: user "a": there is no role "radonly"; state it under [roles], or take one of readonly,',
    ],
    [
      'an unknown namespace',
      `${USER}namespace = "shop"`,
      '3: user "a": there is no namespace "shop"; state its memory under [namespaces.shop]',
    ],
    [
      'a namespace that is no name',
      `${USER}namespace = 3`,
      '3: user "a": namespace must be the name of one',
    ],
    [
      'an empty prefix',
      `${USER}key_prefixes = [""]`,
      '3: user "a": every key begins with an empty prefix',
    ],
    [
      'a prefix with a blank',
      `${USER}key_prefixes = ["a b"]`,
      '3: user "a": a prefix has no blank',
    ],
    [
      'a prefix with a control character',
      `${USER}key_prefixes = ["a\\u0007"]`,
      '3: user "a": a prefix has no blank',
    ],
    [
      'a prefix of 251 bytes',
      `${USER}key_prefixes = ["${'x'.repeat(251)}"]`,
      '3: user "a": this prefix has 251 bytes',
    ],
    [
      'a prefix in another',
      `${USER}key_prefixes = [\n"shop:cart:",\n"shop:"]`,
      '4: user "a": "shop:cart:" begins with "shop:"',
    ],
    [
      'the same prefix twice',
      `${USER}key_prefixes = ["a", "a"]`,
      '3: user "a": "a" stands there twice',
    ],
    [
      '33 prefixes',
      `${USER}key_prefixes = ${list(33, (n) => `${n}:`)}`,
      '3: user "a": key_prefixes has 33 entries; at most 32',
    ],
    [
      '17 roles',
      `[roles]\n${ROLES_257.split('\n').slice(0, 20).join('\n')}\n${USER}roles = ${list(17, (n) => `r${n}`)}`,
      '24: user "a": roles has 17 entries; at most 16',
    ],
    ['257 roles', `[roles]\n${ROLES_257}`, '1: the file has 257 roles; at most 256'],
    [
      '65 namespaces',
      `[namespaces]\n${NAMESPACES_65}`,
      '1: the file has 65 namespaces; at most 64',
    ],
    [
      'flush with prefixes',
      `${USER}rights = ["read", "flush"]\nkey_prefixes = ["a"]`,
      '3: user "a": flush cannot be bound to key_prefixes, which the user states',
    ],
    [
      'a role beyond keys with prefixes',
      `${USER}roles = ["admin"]\nkey_prefixes = ["a"]`,
      '3: user "a": flush, dump, watch, admin cannot be bound',
    ],
    [
      'prefixes in two places',
      `[roles.r]\nrights = ["read"]\nkey_prefixes = ["r"]\n${USER}roles = ["r"]\nkey_prefixes = ["a"]`,
      '7: user "a": the user and role "r" both state key_prefixes',
    ],
    [
      'prefixes of two roles',
      `[roles.r]\nrights = ["read"]\nkey_prefixes = ["r"]\n[roles.s]\nrights = ["write"]\nkey_prefixes = ["s"]\n${USER}roles = ["r", "s"]`,
      '9: user "a": role "r" and role "s" both state key_prefixes',
    ],
    [
      'two namespaces',
      `[namespaces]\nn = { memory = "1m" }\nm = { memory = "1m" }\n[roles.r]\nrights = ["read"]\nnamespace = "n"\n${USER}roles = ["r"]\nnamespace = "m"`,
      '10: user "a": the user and role "r" state different namespaces',
    ],
    [
      'a role without rights',
      '[roles.r]\nkey_prefixes = ["a"]',
      '1: role "r": a role must have rights',
    ],
    [
      'a role that contradicts itself',
      '[roles.r]\nrights = ["dump"]\nkey_prefixes = ["a"]',
      '2: role "r": dump cannot be bound to key_prefixes',
    ],
    [
      'a role of a built-in name',
      '[roles.admin]\nrights = ["read"]',
      '1: role "admin": this role is built in',
    ],
    [
      'a role with a blank in its name',
      '[roles."a b"]\nrights = ["read"]',
      '1: role "a b": a name has 1 to 64 of',
    ],
    [
      'a role with an unknown setting',
      '[roles.r]\nrights = ["read"]\nright = 1',
      '3: role "r": unknown setting "right"',
    ],
    ['roles that are no table', 'roles = 1', '1: roles must be a table'],
    ['a role that is no table', '[roles]\nr = 1', '2: role "r": this must be a table'],
    [
      'a namespace of 1 KiB',
      '[namespaces.n]\nmemory = "1k"',
      '2: namespace "n": memory must be a size of at least 1m',
    ],
    ['a namespace without memory', '[namespaces.n]', '1: namespace "n": memory must be a size'],
    [
      'a namespace with half a byte',
      '[namespaces.n]\nmemory = 2000000.5',
      '2: namespace "n": memory must be a size',
    ],
    [
      'a namespace beyond numbers',
      '[namespaces.n]\nmemory = "999999999999999g"',
      '2: namespace "n": memory must be a size',
    ],
    [
      'the default namespace',
      '[namespaces.default]\nmemory = "1m"',
      '1: namespace "default": the default namespace has what the others leave',
    ],
    [
      'a password that is not to be used',
      '[users.a]\npassword = "x"\npassword_login = false',
      '3: user "a": this user has a password; keep one of the two',
    ],
    [
      'a word for no password',
      '[users.a]\npassword_login = "no"',
      '2: user "a": password_login must be true or false',
    ],
  ])('%s', (_what, text, expected) => {
    const problems = problemsOf(`${text}\n`)
    expect(problems).toHaveLength(1)
    expect(problems[0]?.startsWith(expected), problems[0]).toBe(true)
  })

  test('nothing at the limits', () => {
    const text = `[roles]\n${ROLES_257.split('\n').slice(0, 256).join('\n')}
[namespaces]\n${NAMESPACES_65.split('\n').slice(0, 64).join('\n')}
${USER}roles = ${list(16, (n) => `r${n}`)}
key_prefixes = ${JSON.stringify(['x'.repeat(250), ...Array.from({ length: 31 }, (_, n) => `${n}:`)])}\n`
    expect(problemsOf(text)).toEqual([])
  })
})

describe('a source', () => {
  const spaces = (...names: string[]) =>
    `[users]\n${names.map((name) => `[namespaces.${name}]\nmemory = "1m"\n`).join('')}`
  const idsOf = async (source: CredentialSource) =>
    Object.fromEntries((await source.load()).namespaces.map(({ name, id }) => [name, id]))

  test('numbers namespaces once for all, whatever comes and goes', async () => {
    const { file, source } = sourceOf(spaces('b', 'a'))
    expect(await idsOf(source)).toEqual({ default: 0, b: 1, a: 2 })
    file.text = spaces('c', 'a')
    expect(await idsOf(source)).toEqual({ default: 0, c: 3, a: 2 })
    file.text = spaces('b')
    expect(await idsOf(source)).toEqual({ default: 0, b: 1 })
  })

  test('gives no number for a file that is refused, and says when there are none left', async () => {
    const { file, source } = sourceOf(spaces('first'))
    await source.load()
    file.text = `${spaces('broken')}colour = 1\n`
    await expect(source.load()).rejects.toThrow('colour')
    for (let round = 0; round < 6; round++) {
      file.text = spaces(...Array.from({ length: 64 }, (_, n) => `r${round}n${n}`))
      const isLast = round > 2
      if (isLast) await expect(source.load()).rejects.toThrow('more than 255 namespaces')
      else await source.load()
    }
    file.text = spaces('first', ...Array.from({ length: 62 }, (_, n) => `last${n}`))
    expect((await idsOf(source)).last61).toBe(255)
  })

  test('refuses quotas that are more than the memory together', async () => {
    const { file, source } = sourceOf(spaces('a', 'b'), 2 * 1024 * 1024)
    expect((await source.load()).namespaces.map(({ memoryBytes }) => memoryBytes)).toEqual([
      0, 1_048_576, 1_048_576,
    ])
    file.text = spaces('a', 'b', 'c')
    await expect(source.load()).rejects.toThrow(
      'users.toml:6: the namespaces up to "c" have 3 MiB together, more than the 2 MiB of the server (-m)',
    )
  })
})

describe('the store of users', () => {
  const TEXT = `[namespaces.shop]
memory = "1m"
[roles.shop]
rights = ["read"]
key_prefixes = ["s"]
namespace = "shop"
[roles.other]
rights = ["write"]
key_prefixes = ["o"]
[users.alice]
password = "x"
roles = ["shop"]
[users.m]
password_login = false
roles = ["monitor"]
`

  test('makes principals of users, of certificates and of tokens', async () => {
    const store = new CredentialStore(await sourceOf(TEXT).source.load())
    expect(store.principalOf('alice', 'certificate', 5)).toEqual({
      name: 'alice',
      origin: 'certificate',
      rights: RIGHT.read,
      keyPrefixes: new KeyPrefixes([new TextEncoder().encode('s')]),
      namespace: 1,
      roles: undefined,
      expiresAt: 5,
    })
    const roles = ['nothing-of-ours', 'shop', 'monitor']
    expect(store.principalWithRoles('pod', 'token', roles)).toMatchObject({
      rights: RIGHT.read | RIGHT.stats,
      namespace: 1,
      roles: ['monitor', 'shop'],
      expiresAt: NEVER,
    })
    expect(store.principalWithRoles('pod', 'token', ['nothing-of-ours'])).toBe(undefined)
    // Each would give its right on the keys of the other.
    expect(store.principalWithRoles('pod', 'token', ['shop', 'other'])).toBe(undefined)
  })

  test('looks a principal up again, as it was vouched for', async () => {
    const { file, source } = sourceOf(TEXT)
    const store = new CredentialStore(await source.load())
    const alice = store.principalOf('alice')
    const pod = store.principalWithRoles('pod', 'token', ['shop'], 7)
    if (pod === undefined) throw new Error('no principal')
    file.text = TEXT.replace('rights = ["read"]', 'rights = ["delete"]')
    store.replace(await source.load())
    expect(store.renew(alice)).toMatchObject({ name: 'alice', rights: RIGHT.delete })
    expect(store.renew(pod)).toMatchObject({ rights: RIGHT.delete, expiresAt: 7 })
    file.text = '[users.m]\npassword_login = false\n'
    store.replace(await source.load())
    expect([store.renew(alice), store.renew(pod)]).toEqual([undefined, undefined])
  })

  test('shows of a user without a password what it shows of nobody', async () => {
    const snapshot = await sourceOf(TEXT).source.load()
    const store = new CredentialStore(snapshot)
    expect(store.has('m')).toBe(true)
    expect(store.findForPassword('m').known).toBe(false)
    expect(store.findForPassword('nobody').known).toBe(false)
    expect(snapshot.shapes).toHaveLength(1)
    expect(snapshot.lacking.flatMap(({ userNames }) => userNames)).not.toContain('m')
  })
})

test('spoiled anywhere, a file gives users or problems, never throws, and widens no access', () => {
  const good = `[namespaces.shop]
memory = "64m"
[roles.r]
rights = ["read", "touch"]
key_prefixes = ["product:", "price:"]
namespace = "shop"
[users.a]
password = "p"
roles = ["r"]
rights = ["stats"]
`
  const [allowed] = parseUsersFile(good, 'f').users
  const property = fc.property(
    fc.nat(good.length),
    fc.nat(4),
    fc.oneof(
      fc.string({ maxLength: 3 }),
      fc.constantFrom('"', "'", '[', ']', '=', '\n', '\\', '"""', '{', '}', '#', 'roles', '[]'),
    ),
    (at, cut, junk) => {
      const text = good.slice(0, at) + junk + good.slice(at + cut)
      const { users, roles, namespaces, problems } = parseUsersFile(text, 'f')
      if (problems.length > 0) return
      for (const { access } of users) {
        if (access === undefined) continue
        expect(access.rights & ~RIGHTS_ALL).toBe(0)
        expect(access.keyPrefixes).not.toEqual([])
        const names = ['default', ...namespaces.map(({ name }) => name)]
        expect(names).toContain(access.namespace)
        // Rights come from what is written there, never from nothing.
        if (/^\s*rights/m.test(text.slice(text.indexOf('[users'))))
          expect(access.rights).not.toBe(RIGHTS_ALL)
      }
      for (const role of roles) expect(role.name).not.toBe('')
    },
  )
  expect(allowed?.access?.namespace).toBe('shop')
  fc.assert(property, fuzzParameters(1000))
})

test('any rights, roles and prefixes that are good together come to what they say', () => {
  const right = fc.constantFrom(...RIGHT_NAMES)
  const rights = fc.uniqueArray(right, { minLength: 1, maxLength: 10 })
  const property = fc.property(
    fc.option(rights, { nil: undefined }),
    fc.option(rights, { nil: undefined }),
    fc.boolean(),
    (own, ofRole, isBound) => {
      const text = [
        ...(ofRole === undefined ? [] : ['[roles.r]', `rights = ${JSON.stringify(ofRole)}`]),
        '[users.a]',
        'password = "x"',
        ...(own === undefined ? [] : [`rights = ${JSON.stringify(own)}`]),
        ...(ofRole === undefined ? [] : ['roles = ["r"]']),
        ...(isBound ? ['key_prefixes = ["a"]'] : []),
      ].join('\n')
      const { users, problems } = parseUsersFile(text, 'f')
      const all = [...(own ?? []), ...(ofRole ?? [])]
      const bits = all.reduce((sum, name) => sum | RIGHT[name], 0)
      if (isBound && (bits & RIGHTS_BEYOND_KEYS) !== 0) {
        expect(problems[0]?.message).toContain('cannot be bound to key_prefixes')
        return
      }
      expect(problems).toEqual([])
      const access = users[0]?.access
      if (all.length > 0) expect(access?.rights).toBe(bits)
      else if (isBound) expect(access?.rights).toBe(RIGHTS_ALL & ~RIGHTS_BEYOND_KEYS)
      else expect(access).toBe(undefined)
    },
  )
  fc.assert(property, fuzzParameters(300))
})
