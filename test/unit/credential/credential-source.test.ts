import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CredentialFileError } from '../../../src/credential/credential-file-error.ts'
import type { CredentialSnapshot } from '../../../src/credential/credential-snapshot.ts'
import {
  CredentialSource,
  type CredentialSourceOptions,
} from '../../../src/credential/credential-source.ts'
import type { FileContent } from '../../../src/credential/file-access.ts'
import { addUser } from '../../../src/credential/users-file-editor.ts'
import { hashPassword, hashPasswordWith, parseVerifier } from '../../../src/credential/verifier.ts'
import { configuredMechanisms } from '../../../src/sasl/mechanisms.ts'

let directory = ''
let path = ''
const sources: CredentialSource[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-source-'))
  path = join(directory, 'users.toml')
})

afterEach(() => {
  for (const source of sources.splice(0)) source.close()
  rmSync(directory, { recursive: true, force: true })
})

const MECHANISMS = configuredMechanisms(['SCRAM-SHA-256', 'PLAIN'])

/** What a source reports, one event after the other. */
class Reports {
  readonly source: CredentialSource
  readonly #arrived: (CredentialSnapshot | CredentialFileError)[] = []
  #wake: (() => void) | undefined

  constructor(options: Partial<CredentialSourceOptions> = {}) {
    const add = (event: CredentialSnapshot | CredentialFileError): void => {
      this.#arrived.push(event)
      this.#wake?.()
    }
    this.source = new CredentialSource(
      {
        files: [{ path, format: 'toml' }],
        mechanisms: MECHANISMS,
        debounceMs: 1,
        pollMs: 0,
        ...options,
      },
      { onChange: add, onProblem: add },
    )
    sources.push(this.source)
  }

  get pendingCount(): number {
    return this.#arrived.length
  }

  async next(): Promise<CredentialSnapshot | CredentialFileError> {
    for (;;) {
      const event = this.#arrived.shift()
      if (event !== undefined) return event
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** The next users in force; what a reader of half-written files reports on the way is skipped. */
  async nextNames(): Promise<string[]> {
    for (;;) {
      const event = await this.next()
      if (!(event instanceof Error)) return namesOf(event)
    }
  }
}

function namesOf(snapshot: CredentialSnapshot): string[] {
  return snapshot.users.map((user) => user.name)
}

const [VERIFIER = ''] = hashPassword('secret')
const user = (name: string): string => `[users.${name}]\nverifiers = ["${VERIFIER}"]\n`

async function problemsOf(options: Partial<CredentialSourceOptions> = {}): Promise<string> {
  const error = await new Reports(options).source.load().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return String(error)
}

describe('load', () => {
  test('joins users of every file and of the environment', async () => {
    writeFileSync(path, user('alice'))
    const pwdb = join(directory, 'pwdb')
    writeFileSync(pwdb, 'bob@host:x:y\n')
    const { source } = new Reports({
      files: [
        { path, format: 'toml' },
        { path: pwdb, format: 'pwdb' },
      ],
      inlineUsers: [{ name: 'carol', password: 'y', origin: 'SASLCACHED_USERNAME' }],
    })
    const snapshot = await source.load()
    expect(namesOf(snapshot).sort()).toEqual(['alice', 'bob', 'bob@host', 'carol'])
    expect(structuredClone(snapshot)).toEqual(snapshot)
    expect(JSON.stringify(snapshot)).not.toContain('"x"')
    expect(source.warnings).toContainEqual({
      file: pwdb,
      line: 1,
      message: expect.stringContaining('ends at the second colon'),
    })
  })

  test('hashes a password in the clear for the configured hashes and warns', async () => {
    writeFileSync(path, '[users.alice]\npassword = ["one", "two"]\n')
    chmodSync(path, 0o644)
    const { source } = new Reports({
      mechanisms: configuredMechanisms(['SCRAM-SHA-512', 'SCRAM-SHA-1', 'PLAIN']),
    })
    const { users } = await source.load()
    const made = (users[0]?.verifiers ?? []).map((text) => {
      const parsed = parseVerifier(text)
      if (typeof parsed === 'string') throw new Error(parsed)
      const password = ['one', 'two'].find((word) => hashPasswordWith(word, parsed) === text)
      return `${parsed.hash.name} ${password}`
    })
    expect(made).toEqual([
      'SCRAM-SHA-512 one',
      'SCRAM-SHA-512 two',
      'SCRAM-SHA-1 one',
      'SCRAM-SHA-1 two',
    ])
    expect(source.warnings.map(({ message, line }) => `${line}: ${message}`)).toEqual([
      '1: 1 user has a password in the clear; replace it with `saslcached user passwd`',
      '0: everybody may read this file with passwords in the clear; run chmod o-r on it',
    ])
  })

  test('warns of a file that everybody may write, not of one that everybody may read', async () => {
    writeFileSync(path, user('alice'))
    chmodSync(path, 0o644)
    const { source } = new Reports()
    await source.load()
    expect(source.warnings).toEqual([])
    chmodSync(path, 0o666)
    await source.load()
    expect(source.warnings).toMatchObject([{ message: expect.stringContaining('chmod o-w') }])
  })

  test('warns when there is no user', async () => {
    writeFileSync(path, '[users]\n')
    const { source } = new Reports()
    await source.load()
    expect(source.warnings).toMatchObject([{ message: expect.stringContaining('no user') }])
  })

  test('tells the problems of all files at once', async () => {
    writeFileSync(path, `${user('alice')}[users.bob]\n`)
    const authfile = join(directory, 'auth')
    writeFileSync(authfile, 'alice:x\nnothing\n')
    const message = await problemsOf({
      files: [
        { path, format: 'toml' },
        { path: authfile, format: 'authfile' },
        { path: join(directory, 'missing'), format: 'toml' },
        { path: directory, format: 'toml' },
      ],
      inlineUsers: [{ name: '', password: 'y', origin: 'SASLCACHED_USERNAME' }],
    })
    expect(message).toContain(`${path}:3: user "bob": this user has neither`)
    expect(message).toContain(`${authfile}:2: a line must be user:password`)
    expect(message).toContain(`${join(directory, 'missing')}: there is no such file`)
    expect(message).toContain(`${directory}: this is a directory, not a regular file`)
    expect(message).toContain('SASLCACHED_USERNAME: the name is empty')
    expect(message).toContain(`${authfile}:1: user "alice" is already defined in ${path}:1`)
  })

  test('refuses an empty file, one too large, and one that is not UTF-8', async () => {
    writeFileSync(path, ' \n')
    expect(await problemsOf()).toContain(`${path}: the file is empty; write [users]`)
    writeFileSync(path, Buffer.from('[users]\n# \xff\n', 'latin1'))
    expect(await problemsOf()).toContain(`${path}:2: this line is not valid UTF-8`)
    truncateSync(path, 16 * 1024 * 1024 + 1)
    expect(await problemsOf()).toContain('16777217 bytes; at most 16777216')
  })

  test('takes a file that begins with a byte order mark', async () => {
    writeFileSync(path, `\uFEFF${user('alice')}`)
    expect(namesOf(await new Reports().source.load())).toEqual(['alice'])
  })

  test('refuses 1001 users with passwords in the clear before hashing any', async () => {
    const line = (index: number): string => `u${index}:x\n`
    writeFileSync(path, Array.from({ length: 1001 }, (_, index) => line(index)).join(''))
    const message = await problemsOf({ files: [{ path, format: 'authfile' }] })
    expect(message).toContain('1001 users have passwords in the clear; at most 1000')
  })

  test('refuses users of whom nobody could use a configured mechanism', async () => {
    writeFileSync(path, user('alice'))
    const message = await problemsOf({ mechanisms: configuredMechanisms(['SCRAM-SHA-512']) })
    expect(message).toContain('"alice" lacks SCRAM-SHA-512')
    expect((await new Reports().source.load()).lacking.map(({ hash }) => hash)).toEqual([
      'SCRAM-SHA-512',
      'SCRAM-SHA-1',
    ])
  })

  test('gives a user of the environment the same salt at every load', async () => {
    const inlineUsers = [{ name: 'alice', password: 'x', origin: 'test' }]
    const { source } = new Reports({ files: [], inlineUsers })
    expect(await source.load()).toEqual(await source.load())
  })

  test('takes the decoy key of the file, so that salts are the same after a restart', async () => {
    const decoyKey = Buffer.alloc(32, 9).toString('base64')
    writeFileSync(path, `decoy_key = "${decoyKey}"\n[users.alice]\npassword = "x"\n`)
    const [one, two] = [await new Reports().source.load(), await new Reports().source.load()]
    expect({ ...one, reportKey: two.reportKey }).toEqual(two)
    // That key is of one process, and of no use to whoever reads the file.
    expect(one.reportKey).not.toEqual(two.reportKey)
  })
})

describe('reload', () => {
  test('replaces the users, or keeps them all when anything is wrong', async () => {
    writeFileSync(path, user('alice'))
    const reports = new Reports()
    await reports.source.load()
    writeFileSync(path, user('bob'))
    expect(await reports.source.reload()).toBe(true)
    expect(await reports.nextNames()).toEqual(['bob'])
    writeFileSync(path, `${user('carol')}[users.dave]\npassword = 3\n`)
    expect(await reports.source.reload()).toBe(false)
    const problem = await reports.next()
    expect(String(problem)).toContain(`${path}:4: user "dave": password must be`)
    expect(reports.pendingCount).toBe(0)
  })

  test('asked for many times at once reads one after the other', async () => {
    writeFileSync(path, user('alice'))
    const { source } = new Reports()
    const results = await Promise.all([source.load(), source.reload(), source.reload()])
    expect(results.slice(1)).toEqual([true, true])
  })
})

describe('a watched file', () => {
  async function watched(options: Partial<CredentialSourceOptions> = {}): Promise<Reports> {
    const reports = new Reports(options)
    await reports.source.load()
    await reports.source.watch()
    return reports
  }

  test('that is written in place is read again', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched()
    appendFileSync(path, user('bob'))
    expect(await reports.nextNames()).toEqual(['alice', 'bob'])
  })

  test('that an editor replaces by renaming is read again, and again', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched()
    for (const name of ['bob', 'carol', 'dave']) {
      const swap = join(directory, '.users.toml.swp')
      writeFileSync(swap, user(name))
      renameSync(swap, path)
      expect(await reports.nextNames()).toEqual([name])
    }
  })

  test('that an editor moves away and writes anew is read again', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched()
    renameSync(path, `${path}~`)
    writeFileSync(path, user('bob'))
    expect(await reports.nextNames()).toEqual(['bob'])
  })

  test('that `user add` edits is read again', async () => {
    await addUser(path, 'alice', 'x')
    const reports = await watched()
    await addUser(path, 'bob', 'x')
    expect(await reports.nextNames()).toEqual(['alice', 'bob'])
  })

  test("behind Kubernetes' link is read again at every swap", async () => {
    const publish = (version: string, name: string): void => {
      mkdirSync(join(directory, `..${version}`))
      writeFileSync(join(directory, `..${version}`, 'users.toml'), user(name))
      symlinkSync(`..${version}`, join(directory, '..data_tmp'))
      renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
    }
    publish('2024_01', 'alice')
    symlinkSync(join('..data', 'users.toml'), path)
    const reports = await watched()
    publish('2024_02', 'bob')
    rmSync(join(directory, '..2024_01'), { recursive: true })
    expect(await reports.nextNames()).toEqual(['bob'])
    publish('2024_03', 'carol')
    expect(await reports.nextNames()).toEqual(['carol'])
  })

  test('behind a link into another directory is read again when it is replaced there', async () => {
    const elsewhere = join(directory, 'elsewhere')
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'real.toml'), user('alice'))
    symlinkSync(join(elsewhere, 'real.toml'), path)
    const reports = await watched()
    writeFileSync(join(elsewhere, 'new'), user('bob'))
    renameSync(join(elsewhere, 'new'), join(elsewhere, 'real.toml'))
    expect(await reports.nextNames()).toEqual(['bob'])
  })

  test('that changes where no event comes from is seen by the slow look', async () => {
    const [hidden, other] = [join(directory, 'hidden'), join(directory, 'other')]
    mkdirSync(hidden)
    mkdirSync(other)
    writeFileSync(join(other, 'one'), user('alice'))
    writeFileSync(join(other, 'two'), user('bob'))
    symlinkSync(join(other, 'one'), join(hidden, 'link'))
    symlinkSync(join(hidden, 'link'), path)
    const reports = await watched({ pollMs: 5 })
    symlinkSync(join(other, 'two'), join(hidden, 'link.new'))
    renameSync(join(hidden, 'link.new'), join(hidden, 'link'))
    expect(await reports.nextNames()).toEqual(['bob'])
  })

  test('that breaks is reported once and keeps the users, until it is mended', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched({ pollMs: 5 })
    const swap = join(directory, 'swap')
    writeFileSync(swap, 'broken')
    renameSync(swap, path)
    expect(String(await reports.next())).toContain('not valid TOML')
    writeFileSync(swap, user('bob'))
    renameSync(swap, path)
    const mended = await reports.next()
    expect(mended instanceof Error ? String(mended) : namesOf(mended)).toEqual(['bob'])
  })

  test('is not read again because a neighbour changed', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched()
    writeFileSync(join(directory, 'neighbour'), 'x')
    appendFileSync(path, user('bob'))
    expect(await reports.nextNames()).toEqual(['alice', 'bob'])
    expect(reports.pendingCount).toBe(0)
  })

  test('in a directory that never comes to rest is read all the same', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched({ debounceMs: 20 })
    let isBusy = true
    const disturb = (): void => {
      writeFileSync(join(directory, 'neighbour'), 'x')
      if (isBusy) setImmediate(disturb)
    }
    disturb()
    appendFileSync(path, user('bob'))
    expect(await reports.nextNames()).toEqual(['alice', 'bob'])
    isBusy = false
  })

  test('is no longer read after close()', async () => {
    writeFileSync(path, user('alice'))
    const reports = await watched()
    const reloading = reports.source.reload()
    reports.source.close()
    expect(await reloading).toBe(false)
    expect(reports.pendingCount).toBe(0)
  })
})

describe('a users file that is none', () => {
  function makePipe(at: string): void {
    expect(spawnSync('mkfifo', [at]).status).toBe(0)
  }

  test.each([
    ['a pipe', () => makePipe(path)],
    ['a directory', () => mkdirSync(path)],
    ['a device', () => symlinkSync('/dev/zero', path)],
    ['a pipe', () => symlinkSync(`${path}.pipe`, path)],
  ])('is refused as %s without being opened', async (what, make) => {
    makePipe(`${path}.pipe`)
    make()
    await expect(new Reports().source.load()).rejects.toThrow(
      `${path}: this is ${what}, not a regular file`,
    )
    await expect(addUser(path, 'bob', 'x')).rejects.toThrow(`this is ${what}, not a regular file`)
  })

  test('that takes the place of the users changes nothing, and goes again', async () => {
    writeFileSync(path, '[users.alice]\npassword = "secret"\n')
    const reports = new Reports()
    await reports.source.load()
    rmSync(path)
    makePipe(path)
    expect(await reports.source.reload()).toBe(false)
    expect(String(await reports.next())).toContain('this is a pipe')
    rmSync(path)
    writeFileSync(path, '[users.bob]\npassword = "secret"\n')
    expect(await reports.source.reload()).toBe(true)
    expect(await reports.nextNames()).toEqual(['bob'])
  })

  test('and one that is too large is refused by its size', async () => {
    writeFileSync(path, '[users.alice]\npassword = "secret"\n')
    truncateSync(path, 16 * 1024 * 1024 + 1)
    await expect(new Reports().source.load()).rejects.toThrow('at most 16777216 are allowed')
  })
})

describe('a file system that does not answer', () => {
  /** Answers as the disk does, or not at all. */
  class Disk {
    isDead = false
    lookCount = 0
    readonly #held: (() => void)[] = []

    async signature(): Promise<string> {
      await this.#look()
      return `${this.lookCount}`
    }

    async read(): Promise<FileContent> {
      await this.#look()
      return { bytes: Buffer.from('[users.alice]\npassword = "x"\n'), stats: statSync(directory) }
    }

    revive(): void {
      this.isDead = false
      for (const answer of this.#held.splice(0)) answer()
    }

    #look(): Promise<void> {
      this.lookCount += 1
      return this.isDead ? new Promise((resolve) => this.#held.push(resolve)) : Promise.resolve()
    }
  }

  function sourceOn(disk: Disk): Reports {
    const access = { read: () => disk.read(), signature: () => disk.signature() }
    return new Reports({ access, answerMsMax: 1 })
  }

  test('ends the start with a sentence', async () => {
    const disk = new Disk()
    disk.isDead = true
    await expect(sourceOn(disk).source.load()).rejects.toThrow('the file system does not answer')
  })

  test('holds up one thread, however often the files are to be read', async () => {
    const disk = new Disk()
    const { source } = sourceOn(disk)
    await source.load()
    const before = disk.lookCount
    disk.isDead = true
    for (let count = 0; count < 10; count++) expect(await source.reload()).toBe(false)
    expect(disk.lookCount).toBe(before + 1)
    disk.revive()
    await new Promise((resolve) => setImmediate(resolve))
    expect(await source.reload()).toBe(true)
  })
})
