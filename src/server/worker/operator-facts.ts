/**
 * What operators ask one worker about the whole server, as far as the shared counters do not tell it:
 * the settings as they are now, and the facts of the process.
 */
import type { Clock } from '../../base/clock.ts'
import type { StatRows } from '../../command/operations/rows.ts'
import type { ProcessMetricName } from '../../observe/metrics.ts'
import { wholeMemoryLimitOf } from '../../storage/quotas.ts'
import type { SharedSocket } from '../net/shared-socket.ts'
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

/** Port 0 has become another. Sockets that were passed are in no option, and stand in the place of those that are. */
function listenedRows(sockets: readonly SharedSocket[]): ReadonlyMap<string, string> {
  const addresses = sockets
    .filter(({ identity }) => identity === undefined)
    .map(({ address }) => address)
  const tcp = addresses.filter(({ family }) => family !== 'unix')
  const rows = new Map([['tcpport', String(tcp[0]?.port ?? 0)]])
  if (!sockets.some(({ isPassed }) => isPassed === true)) return rows
  const unix = addresses.filter(({ family }) => family === 'unix')
  rows.set('inter', tcp.map(({ text }) => text).join(',') || 'NULL')
  return rows.set('domain_socket', unix.map(({ text }) => text).join(',') || 'NULL')
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

  /** The settings of the start, with what has been changed since, and where the server really listens. */
  settingsRows(): StatRows {
    const { settings, prefixes, sizes } = this.options
    const listened = listenedRows(settings.sockets)
    return settings.settingsRows.map(([name, value]) => {
      if (name === 'maxbytes') return [name, String(wholeMemoryLimitOf(settings.store))]
      if (name === 'verbosity') return [name, this.verbosity ?? value]
      if (name === 'detail_enabled') return [name, prefixes.isEnabled ? 'yes' : 'no']
      if (name === 'track_sizes') return [name, sizes.isEnabled ? 'yes' : 'no']
      return [name, listened.get(name) ?? value]
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
