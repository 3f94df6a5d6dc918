/**
 * The main thread's side of the users: reads every file and the users of the environment into one
 * CredentialSnapshot, and again when a file changes or somebody asks.
 *
 * Invariant: all or nothing. A snapshot comes from sources that were all without a problem;
 * otherwise what was in force stays, and the problems are reported. Passwords that stand in a file
 * are hashed here and go no further. Who gets the snapshot is the caller's business.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { BUILT_IN_ROLES, type Role } from './access.ts'
import type { CredentialFileProblem } from './credential-file-error.ts'
import { CredentialFileError } from './credential-file-error.ts'
import type { CredentialSnapshot, UserRecord } from './credential-snapshot.ts'
import { decoySalt, decoySeed, formatShape, makeSnapshot } from './credential-snapshot.ts'
import { decodeUtf8OrLine, type FileContent } from './file-access.ts'
import { quoteName } from './file-problems.ts'
import { type FileAccess, FileWatch } from './file-watch.ts'
import type { MemcachedFileKind } from './memcached-file.ts'
import { parseMemcachedFile } from './memcached-file.ts'
import { NAMESPACE_ID_MAX, type NamespaceEntry, NamespaceIds } from './namespaces.ts'
import { prepare, problemWith } from './prepare.ts'
import type { ReadResult, UserEntry } from './user-entry.ts'
import { PLAINTEXT_USERS_MAX, USERS_MAX } from './user-entry.ts'
import { DECOY_KEY_BYTES, parseUsersFile, readingOfNothing } from './users-file.ts'
import type { ScramHash, ScramHashName } from './verifier.ts'
import {
  checkIterations,
  DEFAULT_ITERATIONS,
  DEFAULT_SALT_BYTES,
  deriveSaltedPassword,
  formatVerifier,
  keysOf,
  SCRAM_HASH_NAMES,
  SCRAM_HASHES,
} from './verifier.ts'

interface CredentialFile {
  readonly path: string
  /** `toml` is users.toml; `authfile` and `pwdb` are memcached's own (memcached-file.ts). */
  readonly format: 'toml' | MemcachedFileKind
}

interface InlineUser {
  readonly name: string
  readonly password: string
  /** Where it comes from, for messages: `SASLCACHED_USERNAME`, say. */
  readonly origin: string
  /** What is worth a warning at each reading. */
  readonly warning?: string | undefined
}

/** A configured mechanism, as far as it asks something of the users: a row of sasl/mechanisms.ts. */
export interface ConfiguredMechanism {
  readonly name: string
  readonly hash: ScramHashName | undefined
  usable(snapshot: CredentialSnapshot): boolean
}

export interface CredentialSourceOptions {
  readonly files: readonly CredentialFile[]
  readonly inlineUsers?: readonly InlineUser[]
  /**
   * The configured mechanisms: which hashes plaintext passwords need, and what must stay usable.
   */
  readonly mechanisms: readonly ConfiguredMechanism[]
  /** For passwords in the clear; default DEFAULT_ITERATIONS. */
  readonly iterations?: number
  /** Users that must be there at the start, and what names them. */
  readonly identities?: readonly { readonly user: string; readonly place: string }[]
  /** What the namespaces can have together; default: no limit. */
  readonly memoryBytes?: number
  /** Who is no user can log in as well, by a token. */
  readonly hasOtherLogins?: boolean
  readonly randomBytes?: (count: number) => Uint8Array
  /** Quiet time after a change before the files are read. */
  readonly debounceMs?: number
  /** How often the files are looked at without any event; 0 for never. */
  readonly pollMs?: number
  /** How long the file system may take for one look at a file. */
  readonly answerMsMax?: number
  /** How files are looked at; for tests. */
  readonly access?: FileAccess
}

export interface CredentialSourceEvents {
  /** New users are in force. */
  readonly onChange?: (
    snapshot: CredentialSnapshot,
    warnings: readonly CredentialFileProblem[],
  ) => void
  /** A reload failed; what was in force stays. */
  readonly onProblem?: (error: CredentialFileError) => void
}

/** Derivations at once while reading plaintext; the thread pool has four threads. */
const PLAINTEXT_DERIVATIONS_MAX = 4

interface Reading {
  readonly file: CredentialFile
  readonly result: ReadResult
  readonly mode: number
}

export class CredentialSource {
  readonly #options: CredentialSourceOptions
  readonly #events: CredentialSourceEvents
  readonly #randomBytes: (count: number) => Uint8Array
  readonly #iterations: number
  readonly #plaintextHashes: readonly ScramHash[]
  /** In force for files that state none; fixed for the life of the process. */
  readonly #ownDecoyKey: Uint8Array
  readonly #cacheKey: Uint8Array
  readonly #reportKey: Uint8Array
  /**
   * Verifiers of plaintext passwords of the last snapshot, by a keyed hash of what they depend on.
   */
  #hashed = new Map<string, string>()
  #namespaceIds: NamespaceIds = new NamespaceIds()
  #isLoaded = false
  #warnings: readonly CredentialFileProblem[] = []
  readonly #watch: FileWatch

  constructor(options: CredentialSourceOptions, events: CredentialSourceEvents = {}) {
    this.#options = options
    this.#events = events
    this.#randomBytes = options.randomBytes ?? randomBytes
    this.#iterations = options.iterations ?? DEFAULT_ITERATIONS
    checkIterations(this.#iterations)
    const { debounceMs, pollMs, answerMsMax, access } = options
    this.#watch = new FileWatch({
      paths: options.files.map(({ path }) => path),
      debounceMs,
      pollMs,
      answerMsMax,
      access,
      onChange: () => this.reload(),
    })
    const hashes = options.mechanisms.map(({ hash }) => hash)
    const named = SCRAM_HASHES.filter((hash) => hashes.includes(hash.name))
    this.#plaintextHashes = named.length > 0 ? named : SCRAM_HASHES.slice(0, 1)
    this.#ownDecoyKey = this.#randomBytes(DECOY_KEY_BYTES)
    this.#cacheKey = this.#randomBytes(32)
    this.#reportKey = this.#randomBytes(32)
  }

  /** What is worth a warning about the users in force: passwords in the clear, loose file modes. */
  get warnings(): readonly CredentialFileProblem[] {
    return this.#warnings
  }

  /** Reads everything. Throws a CredentialFileError with all problems; nothing changes then. */
  load(): Promise<CredentialSnapshot> {
    return this.#watch.reading(() => this.#load())
  }

  /** Reads everything again and reports by event; true when new users are in force. */
  async reload(): Promise<boolean> {
    let snapshot: CredentialSnapshot
    try {
      snapshot = await this.load()
    } catch (error) {
      if (!(error instanceof CredentialFileError)) throw error
      if (!this.#watch.isClosed) this.#events.onProblem?.(error)
      return false
    }
    if (this.#watch.isClosed) return false
    this.#events.onChange?.(snapshot, this.#warnings)
    return true
  }

  /** Starts to reload on change. The watchers keep no process alive. */
  async watch(): Promise<void> {
    await this.#watch.watch()
  }

  /** Stops watching; no event comes after this. */
  close(): void {
    this.#watch.close()
  }

  async #load(): Promise<CredentialSnapshot> {
    const { files, inlineUsers = [] } = this.#options
    const readings: Reading[] = []
    // One after the other: of what a dead file system holds up there is never more than one.
    for (const file of files) readings.push(await this.#readFile(file))
    const problems = readings.flatMap((reading) => reading.result.problems)
    const entries = [
      ...readings.flatMap((reading) => reading.result.users),
      ...inlineUsers.flatMap((user) => readInlineUser(user, problems)),
    ]
    const namespaces = readings.flatMap((reading) => reading.result.namespaces)
    problems.push(...findClashes(entries), ...checkCounts(entries))
    problems.push(...checkQuotas(namespaces, this.#options.memoryBytes))
    if (!this.#isLoaded) problems.push(...findMissing(this.#options.identities, entries))
    const ids = this.#namespaceIds.with(namespaces.map(({ name }) => name))
    if (ids === undefined) problems.push(noNumbersLeft(namespaces))
    if (ids === undefined || problems.length > 0) throw new CredentialFileError(problems)

    const stated = readings.find((reading) => reading.result.decoyKey !== undefined)
    const decoyKey = stated?.result.decoyKey ?? this.#ownDecoyKey
    const users = await this.#hashPasswords(entries, decoyKey)
    const snapshot = makeSnapshot(users, {
      decoyKey,
      reportKey: this.#reportKey,
      defaultShape: this.#plaintextHashes
        .map((hash) => formatShape(hash.name, this.#iterations, DEFAULT_SALT_BYTES))
        .sort()
        .join(' '),
      hashes: SCRAM_HASH_NAMES,
      roles: rolesOf(readings),
      namespaces: ids.number(namespaces),
    })
    this.#checkMechanisms(snapshot)
    this.#namespaceIds = ids
    this.#isLoaded = true
    this.#warnings = [
      ...findWarnings(readings, entries, this.#options.hasOtherLogins === true),
      ...inlineUsers.flatMap(({ origin: file, warning: message }) =>
        message === undefined ? [] : { file, line: 0, message },
      ),
    ]
    return snapshot
  }

  #checkMechanisms(snapshot: CredentialSnapshot): void {
    const { mechanisms, files } = this.#options
    if (mechanisms.some((mechanism) => mechanism.usable(snapshot))) return
    const names = snapshot.lacking.flatMap((lacking) =>
      lacking.userNames.slice(0, 1).map((name) => `${quoteName(name)} lacks ${lacking.hash}`),
    )
    const message =
      `no mechanism of "${mechanisms.map(({ name }) => name).join(' ')}" can be used by every user (${names.join(', ')}); ` +
      'set their passwords anew with `saslcached user passwd`, or allow PLAIN'
    throw new CredentialFileError([{ file: files[0]?.path ?? 'users', line: 0, message }])
  }

  /** Replaces passwords in the clear by verifiers. Unchanged ones are not derived again. */
  async #hashPasswords(entries: readonly UserEntry[], decoyKey: Uint8Array): Promise<UserRecord[]> {
    const fresh = new Map<string, string>()
    const jobs: (() => Promise<void>)[] = []
    const keysOfUser = new Map<UserEntry, string[]>()
    for (const entry of entries) {
      if (entry.passwords.length === 0) continue
      const seed = decoySeed(entry.name)
      const keys: string[] = []
      for (const hash of this.#plaintextHashes) {
        const part = { hash, iterations: this.#iterations, saltBytes: DEFAULT_SALT_BYTES }
        const salt = Uint8Array.from(decoySalt(decoyKey, part, seed))
        for (const raw of entry.passwords) {
          const password = prepare(raw)
          const key = createHmac('sha256', this.#cacheKey)
            .update(`${hash.name}\0${entry.name}\0${password}\0`)
            .update(salt)
            .digest('base64')
          keys.push(key)
          const known = this.#hashed.get(key)
          if (known !== undefined) fresh.set(key, known)
          else {
            jobs.push(async () => {
              const parameters = { hash, iterations: this.#iterations, salt }
              const salted = await deriveSaltedPassword(password, parameters)
              fresh.set(key, formatVerifier({ ...parameters, ...keysOf(hash, salted) }))
            })
          }
        }
      }
      keysOfUser.set(entry, keys)
    }
    await runAll(jobs, PLAINTEXT_DERIVATIONS_MAX)
    this.#hashed = fresh
    return entries.map((entry) => {
      const keys = keysOfUser.get(entry) ?? []
      const made = keys.flatMap((key) => fresh.get(key) ?? [])
      const verifiers = [...entry.verifiers, ...new Set(made)]
      return { name: entry.name, verifiers, access: entry.access }
    })
  }

  async #readFile(file: CredentialFile): Promise<Reading> {
    const content = await this.#watch.read(file.path)
    return typeof content === 'string' ? failed(file, content) : parseCredentialFile(file, content)
  }
}

function parseCredentialFile(file: CredentialFile, content: FileContent): Reading {
  const { path, format } = file
  const text = decodeUtf8OrLine(content.bytes)
  if (typeof text === 'number') return failed(file, 'this line is not valid UTF-8', text)
  // An editor that cuts the file and writes it anew would otherwise remove every user for a
  // moment.
  if (text.trim() === '') {
    const remedy = format === 'toml' ? '; write [users] into it if there shall be none' : ''
    return failed(file, `the file is empty${remedy}`)
  }
  const result =
    format === 'toml' ? parseUsersFile(text, path) : parseMemcachedFile(text, path, format)
  return { file, result, mode: content.stats.mode }
}

function failed(file: CredentialFile, message: string, line = 0): Reading {
  return { file, result: readingOfNothing([{ file: file.path, line, message }]), mode: 0 }
}

function readInlineUser(user: InlineUser, problems: CredentialFileProblem[]): UserEntry[] {
  const { name, password, origin } = user
  const problem = problemWith('name', name) ?? problemWith('password', password)
  if (problem !== undefined) {
    problems.push({ file: origin, line: 0, message: problem })
    return []
  }
  return [{ name: prepare(name), file: origin, line: 0, verifiers: [], passwords: [password] }]
}

/** A name may stand in one place only: which of two passwords is meant must not be a riddle. */
function findClashes(entries: readonly UserEntry[]): CredentialFileProblem[] {
  const first = new Map<string, UserEntry>()
  return entries.flatMap((entry) => {
    const other = first.get(entry.name)
    if (other === undefined) {
      first.set(entry.name, entry)
      return []
    }
    const place = other.line === 0 ? other.file : `${other.file}:${other.line}`
    const message = `user ${quoteName(entry.name)} is already defined in ${place}; remove one of them`
    return [{ file: entry.file, line: entry.line, message }]
  })
}

function checkCounts(entries: readonly UserEntry[]): CredentialFileProblem[] {
  const last = entries[entries.length - 1]
  if (last === undefined) return []
  if (entries.length > USERS_MAX) {
    const message = `there are ${entries.length} users in all; at most ${USERS_MAX} are allowed`
    return [{ file: last.file, line: 0, message }]
  }
  const plaintext = entries.filter((entry) => entry.passwords.length > 0)
  if (plaintext.length <= PLAINTEXT_USERS_MAX) return []
  const message =
    `${plaintext.length} users have passwords in the clear; at most ${PLAINTEXT_USERS_MAX} are allowed, ` +
    'since each is hashed at every start: replace them by verifiers (`saslcached hash-password`)'
  return [{ file: plaintext[0]?.file ?? last.file, line: 0, message }]
}

/** Only a users.toml states roles, and there is one. */
function rolesOf(readings: readonly Reading[]): readonly Role[] {
  const toml = readings.find(({ file }) => file.format === 'toml')
  return toml === undefined ? BUILT_IN_ROLES : toml.result.roles
}

function findMissing(
  identities: CredentialSourceOptions['identities'] = [],
  entries: readonly UserEntry[],
): CredentialFileProblem[] {
  return identities.flatMap(({ user, place }) => {
    if (problemWith('name', user) === undefined) {
      const name = prepare(user)
      if (entries.some((entry) => entry.name === name)) return []
    }
    const message =
      `there is no user ${quoteName(user)}; ` +
      'one that has no password says password_login = false in users.toml'
    return [{ file: place, line: 0, message }]
  })
}

function checkQuotas(
  namespaces: readonly NamespaceEntry[],
  memoryBytes: number = Number.POSITIVE_INFINITY,
): CredentialFileProblem[] {
  let sum = 0
  for (const { name, file, line, memoryBytes: own } of namespaces) {
    sum += own
    if (sum <= memoryBytes) continue
    const message =
      `the namespaces up to ${quoteName(name)} have ${inMebibytes(sum)} together, more than the ` +
      `${inMebibytes(memoryBytes)} of the server (-m)`
    return [{ file, line, message }]
  }
  return []
}

function inMebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MiB`
}

function noNumbersLeft(namespaces: readonly NamespaceEntry[]): CredentialFileProblem {
  const { file = 'users', line = 0 } = namespaces.at(-1) ?? {}
  const message =
    `more than ${NAMESPACE_ID_MAX} namespaces have come and gone since the server started; ` +
    'start it again'
  return { file, line, message }
}

function findWarnings(
  readings: readonly Reading[],
  entries: readonly UserEntry[],
  hasOtherLogins: boolean,
): CredentialFileProblem[] {
  const warnings: CredentialFileProblem[] = []
  for (const { file, result, mode } of readings) {
    const { path, format } = file
    warnings.push(...(result.warnings ?? []))
    const plaintext = result.users.filter((user) => user.passwords.length > 0)
    const line = plaintext[0]?.line ?? 0
    if (plaintext.length > 0) {
      const what = plaintext.length === 1 ? '1 user has' : `${plaintext.length} users have`
      const remedy =
        format === 'toml'
          ? 'replace it with `saslcached user passwd`'
          : 'make a users.toml with `saslcached user add`'
      warnings.push({ file: path, line, message: `${what} a password in the clear; ${remedy}` })
    }
    if ((mode & 0o002) !== 0) {
      const message = 'everybody may write this file and so make users; run chmod o-w on it'
      warnings.push({ file: path, line: 0, message })
    }
    if ((mode & 0o004) !== 0 && plaintext.length > 0) {
      const message =
        'everybody may read this file with passwords in the clear; run chmod o-r on it'
      warnings.push({ file: path, line: 0, message })
    }
  }
  if (entries.length === 0 && !hasOtherLogins) {
    const file = readings[0]?.file.path ?? 'users'
    warnings.push({ file, line: 0, message: 'there is no user, so nobody can log in' })
  }
  return warnings
}

async function runAll(jobs: readonly (() => Promise<void>)[], atOnce: number): Promise<void> {
  let next = 0
  const run = async (): Promise<void> => {
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) await job()
  }
  await Promise.all(Array.from({ length: atOnce }, run))
}
