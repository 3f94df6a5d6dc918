/**
 * The users of a running server: loaded at the start, loaded again when they are asked for or their
 * files change, and handed to the workers. Reloaded users are announced when every worker has them, so
 * that nobody is told of users that are not in force yet.
 */
import { assert } from '../../base/assert.ts'
import type { Config } from '../../config/config.ts'
import { askedOfUsers, configuredUsers } from '../../config/credentials.ts'
import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import {
  CredentialSource,
  type CredentialSourceOptions,
} from '../../credential/credential-source.ts'
import { loadTables } from '../../credential/prepare.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { newLoginMemoryKey } from '../../sasl/login-memory.ts'
import { configuredMechanisms, forEveryUser } from '../../sasl/mechanisms.ts'
import type { WorkerAuth } from '../worker/worker-messages.ts'
import { reloadEvent } from './audit-reload.ts'
import { type GeneratedUser, generateUser } from './generated-user.ts'
import type { NamespaceMemories } from './namespace-memory.ts'
import type { Say } from './say.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface CredentialReloadOptions {
  readonly config: Config
  readonly say: Say
  readonly workers: Pick<WorkerPool, 'size' | 'broadcast'>
  readonly onAudit?: (event: AuditEvent) => void
  /** The workers are told of these users: for who takes logins beside them, and is not to wait for the slowest. */
  readonly onUsers?: (credentials: CredentialSnapshot) => void
}

interface Reload {
  readonly credentials: CredentialSnapshot
  awaitedCount: number
}

/** Who has tokens needs no password. */
export function isOpenToNobody({ auth }: Config): boolean {
  return auth.sources.length === 0 && auth.tokens === undefined
}

/** Where the users come from; `generated` is the one of this run, where there is one. */
export function sourceOf(
  config: Config,
  generated: Pick<GeneratedUser, 'name' | 'password'> | undefined,
): CredentialSourceOptions {
  const { auth } = config
  const configured = configuredUsers(config)
  return {
    ...configured,
    ...askedOfUsers(config),
    inlineUsers:
      generated === undefined
        ? configured.inlineUsers
        : [{ ...generated, origin: 'generated for this run' }],
    mechanisms: forEveryUser(configuredMechanisms(auth.mechanisms)),
    iterations: auth.iterations,
    hasOtherLogins: auth.tokens !== undefined,
  }
}

export class CredentialReload {
  private readonly options: CredentialReloadOptions
  private readonly source: CredentialSource
  /** The user made for this run, until it has been announced. */
  private generated: GeneratedUser | undefined
  /** Reloads that not every worker has confirmed. */
  private readonly reloads: Map<number, Reload> = new Map()
  private reloadCount = 0
  /** What all workers have. */
  private inForce: CredentialSnapshot | undefined = undefined
  /** Set when there is memory; it is not loaded again before. */
  private namespaces: NamespaceMemories | undefined = undefined
  private lastChange: Promise<void> = Promise.resolve()

  constructor(options: CredentialReloadOptions) {
    this.options = options
    const { config } = options
    this.generated = isOpenToNobody(config) ? generateUser() : undefined
    this.source = new CredentialSource(sourceOf(config, this.generated), {
      onChange: (credentials) => this.distribute(credentials),
      onProblem: (error) => this.refuse(error.message),
    })
  }

  /** The users of the start. Throws CredentialFileError. */
  async load(): Promise<Omit<WorkerAuth, 'tokens'>> {
    const { auth, limits, process: processConfig } = this.options.config
    const codePoints = loadTables()
    const credentials = await this.source.load()
    this.announce(credentials, 'credentials_loaded', 'the users were loaded')
    this.inForce = credentials
    return {
      credentials,
      codePoints,
      mechanisms: auth.mechanisms,
      certificateField: auth.certificateField,
      loginMemoryKey: newLoginMemoryKey(),
      // Each worker rations for itself: together they keep the limits, or have one each. However
      // many there are, the threads on which keys are derived are four, and belong to the process.
      keyDerivationsMax: Math.max(1, Math.floor(limits.keyDerivationsMax / processConfig.threads)),
      throttle: limits.throttle,
      derivationQueueMax: Math.ceil(limits.derivationQueueMax / processConfig.threads),
    }
  }

  /** Where the namespaces of those users have their memory. */
  useNamespaces(namespaces: NamespaceMemories): void {
    this.namespaces = namespaces
  }

  /** A worker has left the namespaces of this change. */
  namespacesLeft(changeId: number): void {
    this.namespaces?.left(changeId)
  }

  /** Loads them again from now on whenever their files change. */
  async watch(): Promise<void> {
    await this.source.watch()
  }

  reload(): void {
    void this.source.reload()
  }

  close(): void {
    this.source.close()
  }

  /** One more worker has the users of this reload; it is announced when all of them have. */
  confirmed(reloadId: number): void {
    const reload = this.reloads.get(reloadId)
    assert(reload !== undefined, 'workers confirm a reload once each')
    reload.awaitedCount--
    if (reload.awaitedCount > 0) return
    this.reloads.delete(reloadId)
    this.announce(reload.credentials, 'credentials_reloaded', 'the users were reloaded')
    const { inForce } = this
    this.inForce = reload.credentials
    if (inForce !== undefined) this.options.onAudit?.(reloadEvent(inForce, reload.credentials))
  }

  /** Once the port is open: a password for a server that did not start would only mislead. */
  announceGenerated(): void {
    if (this.generated === undefined) return
    // To the terminal, not to the log: a log is kept and shipped, this is to be read once.
    process.stderr.write(this.generated.announcement)
    this.options.say(
      'warn',
      'user_generated',
      'no user is configured: one was made for this run and its password printed on the terminal',
      { user: this.generated.name },
    )
    this.generated = undefined
  }

  /** One after the other: a namespace that is gone is left by all before its memory is another's. */
  private distribute(credentials: CredentialSnapshot): void {
    this.lastChange = this.lastChange.then(() => this.putInForce(credentials))
  }

  private async putInForce(credentials: CredentialSnapshot): Promise<void> {
    const { workers } = this.options
    const { namespaces: wanted } = credentials
    const problems = this.namespaces?.problemsOf(wanted) ?? []
    if (problems.length > 0) {
      this.refuse(problems.join('; '))
      return
    }
    const namespaces = (await this.namespaces?.change(wanted, workers)) ?? []
    this.reloadCount++
    const reloadId = this.reloadCount
    this.reloads.set(reloadId, { credentials, awaitedCount: workers.size })
    workers.broadcast({ kind: 'credentials', credentials, namespaces, reloadId })
    this.options.onUsers?.(credentials)
  }

  private refuse(reason: string): void {
    this.options.onAudit?.({ event: 'reload', what: 'users', outcome: 'failure' })
    this.options.say(
      'error',
      'credentials_refused',
      `the users were not reloaded, those from before stay in force: ${reason}`,
    )
  }

  private announce(credentials: CredentialSnapshot, event: string, message: string): void {
    const { config, say } = this.options
    const mechanisms = configuredMechanisms(config.auth.mechanisms)
    const announced = mechanisms.filter((mechanism) => mechanism.usable(credentials))
    say('info', event, message, {
      users: credentials.users.length,
      mechanisms: announced.map(({ name }) => name).join(' '),
    })
    for (const warning of this.source.warnings) {
      say('warn', 'credentials_warning', warning.message, {
        file: warning.file,
        // 0: it is about the file, or all of them.
        line: warning.line === 0 ? undefined : warning.line,
      })
    }
    for (const lacking of credentials.lacking) {
      if (!mechanisms.some(({ hash }) => hash === lacking.hash)) continue
      say(
        'warn',
        'mechanism_withheld',
        `${lacking.hash} is not announced: ${lacking.userCount} user(s) have no verifier for it (set their passwords anew)`,
        { users: lacking.userNames.join(', ') },
      )
    }
  }
}
