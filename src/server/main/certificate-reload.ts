/**
 * The certificates of a running server: loaded at the start, loaded again when that is asked for or their
 * files change, and handed to the workers with new ticket keys. Whoever asked is answered when every
 * worker shows them.
 *
 * Invariant: all or nothing. What cannot be used changes nothing, and the log says which file it was.
 */
import { Coalesced } from '../../base/coalesced.ts'
import type { TlsConfig } from '../../config/config.ts'
import { FileWatch } from '../../credential/file-watch.ts'
import {
  type DatedCertificate,
  type LoadedCertificates,
  loadCertificates,
} from '../../credential/tls-certificates.ts'
import { TlsFileError, type TlsFileProblem, tlsFilePaths } from '../../credential/tls-files.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { problemWithCertificates, problemWithCiphers } from '../net/tls-contexts.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import type { Say } from './say.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface CertificateReloadOptions {
  readonly config: TlsConfig
  readonly say: Say
  readonly workers: Pick<WorkerPool, 'size' | 'broadcast'>
  readonly clock: Pick<ThreadClock, 'nowMs' | 'every' | 'after'>
  /** Seconds since 1970, on the server's clock. */
  readonly nowSeconds: () => number
  /** Milliseconds since 1970 on the wall clock, which certificates go by. */
  readonly wallMs?: () => number
  readonly onAudit?: (event: AuditEvent) => void
  /** What the workers are given from now on. */
  readonly onMaterial?: (material: TlsMaterial) => void
  /** Quiet time after a change before the files are read. */
  readonly debounceMs?: number
}

/**
 * From one refresh that clients ask for to the next: each ends the sessions that could be resumed, is told in the log and
 * to the auditor, and costs every worker.
 */
const CLIENT_REFRESH_MS = 1000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/**
 * Who gets hold of a ticket key reads what was sent in sessions of TLS 1.2 that it resumed, so that it
 * should not be there for long.
 */
const TICKET_KEYS_HOURS = 24
const TICKET_KEYS_BYTES = 48
/** A warning when so many days are left, and no other until the next of them. */
const WARNED_DAYS: readonly number[] = [0, 1, 7, 30]

/** memcached's words for what was wrong, in the order of their weight. */
const REFRESH_ERRORS: Readonly<Record<TlsFileProblem['role'], string>> = {
  chain: 'Error loading the certificate chain',
  key: 'Error loading the key',
  pair: 'Error validating the certificate',
  ca: 'Error loading the CA certificate',
  crl: 'Error loading the certificate revocation list',
}

export class CertificateReload {
  private readonly options: CertificateReloadOptions
  private readonly watch: FileWatch
  private readonly refreshes: Coalesced<string | undefined> = new Coalesced(() => this.replace())
  private readonly clientRefreshes: Coalesced<string | undefined> = new Coalesced(() =>
    this.refreshInTime(),
  )
  private clientRefreshMs: number = Number.NEGATIVE_INFINITY
  private readonly wallMs: () => number
  private loaded: LoadedCertificates | undefined = undefined
  private loadedAtSeconds = 0
  private generation = 0
  private hoursWithKeys = 0
  /** For each certificate, of how many days left its last warning was. */
  private warned: Map<string, number> = new Map()
  /** Generations that not every worker has confirmed. */
  private readonly awaited: Map<number, { count: number; readonly done: () => void }> = new Map()
  private endHours: () => void = () => undefined

  constructor(options: CertificateReloadOptions) {
    this.options = options
    this.wallMs = options.wallMs ?? Date.now
    this.watch = new FileWatch({
      paths: tlsFilePaths(options.config),
      debounceMs: options.debounceMs,
      onChange: () => this.refresh(),
    })
  }

  /** Until when the certificates in force are good, and what clients are checked against. */
  get dated(): readonly DatedCertificate[] {
    return this.loaded?.dated ?? []
  }

  /** The certificates of the start. Throws TlsFileError. */
  async load(): Promise<TlsMaterial> {
    await this.read()
    this.announce('certificates_loaded', 'the certificates were loaded')
    this.endHours = this.options.clock.every(HOUR_MS, () => this.lookEachHour())
    return this.material()
  }

  /** Loads them again from now on whenever their files change. */
  async watchFiles(): Promise<void> {
    await this.watch.watch()
  }

  /**
   * Loads them again. Resolves when every worker shows them, or to one line, in memcached's words, about
   * what is wrong. However many ask meanwhile, the files are read once more for all of them.
   */
  refresh(): Promise<string | undefined> {
    return this.refreshes.run()
  }

  /** The same for a client, who may ask again as soon as it is answered: once in CLIENT_REFRESH_MS, for all of them. */
  refreshForClient(): Promise<string | undefined> {
    return this.clientRefreshes.run()
  }

  /** One more worker shows this generation. */
  confirmed(generation: number): void {
    const awaited = this.awaited.get(generation)
    if (awaited === undefined || --awaited.count > 0) return
    this.awaited.delete(generation)
    awaited.done()
  }

  close(): void {
    this.watch.close()
    this.endHours()
  }

  private async refreshInTime(): Promise<string | undefined> {
    const { clock } = this.options
    const waitMs = this.clientRefreshMs + CLIENT_REFRESH_MS - clock.nowMs()
    if (waitMs > 0) await new Promise<void>((resolve) => clock.after(waitMs, resolve))
    this.clientRefreshMs = clock.nowMs()
    return await this.refresh()
  }

  private async replace(): Promise<string | undefined> {
    const before = this.loaded
    try {
      await this.read()
    } catch (error) {
      if (!(error instanceof TlsFileError)) throw error
      if (!this.watch.isClosed) this.refuse(error)
      return refreshError(error.problems)
    }
    if (this.watch.isClosed) return undefined
    await this.distribute()
    this.announce('certificates_reloaded', 'the certificates were reloaded')
    this.options.onAudit?.({
      event: 'reload',
      what: 'certificates',
      outcome: 'success',
      changed: changedSince(before, this.loaded),
      generation: this.generation,
    })
    return undefined
  }

  private async read(): Promise<void> {
    const { config, nowSeconds } = this.options
    this.loaded = await readWith(this.watch, config, this.wallMs())
    this.loadedAtSeconds = nowSeconds()
  }

  /** Resolves when all workers have it. */
  private distribute(): Promise<void> {
    const { workers } = this.options
    const material = this.material()
    const count = workers.size
    this.options.onMaterial?.(material)
    return new Promise((done) => {
      this.awaited.set(material.generation, { count, done })
      workers.broadcast({ kind: 'certificates', material })
    })
  }

  /** Another generation of what was loaded, and ticket keys that nobody has seen. */
  private material(): TlsMaterial {
    const { config } = this.options
    const { identities = [], ca, crl } = this.loaded ?? {}
    this.hoursWithKeys = 0
    return {
      identities,
      ca,
      crl,
      // A session that a revoked certificate has begun must not be resumed after the reload.
      ticketKeys: crypto.getRandomValues(new Uint8Array(TICKET_KEYS_BYTES)),
      minVersion: `TLSv${config.minVersion}`,
      ciphers: config.ciphers,
      verifyMode: VERIFY_MODES[config.verify],
      generation: ++this.generation,
      loadedAtSeconds: this.loadedAtSeconds,
    }
  }

  private lookEachHour(): void {
    this.warnOfEnds()
    if (++this.hoursWithKeys >= TICKET_KEYS_HOURS) void this.distribute()
  }

  private refuse(error: TlsFileError): void {
    const message = `the certificates were not reloaded, those from before stay in force: ${error.message}`
    this.options.say('error', 'certificates_refused', message)
    const files = [...new Set(error.problems.map(({ file }) => file))]
    this.options.onAudit?.({ event: 'reload', what: 'certificates', outcome: 'failure', files })
  }

  private announce(event: string, message: string): void {
    const { say } = this.options
    const { identities = [], dated = [], warnings = [] } = this.loaded ?? {}
    const firstEndMs = Math.min(...dated.map(({ validToMs }) => validToMs))
    say('info', event, message, {
      certificates: identities.length,
      names: identities.flatMap(({ names }) => names).join(' '),
      valid_to: new Date(firstEndMs).toISOString(),
    })
    for (const { file, line, message: warning } of warnings) {
      say('warn', 'certificates_warning', warning, { file, line })
    }
    this.warnOfEnds()
  }

  private warnOfEnds(): void {
    const warned = new Map<string, number>()
    for (const certificate of this.dated) {
      const leftDays = (certificate.validToMs - this.wallMs()) / DAY_MS
      const reached = WARNED_DAYS.find((days) => leftDays <= days)
      if (reached === undefined) continue
      const key = `${certificate.file} ${certificate.what} ${certificate.validToMs}`
      warned.set(key, reached)
      if (this.warned.get(key) !== reached) this.warnOfEnd(certificate, reached)
    }
    this.warned = warned
  }

  private warnOfEnd({ file, what, validToMs }: DatedCertificate, days: number): void {
    const end = new Date(validToMs).toISOString()
    const { say } = this.options
    if (days === 0) {
      say(
        'error',
        'certificate_expired',
        `${what} has expired: clients refuse it, or are refused`,
        {
          file,
          valid_to: end,
        },
      )
      return
    }
    const within = days === 1 ? 'within a day' : `within ${days} days`
    say('warn', 'certificate_expires', `${what} expires ${within}: have it renewed`, {
      file,
      valid_to: end,
    })
  }
}

/** Whose certificates are others now, by their names; beside them `ca` and `crl`. */
function changedSince(
  before: LoadedCertificates | undefined,
  after: LoadedCertificates | undefined,
): readonly string[] | undefined {
  const known = new Set(before?.identities.map(({ certificate }) => certificate))
  const others = after?.identities.filter(({ certificate }) => !known.has(certificate)) ?? []
  const names = others.flatMap((identity) => identity.names)
  if (before?.ca !== after?.ca) names.push('ca')
  if (before?.crl !== after?.crl) names.push('crl')
  return names.length === 0 ? undefined : names
}

/** What a start would read. Throws TlsFileError. */
export async function readCertificates(config: TlsConfig): Promise<LoadedCertificates> {
  const watch = new FileWatch({ paths: tlsFilePaths(config), onChange: () => Promise.resolve() })
  return await readWith(watch, config, Date.now())
}

/** Reads and checks the files, the last by OpenSSL itself. */
async function readWith(
  watch: FileWatch,
  config: TlsConfig,
  nowMs: number,
): Promise<LoadedCertificates> {
  const { pairs, minVersion, ciphers } = config
  const refusal = ciphers === undefined ? undefined : problemWithCiphers(ciphers)
  if (refusal !== undefined) {
    const message = `OpenSSL does not take ${JSON.stringify(ciphers)}: ${refusal}`
    throw new TlsFileError([{ role: 'chain', file: '--tls-ciphers', line: 0, message }])
  }
  const read = (path: string): ReturnType<FileWatch['read']> => watch.read(path)
  const loaded = await watch.reading(() => loadCertificates(config, read, nowMs))
  const problem = problemWithCertificates(loaded, {
    minVersion: `TLSv${minVersion}`,
    ...(ciphers === undefined ? {} : { ciphers }),
  })
  if (problem === undefined) return loaded
  const file = pairs[problem.index]?.certificateFile ?? ''
  const message = `OpenSSL does not take it: ${problem.code}`
  throw new TlsFileError([{ role: 'chain', file, line: 0, message }])
}

const VERIFY_MODES = { none: 0, request: 1, require: 2, once: 3 } as const

/** The line of the first problem, as memcached orders them. */
function refreshError(problems: readonly TlsFileProblem[]): string {
  for (const [role, words] of Object.entries(REFRESH_ERRORS)) {
    const problem = problems.find((each) => each.role === role)
    if (problem !== undefined) return `${words}: ${problem.file} : ${problem.message}`
  }
  return REFRESH_ERRORS.chain
}
