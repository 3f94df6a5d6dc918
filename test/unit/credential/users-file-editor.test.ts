import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CredentialFileError } from '../../../src/credential/credential-file-error.ts'
import { UserEditError } from '../../../src/credential/user-edit-error.ts'
import {
  addUser,
  listUsers,
  removeUser,
  setPassword,
} from '../../../src/credential/users-file-editor.ts'
import { formatKey } from '../../../src/credential/users-file-text.ts'
import { hashPassword, hashPasswordWith, parseVerifier } from '../../../src/credential/verifier.ts'

let directory = ''
let path = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-users-'))
  path = join(directory, 'users.toml')
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

const text = (): string => readFileSync(path, 'utf8')

function verifiersOf(name: string): string[] {
  const { users } = parse(text()) as { users: Record<string, { verifiers: string[] }> }
  return users[name]?.verifiers ?? []
}

/** Which of `passwords` the verifier is of. */
function passwordOf(verifier: string, passwords: readonly string[]): string | undefined {
  const parsed = parseVerifier(verifier)
  if (typeof parsed === 'string') throw new Error(parsed)
  return passwords.find((password) => hashPasswordWith(password, parsed) === verifier)
}

async function problemOf(edit: Promise<unknown>): Promise<string> {
  const error = await edit.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(UserEditError)
  return (error as UserEditError).code
}

const HAND_WRITTEN = `# Our users.
decoy_key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="   # do not share

# alice runs the shop
[users.alice]  # since 2024
password = 'a # b = [c]'  # to be replaced

[users."tenant-1/bob@example.com"] # bob
# bob's own
password = [
  "one", # new
  "two",
]
# after bob

[users.carol]
password = """multi \\" ]
line"""
# the end
`

describe('addUser', () => {
  test('makes a file for its owner alone, with a decoy key and the three verifiers', async () => {
    await addUser(path, 'alice', 'secret')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(text()).toMatch(/^decoy_key = "[A-Za-z0-9+/]{43}="$/m)
    const verifiers = verifiersOf('alice')
    expect(verifiers.map((verifier) => verifier.split('$')[0])).toEqual([
      'SCRAM-SHA-256',
      'SCRAM-SHA-512',
      'SCRAM-SHA-1',
    ])
    for (const verifier of verifiers) expect(passwordOf(verifier, ['secret'])).toBe('secret')
    expect(text()).not.toContain('secret"')
  })

  test('leaves every character that was there and adds behind it', async () => {
    writeFileSync(path, HAND_WRITTEN)
    await addUser(path, 'dave', 'secret')
    expect(text().startsWith(`${HAND_WRITTEN}\n[users.dave]\nverifiers = [\n`)).toBe(true)
    expect((await listUsers(path)).map((user) => user.name)).toEqual([
      'alice',
      'tenant-1/bob@example.com',
      'carol',
      'dave',
    ])
  })

  test('keeps the line endings of a file from Windows', async () => {
    writeFileSync(path, '[users.alice]\r\npassword = "x"\r\n')
    await addUser(path, 'bob', 'secret')
    expect(text().replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
  })

  test.each([
    'tenant-1/user@example.com',
    'a.b',
    'quote"back\\slash',
    'tab\tand\u0001control\u007f',
    '\u{1F511}\u{1F511}',
    '__proto__',
    'constructor',
    '\u00e9'.repeat(512),
  ])('takes the name %j', async (name) => {
    await addUser(path, name, 'secret')
    expect(await listUsers(path)).toMatchObject([{ name, passwordCount: 1, isPlaintext: false }])
    await removeUser(path, name)
    expect(await listUsers(path)).toEqual([])
  })

  test('refuses a user that exists, also spelled otherwise before SASLprep', async () => {
    await addUser(path, 'IX', 'secret')
    const before = text()
    expect(await problemOf(addUser(path, 'IX', 'other'))).toBe('user-exists')
    expect(await problemOf(addUser(path, '\u2168', 'other'))).toBe('user-exists')
    expect(text()).toBe(before)
  })

  test('refuses names and passwords out of bounds', async () => {
    expect(await problemOf(addUser(path, '', 'x'))).toBe('invalid')
    expect(await problemOf(addUser(path, 'a', ''))).toBe('invalid')
    expect(await problemOf(addUser(path, 'a'.repeat(1025), 'x'))).toBe('invalid')
    expect(await problemOf(addUser(path, 'a', '\u00e9'.repeat(513)))).toBe('invalid')
    expect(await problemOf(addUser(path, 'a', 'nul\0'))).toBe('invalid')
    expect(existsSync(path)).toBe(false)
  })

  test('refuses to touch a broken file and says where it is broken', async () => {
    const broken = '[users.alice]\npassword = 3\n'
    writeFileSync(path, broken)
    const error = await addUser(path, 'bob', 'x').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(CredentialFileError)
    expect((error as CredentialFileError).problems).toMatchObject([{ file: path, line: 2 }])
    expect(text()).toBe(broken)
  })

  test('refuses where users are an inline table, which cannot be added to', async () => {
    const before = 'users = { alice = { password = "x" } }\n'
    writeFileSync(path, before)
    expect(await problemOf(addUser(path, 'bob', 'x'))).toBe('layout')
    expect(text()).toBe(before)
  })

  test('says that the directory is missing', async () => {
    const nowhere = join(directory, 'no', 'users.toml')
    expect(await problemOf(addUser(nowhere, 'bob', 'x'))).toBe('file')
  })
})

describe('setPassword', () => {
  test('changes the lines of the password and nothing else', async () => {
    writeFileSync(path, HAND_WRITTEN)
    await setPassword(path, 'tenant-1/bob@example.com', 'new')
    const [before = '', after = ''] = HAND_WRITTEN.split(/password = \[[^\]]*\]/)
    expect(text().startsWith(`${before}verifiers = [\n  "SCRAM-SHA-256$`)).toBe(true)
    expect(text().endsWith(`",\n]${after}`)).toBe(true)
    for (const verifier of verifiersOf('tenant-1/bob@example.com')) {
      expect(passwordOf(verifier, ['one', 'two', 'new'])).toBe('new')
    }
  })

  test('keeps the comment behind a password that it replaces', async () => {
    writeFileSync(path, HAND_WRITTEN)
    await setPassword(path, 'alice', 'new')
    expect(text()).toContain('[users.alice]  # since 2024\nverifiers = [\n')
    expect(text()).toContain('",\n]  # to be replaced\n')
  })

  test('without keepOld takes fresh salts', async () => {
    await addUser(path, 'alice', 'secret')
    const before = verifiersOf('alice')
    await setPassword(path, 'alice', 'secret')
    const after = verifiersOf('alice')
    expect(after).toHaveLength(3)
    expect(after.filter((verifier) => before.includes(verifier))).toEqual([])
  })

  test('with keepOld leaves the newest old password beside the new, with equal salts', async () => {
    await addUser(path, 'alice', 'first')
    await setPassword(path, 'alice', 'second', { keepOld: true, iterations: 9999 })
    await setPassword(path, 'alice', 'third', { keepOld: true })
    const passwords = ['first', 'second', 'third']
    const verifiers = verifiersOf('alice')
    expect(verifiers.map((verifier) => passwordOf(verifier, passwords))).toEqual([
      ...['third', 'second', 'third', 'second', 'third', 'second'],
    ])
    expect(new Set(verifiers.map((verifier) => verifier.split('$')[1])).size).toBe(3)
    expect(await listUsers(path)).toMatchObject([{ passwordCount: 2, iterations: 4096 }])
  })

  test('with keepOld turns a password in the clear into verifiers of both', async () => {
    writeFileSync(path, '[users.alice]\npassword = "old"\n')
    await setPassword(path, 'alice', 'new', { keepOld: true })
    const passwords = verifiersOf('alice').map((verifier) => passwordOf(verifier, ['old', 'new']))
    expect(passwords).toEqual(['new', 'old', 'new', 'old', 'new', 'old'])
  })

  test('with keepOld refuses the present password', async () => {
    await addUser(path, 'alice', 'secret')
    expect(await problemOf(setPassword(path, 'alice', 'secret', { keepOld: true }))).toBe('invalid')
  })

  test('knows no user that is not there', async () => {
    await addUser(path, 'alice', 'secret')
    expect(await problemOf(setPassword(path, 'bob', 'x'))).toBe('no-such-user')
  })

  test('leaves users that are not tables of their own to a person', async () => {
    const before = '[users]\nalice = { password = "x" }\n'
    writeFileSync(path, before)
    expect(await problemOf(setPassword(path, 'alice', 'y'))).toBe('layout')
    expect(await problemOf(removeUser(path, 'alice'))).toBe('layout')
    expect(text()).toBe(before)
  })
})

describe('removeUser', () => {
  test('takes the lines of the user and one of the empty lines around them', async () => {
    writeFileSync(path, HAND_WRITTEN)
    await removeUser(path, 'tenant-1/bob@example.com')
    const start = HAND_WRITTEN.indexOf('[users."tenant')
    const end = HAND_WRITTEN.indexOf('# after bob')
    expect(text()).toBe(HAND_WRITTEN.slice(0, start) + HAND_WRITTEN.slice(end))
    await removeUser(path, 'carol')
    await removeUser(path, 'alice')
    expect(await listUsers(path)).toEqual([])
    expect(text()).toContain('# the end')
  })

  test('after adding leaves what was there before', async () => {
    writeFileSync(path, HAND_WRITTEN)
    await addUser(path, 'dave', 'secret')
    await removeUser(path, 'dave')
    expect(text()).toBe(HAND_WRITTEN)
  })
})

describe('the file', () => {
  test('keeps its mode', async () => {
    await addUser(path, 'alice', 'secret')
    chmodSync(path, 0o640)
    await addUser(path, 'bob', 'secret')
    expect(statSync(path).mode & 0o777).toBe(0o640)
  })

  test('behind a symbolic link is replaced, and the link stays', async () => {
    mkdirSync(join(directory, 'real'))
    const real = join(directory, 'real', 'users.toml')
    writeFileSync(real, '[users]\n')
    symlinkSync(real, path)
    await addUser(path, 'alice', 'secret')
    expect(readFileSync(real, 'utf8')).toContain('[users.alice]')
    expect(readdirSync(directory).sort()).toEqual(['real', 'users.toml'])
    expect(readdirSync(join(directory, 'real'))).toEqual(['users.toml'])
  })

  test('keeps every user of many editors at once', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `user${index}`)
    await Promise.all(names.map((name) => addUser(path, name, 'secret', { lockWaitMs: 60_000 })))
    const listed = await listUsers(path)
    expect(listed.map((user) => user.name).sort()).toEqual([...names].sort())
    expect(readdirSync(directory)).toEqual(['users.toml'])
  })

  test('that is locked is left alone; a lock left behind by a crash is removed', async () => {
    writeFileSync(`${path}.lock`, '4711\n')
    expect(await problemOf(addUser(path, 'alice', 'secret', { lockWaitMs: 0 }))).toBe('locked')
    expect(existsSync(path)).toBe(false)
    const longAgo = new Date(Date.now() - 60_000)
    utimesSync(`${path}.lock`, longAgo, longAgo)
    await addUser(path, 'alice', 'secret', { lockWaitMs: 0 })
    expect(readdirSync(directory)).toEqual(['users.toml'])
  })
})

test('listUsers tells hashes, iterations, rotations and passwords in the clear', async () => {
  const [sha256 = ''] = hashPassword('x', { iterations: 5000 })
  writeFileSync(
    path,
    `[users.a]\nverifiers = ["${sha256}"]\n[users.b]\npassword = ["x", "y"]\n[users.c]\npassword = "x"\n`,
  )
  expect(await listUsers(path)).toEqual([
    {
      name: 'a',
      line: 1,
      hashes: ['SCRAM-SHA-256'],
      passwordCount: 1,
      isPlaintext: false,
      iterations: 5000,
    },
    { name: 'b', line: 3, hashes: [], passwordCount: 2, isPlaintext: true, iterations: 0 },
    { name: 'c', line: 5, hashes: [], passwordCount: 1, isPlaintext: true, iterations: 0 },
  ])
})

test('a key is written so that the parser reads the same', () => {
  for (const key of ['plain', 'a b', '"', '\\', '\n\t\u0000', '\u{1F511}', '', '\u0085']) {
    expect(Object.keys(parse(`${formatKey(key)} = 0`))).toEqual([key])
  }
})

test.each([
  ['a pipe', (lock: string) => expect(spawnSync('mkfifo', [lock]).status).toBe(0)],
  ['a directory', (lock: string) => mkdirSync(lock)],
])('a lock that is %s is named, not waited for nor removed', async (_, make) => {
  await addUser(path, 'alice', 'secret')
  make(`${path}.lock`)
  utimesSync(`${path}.lock`, 0, 0)
  await expect(addUser(path, 'bob', 'x', { lockWaitMs: 0 })).rejects.toThrow(
    `${path}.lock is not a file; remove it`,
  )
  expect(existsSync(`${path}.lock`)).toBe(true)
})

test('what a lock says is repeated only if it is the id of a process', async () => {
  await addUser(path, 'alice', 'secret')
  for (const [content, holder] of [
    ['4711\n', '4711'],
    ['hunter2\n', 'unknown'],
    ['', 'unknown'],
  ] as const) {
    writeFileSync(`${path}.lock`, content)
    await expect(addUser(path, 'bob', 'x', { lockWaitMs: 0 })).rejects.toThrow(`(${holder})`)
  }
})
