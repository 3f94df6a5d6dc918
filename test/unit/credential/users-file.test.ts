import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseMemcachedFile } from '../../../src/credential/memcached-file.ts'
import { parseUsersFile } from '../../../src/credential/users-file.ts'
import { hashPassword, hashPasswordWith, parseVerifier } from '../../../src/credential/verifier.ts'
import { fuzzParameters } from './fuzz-parameters.ts'

const [SHA256 = '', SHA512 = '', SHA1 = ''] = hashPassword('secret')
const [OTHER_SALT = ''] = hashPassword('secret')

function secondOf(verifier: string, password: string): string {
  const parsed = parseVerifier(verifier)
  if (typeof parsed === 'string') throw new Error(parsed)
  return hashPasswordWith(password, parsed)
}

function problemsOf(text: string): string[] {
  return parseUsersFile(text, 'users.toml').problems.map(
    ({ file, line, message }) => `${file}:${line}: ${message}`,
  )
}

describe('users.toml', () => {
  test('gives users with verifiers, with passwords, and a decoy key', () => {
    const text = `
decoy_key = "${Buffer.alloc(32, 1).toString('base64')}"
[users.alice]
verifiers = ["${SHA256}", "${SHA512}", "${SHA1}"]
[users."bob@example.com"]
password = "in the clear"
[users.carol]
password = ["one", "two"]
`
    const { users, decoyKey, problems } = parseUsersFile(text, 'f')
    expect(problems).toEqual([])
    expect(Buffer.from(decoyKey ?? [])).toEqual(Buffer.alloc(32, 1))
    expect(users).toEqual([
      { name: 'alice', file: 'f', line: 3, verifiers: [SHA256, SHA512, SHA1], passwords: [] },
      { name: 'bob@example.com', file: 'f', line: 5, verifiers: [], passwords: ['in the clear'] },
      { name: 'carol', file: 'f', line: 7, verifiers: [], passwords: ['one', 'two'] },
    ])
  })

  test('may give a user two verifiers of a hash with equal salt and iterations', () => {
    const text = `[users.a]\nverifiers = ["${SHA256}", "${secondOf(SHA256, 'second')}"]\n`
    expect(problemsOf(text)).toEqual([])
  })

  test('with many problems tells all of them, each with its line and never with a secret', () => {
    const text = `colour = "red"
decoy_key = "c2hvcnQ="
[users.alice]
password = "hunter2"
verifiers = ["${SHA256}"]
[users.bob]
verifiers = [
  "${SHA256}",
  "hunter2",
  "${OTHER_SALT}",
  3,
]
[users.carol]
[users.dave]
password = ["hunter2", "hunter2", "hunter2"]
passwort = "hunter2"
[users.""]
password = "hunter2"
[users.erin]
password = ""
[users.IX]
password = "hunter2"
[users."\\u2168"]
password = "hunter2"
[users.frank]
verifiers = []
`
    const problems = problemsOf(text)
    expect(problems.map((problem) => problem.replace(/;.*/, ''))).toEqual(
      [
        'users.toml:1: unknown setting "colour"',
        'users.toml:11: user "bob": a verifier must be a string',
        'users.toml:13: user "carol": this user has neither password nor verifiers: set one with `saslcached user passwd`',
        'users.toml:15: user "dave": password must be a string, or an array of one or two strings',
        'users.toml:16: user "dave": unknown setting "passwort"',
        'users.toml:17: user "": the name is empty',
        'users.toml:20: user "erin": the password is empty',
        'users.toml:23: user "\u2168": this user is the same as that of line 21 after SASLprep',
        'users.toml:26: user "frank": verifiers is empty: give the user a password with `saslcached user passwd`',
        'users.toml:2: decoy_key must be at least 16 random bytes in base64',
        'users.toml:9: user "bob": this is not a verifier: <hash>$<iterations>:<salt>$<StoredKey>:<ServerKey> is expected',
        'users.toml:10: user "bob": the two SCRAM-SHA-256 verifiers of this user differ in salt or iterations, so they cannot be used together',
        'users.toml:4: user "alice": this user has a password and verifiers',
      ].sort((a, b) => Number(a.split(':')[1]) - Number(b.split(':')[1])),
    )
    expect(problems.join('\n')).not.toContain('hunter2')
  })

  test.each([
    ['a broken verifier', `verifiers = [\n"${SHA256}",\n"hunter2"]`, 4, 'this is not a verifier'],
    [
      'two salts',
      `verifiers = [\n"${SHA256}",\n"${OTHER_SALT}"]`,
      4,
      'differ in salt or iterations',
    ],
    [
      'three passwords',
      `verifiers = ["${SHA256}",\n"${secondOf(SHA256, '2')}",\n"${secondOf(SHA256, '3')}"]`,
      4,
      'more than 2 SCRAM-SHA-256 verifiers',
    ],
    ['a password of 1025 bytes', `password = "${'x'.repeat(1025)}"`, 2, '1025 bytes'],
    ['a password with a NUL', 'password = "a\\u0000b"', 2, 'NUL'],
  ])('refuses %s with its line', (_what, body, line, message) => {
    const problems = parseUsersFile(`[users.a]\n${body}\n`, 'f').problems
    expect(problems).toMatchObject([{ file: 'f', line, message: expect.stringContaining(message) }])
  })

  test('that is not TOML is refused with the line and without its text', () => {
    const [problem = ''] = problemsOf('[users.alice]\npassword = "hunter2\n')
    expect(problem).toMatch(/^users\.toml:2: this is not valid TOML: /)
    expect(problem).not.toContain('hunter2')
  })

  test.each([
    [
      '[users.alice]\npassword = hunter2\n',
      2,
      /the value of password is a text in quotation marks/,
    ],
    ['[users.alice]\nhunter2 = hunter2\n', 2, /the value is a text in quotation marks/],
    ['[users.alice]\nrights = [hunter2]\n', 2, /invalid value$/],
    ['[users.hunter2@example.com]\n', 1, /stand in quotation marks, as in \[users\."bob@example/],
    ['[users.alice\n', 1, /a table is \[name\]/],
    [
      'alice:hunter2:x\nbob:y\n',
      1,
      /a line NAME = VALUE; a file of lines user:password is given with -Y$/,
    ],
    ['[users.alice]\npassword "hunter2"\n', 2, /a setting is a line NAME = VALUE$/],
    ['[users.a]\npassword = "x"\npassword = "hunter2"\n', 3, /already defined[^;]*$/],
  ])('that is not TOML says what was expected: %j', (text, line, message) => {
    const { problems } = parseUsersFile(text, 'f')
    expect(problems).toMatchObject([{ line, message: expect.stringMatching(message) }])
    expect(JSON.stringify(problems)).not.toContain('hunter2')
  })

  test('whose users are no tables is refused', () => {
    expect(problemsOf('users = 3\n')).toEqual([
      'users.toml:1: users must be a table: [users.alice]',
    ])
    expect(problemsOf('[users]\nalice = "hunter2"\n')).toEqual([
      'users.toml:2: user "alice": a user must be a table with password or verifiers',
    ])
  })

  test('takes 10,000 users and refuses 10,001', () => {
    const line = (index: number): string => `u${index} = { password = "x" }\n`
    const at = `[users]\n${Array.from({ length: 10_000 }, (_, index) => line(index)).join('')}`
    expect(parseUsersFile(at, 'f').users).toHaveLength(10_000)
    expect(problemsOf(at + line(10_000))).toEqual([
      'users.toml:1: the file has 10001 users; at most 10000 are allowed',
    ])
  })

  test('takes names that JavaScript treats specially', () => {
    const { users } = parseUsersFile(
      '[users.__proto__]\npassword="x"\n[users.constructor]\npassword="y"\n',
      'f',
    )
    expect(users.map((user) => user.name)).toEqual(['__proto__', 'constructor'])
  })

  test('as the repository ships it is good', () => {
    const path = join(import.meta.dirname, '..', '..', '..', 'config', 'users.example.toml')
    const { users, problems } = parseUsersFile(readFileSync(path, 'utf8'), path)
    expect(problems).toEqual([])
    expect(users).toEqual([])
  })

  test('spoiled anywhere gives users or problems but never throws', () => {
    const good = `decoy_key = "${'A'.repeat(43)}="\n[users.alice]\nverifiers = ["${SHA256}"]\n[users.b]\npassword = "p" # c\n`
    const property = fc.property(
      fc.nat(good.length),
      fc.nat(3),
      fc.oneof(
        fc.string({ maxLength: 3 }),
        fc.constantFrom('"', "'", '[', ']', '=', '\n', '\\', '"""', '{', '}', '#'),
      ),
      (at, cut, junk) => {
        const { users, problems } = parseUsersFile(
          good.slice(0, at) + junk + good.slice(at + cut),
          'f',
        )
        if (problems.length === 0) for (const user of users) expect(user.name).not.toBe('')
        for (const problem of problems) expect(problem.message).not.toContain(SHA256.slice(-40))
      },
    )
    fc.assert(property, fuzzParameters(1000))
  })
})

function usersOf(text: string, kind: 'authfile' | 'pwdb'): Record<string, readonly string[]> {
  const { users, problems } = parseMemcachedFile(text, 'f', kind)
  expect(problems).toEqual([])
  return Object.fromEntries(users.map((user) => [user.name, user.passwords]))
}

describe("memcached's -Y file", () => {
  test('has the password up to the end of the line, colons included', () => {
    expect(usersOf('alice:pa:ss:\nbob:x y \r\ncarol:last', 'authfile')).toEqual({
      alice: ['pa:ss:'],
      bob: ['x y '],
      carol: ['last'],
    })
  })

  test('may name a user twice for two passwords, and no more', () => {
    expect(usersOf('alice:one\nalice:two\nalice:one\n', 'authfile')).toEqual({
      alice: ['one', 'two'],
    })
    const { problems } = parseMemcachedFile('a:1\na:2\na:3\n', 'f', 'authfile')
    expect(problems).toMatchObject([{ line: 1, message: expect.stringContaining('3 passwords') }])
  })

  test('with lines that are none is refused, line by line, without repeating them', () => {
    const { problems } = parseMemcachedFile('a:1\nhunter2\n\n:x\nb:\n', 'f', 'authfile')
    expect(problems.map(({ line, message }) => `${line}: ${message}`)).toEqual([
      '2: a line must be user:password; this one has no colon',
      '4: the name is empty',
      '5: the password is empty',
    ])
  })

  test('may have comments and empty lines, and no user comes of them', () => {
    expect(usersOf('# admin: see the wiki\n\n   \nalice:x\n', 'authfile')).toEqual({ alice: ['x'] })
  })
})

describe("memcached's PWDB file", () => {
  test('signs alice@host in as alice and as alice@host', () => {
    expect(usersOf('alice@web1.example:secret\n', 'pwdb')).toEqual({
      alice: ['secret'],
      'alice@web1.example': ['secret'],
    })
  })

  test('gives alice the passwords of both her hosts, unless she has a line of her own', () => {
    expect(usersOf('alice@a:one\nalice@b:two\n', 'pwdb')).toMatchObject({ alice: ['one', 'two'] })
    expect(usersOf('alice@a:one\nalice:own\n', 'pwdb')).toMatchObject({ alice: ['own'] })
  })

  test('may have further fields behind the password', () => {
    const text = 'testuser@host:testpass:::::::\nalice@host:secret:zzz\nbob:pass:1:2\n'
    expect(usersOf(text, 'pwdb')).toMatchObject({
      testuser: ['testpass'],
      alice: ['secret'],
      bob: ['pass'],
    })
  })

  test('tells of each password that a colon ends, unless nothing stands behind it, and not what', () => {
    const text = 'alice@host:secret:::\nbob:pa:hunter2\n# carol:x:y\ndave:x\n'
    const { warnings = [], users } = parseMemcachedFile(text, 'f', 'pwdb')
    expect(users.find(({ name }) => name === 'bob')?.passwords).toEqual(['pa'])
    expect(warnings).toMatchObject([
      {
        file: 'f',
        line: 2,
        message: expect.stringContaining('user "bob" ends at the second colon'),
      },
    ])
    expect(JSON.stringify(warnings)).not.toMatch(/hunter2|pa[^s]/)
    expect(parseMemcachedFile(text, 'f', 'authfile').warnings).toEqual([])
  })

  test('takes names that begin with an @ as they are', () => {
    expect(usersOf('@host:x\n', 'pwdb')).toEqual({ '@host': ['x'] })
  })
})
