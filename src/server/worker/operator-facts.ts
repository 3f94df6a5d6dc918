/**
 * What operators ask one worker about the whole server, as far as the shared counters do not tell it:
 * the settings as they are now, and the facts of the process.
 */
import type { Clock } from '../../base/clock.ts'
import type { StatRows } from '../../command/operations/rows.ts'
import type { ProcessMetricName } from '../../observe/metrics.ts'
import { wholeMemoryLimitOf } from '../../storage/quotas.ts'
import type { ThreadClock } from './thread-clock.ts'
import type { WorkerSettings } from './worker-messages.ts'

/** Something that `stats` can switch on. */
interface Switch {
  readonly isEnabled: boolean
}

export interface OperatorFactsOptions {
  readonly settings: WorkerSettings
  readonly clock: Clock
  readonly threadClock: ThreadClock
  readonly isAccepting: () => boolean
  /** Counting by prefix. */
  readonly prefixes: Switch
  /** Counting by size. */
  readonly sizes: Switch
}

export class OperatorFacts {
  /** What a client has made of the verbosity, if any has. */
  verbosity: string | undefined = undefined
  /** When the certificates in force were read, in seconds since 1970; undefined without TLS. */
  certificatesReadAtSeconds: number | undefined

  private readonly options: OperatorFactsOptions

  constructor(options: OperatorFactsOptions) {
    this.options = options
    this.certificatesReadAtSeconds = options.settings.tls?.loadedAtSeconds
  }

  /** The settings of the start, with what has been changed since, and the port that was found. */
  settingsRows(): StatRows {
    const { settings, prefixes, sizes } = this.options
    const tcpPort = settings.sockets.find(({ address }) => address.family !== 'unix')?.address.port
    return settings.settingsRows.map(([name, value]) => {
      if (name === 'maxbytes') return [name, String(wholeMemoryLimitOf(settings.store))]
      if (name === 'verbosity') return [name, this.verbosity ?? value]
      if (name === 'tcpport') return [name, String(tcpPort ?? 0)]
      if (name === 'detail_enabled') return [name, prefixes.isEnabled ? 'yes' : 'no']
      if (name === 'track_sizes') return [name, sizes.isEnabled ? 'yes' : 'no']
      return [name, value]
    })
  }

  processMetrics(): Readonly<Record<ProcessMetricName, number>> {
    const { settings, clock, threadClock, isAccepting } = this.options
    const nowMs = threadClock.nowMs()
    const { userCPUTime, systemCPUTime } = process.resourceUsage()
    const epochSeconds = clock.epochSeconds(nowMs)
    const readAtSeconds = this.certificatesReadAtSeconds ?? epochSeconds
    return {
      uptime: clock.uptimeSeconds(nowMs),
      time: epochSeconds,
      rusage_user: userCPUTime / 1e6,
      rusage_system: systemCPUTime / 1e6,
      max_connections: settings.connectionsMax,
      accepting_conns: isAccepting() ? 1 : 0,
      threads: settings.threadCount,
      time_since_server_cert_refresh: Math.max(0, epochSeconds - readAtSeconds),
    }
  }
}
