/**
 * What operators ask one worker about the whole server, as far as the shared counters do not tell it:
 * the settings as they are now, and the logins.
 */
import type { StatRows } from '../../command/operations/stats.ts'
import { sumCounter } from '../../observe/counters.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'
import { memoryLimitOf } from '../../storage/counters.ts'
import { LOGIN_COUNTERS } from './login-counters.ts'
import type { WorkerSettings } from './worker-messages.ts'

/** Something that `stats` can switch on. */
interface Switch {
  readonly isEnabled: boolean
}

export interface OperatorFactsOptions {
  readonly settings: WorkerSettings
  readonly sasl: SaslEnvironment | undefined
  /** Counting by prefix. */
  readonly prefixes: Switch
  /** Counting by size. */
  readonly sizes: Switch
}

export class OperatorFacts {
  /** What a client has made of the verbosity, if any has. */
  verbosity: string | undefined = undefined

  private readonly options: OperatorFactsOptions

  constructor(options: OperatorFactsOptions) {
    this.options = options
  }

  /** The settings of the start, with what has been changed since, and the port that was found. */
  settingsRows(): StatRows {
    const { settings, prefixes, sizes } = this.options
    const tcpPort = settings.sockets.find(({ address }) => address.family !== 'unix')?.address.port
    return settings.settingsRows.map(([name, value]) => {
      if (name === 'maxbytes') return [name, String(memoryLimitOf(settings.store))]
      if (name === 'verbosity') return [name, this.verbosity ?? value]
      if (name === 'tcpport') return [name, String(tcpPort ?? 0)]
      if (name === 'detail_enabled') return [name, prefixes.isEnabled ? 'yes' : 'no']
      if (name === 'track_sizes') return [name, sizes.isEnabled ? 'yes' : 'no']
      return [name, value]
    })
  }

  loginRows(): StatRows {
    const { settings, sasl } = this.options
    if (sasl === undefined) return []
    return [
      ...LOGIN_COUNTERS.map((name) => [name, String(sumCounter(settings.counters, name))] as const),
      ['mechanisms', sasl.announced()],
    ]
  }
}
