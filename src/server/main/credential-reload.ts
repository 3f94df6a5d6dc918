/**
 * The users of a running server: loaded at the start, loaded again when they are asked for or their
 * files change, and handed to the workers. Reloaded users are announced when every worker has them, so
 * that nobody is told of users that are not in force yet.
 */
import { assert } from '../../base/assert.ts'
import type { Config } from '../../config/config.ts'
import { configuredUsers } from '../../config/credentials.ts'
import { CredentialSource } from '../../credential/credential-source.ts'
import { loadTables } from '../../credential/prepare.ts'
import type { CredentialSnapshot } from '../../credential/snapshot.ts'
import { configuredMechanisms } from '../../sasl/mechanisms.ts'
import type { WorkerAuth } from '../worker/worker-messages.ts'
import { type GeneratedUser, generateUser } from './generated-user.ts'
import type { Say } from './say.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface CredentialReloadOptions {
  readonly config: Config
  readonly say: Say
  readonly workers: Pick<WorkerPool, 'size' | 'broadcast'>
}

interface Reload {
  readonly credentials: CredentialSnapshot
  awaitedCount: number
}

export class CredentialReload {
  private readonly options: CredentialReloadOptions
  private readonly source: CredentialSource
  /** The user made for this run, until it has been announced. */
  private generated: GeneratedUser | undefined
  /** Reloads that not every worker has confirmed. */
  private readonly reloads: Map<number, Reload> = new Map()
  private reloadCount = 0

  constructor(options: CredentialReloadOptions) {
    this.options = options
    const { config, say } = options
    const { auth } = config
    this.generated = auth.sources.length === 0 ? generateUser() : undefined
    const { files, inlineUsers } = configuredUsers(config)
    const { generated } = this
    this.source = new CredentialSource(
      {
        files,
        inlineUsers:
          generated === undefined
            ? inlineUsers
            : [{ ...generated, origin: 'generated for this run' }],
        mechanisms: configuredMechanisms(auth.mechanisms),
        iterations: auth.iterations,
      },
      {
        onChange: (credentials) => this.distribute(credentials),
        onProblem: (error) =>
          say(
            'error',
            'credentials_refused',
            `the users were not reloaded, those from before stay in force: ${error.message}`,
          ),
      },
    )
  }

  /** The users of the start. Throws CredentialFileError. */
  async load(): Promise<WorkerAuth> {
    const { auth, limits, process: processConfig } = this.options.config
    loadTables()
    const credentials = await this.source.load()
    this.announce(credentials, 'credentials_loaded', 'the users were loaded')
    return {
      credentials,
      mechanisms: auth.mechanisms,
      // Each worker rations for itself: together they keep the limits, or have one each. However
      // many there are, the threads on which keys are derived are four, and belong to the process.
      keyDerivationsMax: Math.max(1, Math.floor(limits.keyDerivationsMax / processConfig.threads)),
      derivationQueueMax: Math.ceil(limits.derivationQueueMax / processConfig.threads),
    }
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

  private distribute(credentials: CredentialSnapshot): void {
    const { workers } = this.options
    this.reloadCount++
    this.reloads.set(this.reloadCount, { credentials, awaitedCount: workers.size })
    workers.broadcast({ kind: 'credentials', credentials, reloadId: this.reloadCount })
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
