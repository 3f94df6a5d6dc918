/**
 * All metrics of a running server, as the main thread reads them: from shared memory alone, without asking a
 * worker, and without a lock that one could wait for.
 */
import type { Clock } from '../../base/clock.ts'
import type { CounterMemory } from '../../observe/counters.ts'
import { MetricReader, type MetricValues, sumOfNamespaces } from '../../observe/metric-reader.ts'
import type { ProcessMetricName } from '../../observe/metrics.ts'
import { readStoreMetrics } from '../../storage/counters.ts'
import type { StoreMemory } from '../../storage/geometry.ts'
import type { ServerMemory } from './shared-memory.ts'

export interface ServerMetricsOptions {
  readonly memory: ServerMemory
  readonly clock: Clock
  /** Milliseconds since this thread began. */
  readonly nowMs: () => number
  readonly connectionsMax: number
  readonly threadCount: number
  /** False while no worker accepts. */
  readonly isAccepting: () => boolean
  /** When the certificates in force were read, in seconds since 1970; undefined without TLS. */
  readonly certificatesReadAtSeconds: () => number | undefined
}

export class ServerMetrics {
  private readonly options: ServerMetricsOptions

  constructor(options: ServerMetricsOptions) {
    this.options = options
  }

  /** Of all namespaces together, or of the default one alone. */
  read(seesAll: boolean): MetricValues {
    const { shared, namespaces } = this.options.memory
    const all = [shared, ...(seesAll ? namespaces.all : [])]
    return sumOfNamespaces(all.map((memory) => this.readOne(memory)))
  }

  private readOne(memory: {
    readonly store: StoreMemory
    readonly counters: CounterMemory
  }): MetricValues {
    return new MetricReader({
      counters: memory.counters,
      store: () => readStoreMetrics(memory.store),
      process: () => this.ofProcess(),
    }).read()
  }

  ofProcess(): Readonly<Record<ProcessMetricName, number>> {
    const { clock, nowMs, connectionsMax, threadCount, isAccepting } = this.options
    const now = nowMs()
    const { userCPUTime, systemCPUTime } = process.resourceUsage()
    const epochSeconds = clock.epochSeconds(now)
    const readAtSeconds = this.options.certificatesReadAtSeconds() ?? epochSeconds
    return {
      uptime: clock.uptimeSeconds(now),
      time: epochSeconds,
      rusage_user: userCPUTime / 1e6,
      rusage_system: systemCPUTime / 1e6,
      max_connections: connectionsMax,
      accepting_conns: isAccepting() ? 1 : 0,
      threads: threadCount,
      time_since_server_cert_refresh: Math.max(0, epochSeconds - readAtSeconds),
    }
  }
}
