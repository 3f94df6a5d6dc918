/**
 * The status of a running server, for the page at /: where each thing that it tells comes from, and the
 * readings of its history. The users are those in force.
 */

import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import { DEFAULT_NAMESPACE } from '../../credential/namespaces.ts'
import { NAMESPACE_DEFAULT_NAME } from '../../credential/principal.ts'
import type { MetricFamily } from '../../observe/metric-family.ts'
import type { ProcessMetricName } from '../../observe/metrics.ts'
import { LoginThrottle } from '../../sasl/throttle/login-throttle.ts'
import { Status } from '../http/status.ts'
import { SAMPLE_INTERVAL_MS } from '../http/status-history.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import type { ThrottleSettings } from '../worker/worker-messages.ts'
import type { Readiness } from './readiness.ts'
import type { ServerMemory } from './shared-memory.ts'
import { VERSION } from './version.ts'

export interface ServerStatusOptions {
  readonly memory: ServerMemory
  readonly readiness: Readiness
  readonly threadClock: ThreadClock
  /** When the server started, on the clock that all threads share. */
  readonly startedMs: number
  readonly process: () => Readonly<Record<ProcessMetricName, number>>
  readonly families: readonly MetricFamily[]
  /** False: a full store refuses writes. */
  readonly evicts: boolean
  /** Undefined: nobody logs in. */
  readonly credentials: CredentialSnapshot | undefined
  /** Undefined: failed logins are held against nobody. */
  readonly throttle: ThrottleSettings | undefined
}

export class ServerStatus {
  readonly status: Status
  private readonly endSamples: () => void
  private users: ReadonlyMap<string, number> | undefined

  constructor(options: ServerStatusOptions) {
    const { memory, readiness, threadClock, credentials } = options
    this.users = credentials === undefined ? undefined : usersByNamespace(credentials)
    const throttle = createReader(options)
    this.status = new Status({
      facts: {
        version: VERSION,
        node: process.versions.node,
        evicts: options.evicts,
        authentication: credentials !== undefined,
        // Counters begin anew with each run: readings of two are not compared.
        run: crypto.randomUUID(),
      },
      namespaces: () => [{ ...memory.shared, ...DEFAULT_NAMESPACE }, ...memory.namespaces.all],
      process: options.process,
      holds: () => readiness.reasons,
      users: () => this.users,
      throttled: () => throttle?.list(),
      families: () => options.families,
      nowMs: () => threadClock.sharedMs(),
    })
    this.status.sample()
    this.endSamples = threadClock.every(SAMPLE_INTERVAL_MS, () => this.status.sample())
  }

  replaceCredentials(credentials: CredentialSnapshot): void {
    this.users = usersByNamespace(credentials)
  }

  close(): void {
    this.endSamples()
  }
}

function usersByNamespace({ users }: CredentialSnapshot): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { access } of users) {
    const name = access?.namespace ?? NAMESPACE_DEFAULT_NAME
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

/** Of those who are refused, by whatever worker: it decides and counts nothing itself. */
function createReader(options: ServerStatusOptions): LoginThrottle | undefined {
  const { memory, throttle, threadClock, startedMs } = options
  if (throttle === undefined) return undefined
  return new LoginThrottle({
    memory: memory.shared.throttle,
    failuresMax: throttle.failuresMax,
    refusalMsMin: throttle.refusalMsMin,
    refusalMsMax: throttle.refusalMsMax,
    isAllowed: () => false,
    nowMs: () => threadClock.sharedMs() - startedMs,
    onCount: () => undefined,
    onBegin: () => undefined,
    onEnd: () => undefined,
    onMore: () => undefined,
  })
}
