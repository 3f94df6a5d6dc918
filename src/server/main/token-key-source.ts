/**
 * The keys of a running server that tokens are checked with: from a file, which is read again when it changes,
 * or from the issuer, which is asked now and then and when a worker meets a key that it does not know. The
 * main thread alone looks, and hands what it finds to all workers.
 *
 * Invariant: all or nothing. Keys that cannot be had, or make no sense, change nothing; those in force stay.
 * The issuer is asked at most once in ASK_MS, whatever tokens strangers show.
 */
import type { TokenConfig } from '../../config/config.ts'
import { CredentialFileError } from '../../credential/credential-file-error.ts'
import {
  decodeUtf8OrLine,
  describeFileError,
  readRegularFile,
} from '../../credential/file-access.ts'
import { FileWatch } from '../../credential/file-watch.ts'
import { ASK_MS } from '../../credential/token-key-ring.ts'
import {
  NO_TOKEN_KEYS,
  parseKeySet,
  type TokenKey,
  type TokenKeySet,
} from '../../credential/token-keys.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import type { TokenSettings } from '../../sasl/token-logins.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import { type FetchJwks, fetchJwks } from './jwks-fetch.ts'
import type { Say } from './say.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface TokenKeySourceOptions {
  readonly config: TokenConfig
  readonly say: Say
  readonly workers: Pick<WorkerPool, 'broadcast'>
  readonly clock: Pick<ThreadClock, 'nowMs' | 'every'>
  readonly fetch?: FetchJwks
  readonly onAudit?: (event: AuditEvent) => void
}

/** Issuers publish a key some time before they use it. */
const REFRESH_MS = 10 * 60_000
const LOOK_MS = 1000
/** Twice as long after each failure, up to REFRESH_MS. */
const RETRY_MS = ASK_MS

export class TokenKeySource {
  private readonly options: TokenKeySourceOptions
  private readonly files: FileWatch
  private keys: TokenKeySet = NO_TOKEN_KEYS
  private isFetching = false
  private isClosed = false
  private askedMs = Number.NEGATIVE_INFINITY
  private dueMs = 0
  private failureCount = 0
  private endLooks: () => void = () => undefined

  constructor(options: TokenKeySourceOptions) {
    this.options = options
    const { keys } = options.config
    const paths = keys.kind === 'file' ? [keys.path] : []
    this.files = new FileWatch({ paths, onChange: () => this.readAgain() })
  }

  /** The keys of the start; of an issuer that does not answer, none yet. Throws CredentialFileError. */
  async load(): Promise<TokenSettings> {
    const { config } = this.options
    const { keys, ...policy } = config
    if (keys.kind === 'file') {
      const read = await this.readFile(keys.path)
      if (typeof read === 'string') {
        throw new CredentialFileError([{ file: keys.path, line: 0, message: read }])
      }
      this.take(read)
    } else await this.ask()
    return {
      policy,
      keys: this.keys,
      asksForKeys: keys.kind === 'url',
    }
  }

  /** Looks for other keys from now on. */
  async watch(): Promise<void> {
    const { config, clock } = this.options
    if (config.keys.kind === 'file') await this.files.watch()
    else {
      this.endLooks = clock.every(LOOK_MS, () => {
        if (clock.nowMs() >= this.dueMs) void this.ask()
      })
    }
  }

  /** Somebody wants them to be looked at now. */
  reload(): void {
    if (this.options.config.keys.kind === 'file') void this.readAgain()
    else void this.ask()
  }

  /** A worker has met a key that it does not know; it is answered in any case. */
  wanted(): void {
    const { clock } = this.options
    if (this.isFetching) return
    if (clock.nowMs() - this.askedMs < ASK_MS) this.distribute()
    else void this.ask()
  }

  close(): void {
    this.isClosed = true
    this.files.close()
    this.endLooks()
  }

  private async readFile(path: string): Promise<TokenKeySet | string> {
    return await this.files.reading(async () => {
      const content = await this.files.read(path)
      return typeof content === 'string' ? content : parseBytes(content.bytes)
    })
  }

  private async readAgain(): Promise<void> {
    const { keys } = this.options.config
    if (keys.kind !== 'file') return
    const read = await this.readFile(keys.path)
    if (this.isClosed) return
    if (typeof read === 'string') this.refuse(keys.path, read)
    else this.take(read)
    this.distribute()
  }

  private async ask(): Promise<void> {
    const { config, clock } = this.options
    const { keys } = config
    if (keys.kind !== 'url' || this.isFetching || this.isClosed) return
    this.isFetching = true
    this.askedMs = clock.nowMs()
    const found = await this.fetch(keys)
    this.isFetching = false
    if (this.isClosed) return
    if (typeof found === 'string') {
      this.failureCount++
      this.dueMs = clock.nowMs() + Math.min(RETRY_MS * 2 ** (this.failureCount - 1), REFRESH_MS)
      this.refuse(keys.url, found)
    } else {
      this.failureCount = 0
      this.dueMs = clock.nowMs() + REFRESH_MS
      this.take(found)
    }
    this.distribute()
  }

  private async fetch({
    url,
    caFile,
    tokenFile,
  }: TokenConfig['keys'] & { readonly kind: 'url' }): Promise<TokenKeySet | string> {
    const { fetch = fetchJwks } = this.options
    // Read each time: a token in a volume of Kubernetes is another one every hour.
    const ca = caFile === undefined ? undefined : await this.readText(caFile)
    if (ca !== undefined && typeof ca === 'string') return ca
    const token = tokenFile === undefined ? undefined : await this.readText(tokenFile)
    if (token !== undefined && typeof token === 'string') return token
    const shown = token?.text.trim()
    if (shown !== undefined && !/^[\x21-\x7e]+$/.test(shown))
      return `${tokenFile} has no token in it`
    const fetched = await fetch({ url, ca: ca?.text, token: shown })
    return typeof fetched === 'string' ? fetched : parseKeySet(fetched.text)
  }

  /** A string says what is wrong with the file. */
  private async readText(path: string): Promise<{ readonly text: string } | string> {
    const content = await this.files.read(path)
    if (typeof content === 'string') return `${path}: ${content}`
    const text = decodeUtf8OrLine(content.bytes)
    return typeof text === 'string' ? { text } : `${path}: line ${text} is not valid UTF-8`
  }

  private take(keys: TokenKeySet): void {
    const before = this.keys
    this.keys = keys
    if (JSON.stringify(keys) === JSON.stringify(before)) return
    this.options.onAudit?.({
      event: 'reload',
      what: 'token-keys',
      outcome: 'success',
      added: idsOf(keys, before),
      removed: idsOf(before, keys),
    })
    this.options.say(
      'info',
      'token_keys_loaded',
      'the keys that tokens are checked with were loaded',
      {
        keys: keys.keys.length,
        ids: keys.keys.map(shownId).join(' '),
      },
    )
  }

  private refuse(from: string, why: string): void {
    const hasKeys = this.keys.keys.length > 0
    const rest = hasKeys ? 'those from before stay in force' : 'nobody can log in by a token'
    const message = `there are no other keys for tokens, ${rest}: ${from}: ${why}`
    this.options.say('error', 'token_keys_refused', message)
    this.options.onAudit?.({
      event: 'reload',
      what: 'token-keys',
      outcome: 'failure',
      files: [from],
    })
  }

  private distribute(): void {
    this.options.workers.broadcast({ kind: 'token-keys', keys: this.keys })
  }
}

/** Of keys that `others` do not have. */
function idsOf(
  { keys }: TokenKeySet,
  { keys: others }: TokenKeySet,
): readonly string[] | undefined {
  const known = new Set(others.map((key) => JSON.stringify(key)))
  const ids = keys.filter((key) => !known.has(JSON.stringify(key))).map(shownId)
  return ids.length === 0 ? undefined : ids
}

function shownId({ id }: TokenKey): string {
  return id ?? '(none)'
}

/** Those of a file that is not watched; a string says what is wrong with it. */
export async function readTokenKeys(path: string): Promise<TokenKeySet | string> {
  try {
    const content = await readRegularFile(path)
    return typeof content === 'string' ? content : parseBytes(content.bytes)
  } catch (error) {
    return describeFileError(error)
  }
}

function parseBytes(bytes: Uint8Array): TokenKeySet | string {
  const text = decodeUtf8OrLine(bytes)
  return typeof text === 'string' ? parseKeySet(text) : `line ${text} is not valid UTF-8`
}
