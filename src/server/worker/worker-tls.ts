/**
 * What a worker has of TLS, beside the transports: the certificates that handshakes are made with, what is told of
 * handshakes, and the asking for the files to be read anew, once for all who ask meanwhile.
 */
import { Coalesced } from '../../base/coalesced.ts'
import type { LogEvent } from '../../observe/log.ts'
import type { TlsOptions } from '../net/newcomer.ts'
import { type HandshakeClock, type HandshakeTurns, TlsHandshakes } from '../net/tls-handshakes.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import type { EventCounters } from './event-counters.ts'
import { HandshakeLog } from './handshake-log.ts'
import type { WorkerAudit } from './worker-audit.ts'

export interface WorkerTlsOptions {
  readonly material: TlsMaterial
  readonly lane: Float64Array
  readonly events: EventCounters
  readonly audit: WorkerAudit | undefined
  readonly nowMs: () => number
  readonly epochSeconds: () => number
  /** Handshakes are timed by it; `nowMs` is that of the last tick. */
  readonly clock: HandshakeClock
  /** Handshakes are strangers' until they are done. */
  readonly turns: HandshakeTurns
  readonly write: (event: LogEvent) => void
  /** Asks the main thread to read the files; `refreshed` gets its answer. */
  readonly askForRefresh: () => void
}

export class WorkerTls {
  /** For the listeners. */
  readonly options: TlsOptions
  private readonly handshakes: TlsHandshakes
  private readonly log: HandshakeLog
  private readonly refreshes: Coalesced<string | undefined>
  private onRefreshed: (problem: string | undefined) => void = () => undefined

  constructor(options: WorkerTlsOptions) {
    const { lane, events, audit, nowMs, epochSeconds, write, askForRefresh } = options
    this.handshakes = new TlsHandshakes(options.material, options.clock, options.turns)
    this.log = new HandshakeLog(write)
    this.refreshes = new Coalesced(
      () =>
        new Promise((resolve) => {
          this.onRefreshed = resolve
          askForRefresh()
        }),
    )
    this.options = {
      handshakes: this.handshakes,
      lane,
      epochSeconds,
      onHandshake: (version, isResumed) => events.handshake(version, isResumed),
      onHandshakeFailed: (peer, code) => {
        events.handshakeFailed(code)
        this.log.record(peer, code, nowMs())
        audit?.handshake(peer, code)
      },
    }
  }

  /** Handshakes that begin from now on are made with these certificates. */
  replace(material: TlsMaterial): void {
    this.handshakes.replace(material)
  }

  /** Has the files read anew; resolves to what is wrong with them, if anything is. */
  refresh(): Promise<string | undefined> {
    return this.refreshes.run()
  }

  refreshed(problem: string | undefined): void {
    this.onRefreshed(problem)
  }

  rollOver(nowMs: number): void {
    this.log.rollOver(nowMs)
  }
}
