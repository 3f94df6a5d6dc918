/**
 * The store elsewhere, as one worker goes to it: the connections to its nodes, and who carries out the requests of each
 * namespace. Made only where there is one.
 */
import type { Clock } from '../../base/clock.ts'
import { RemoteCommands } from '../../command/remote/remote-commands.ts'
import type { LogEvent } from '../../observe/log.ts'
import { CasClock } from '../../remote/cas-clock.ts'
import { clusterMaker } from '../../remote/cluster-client.ts'
import { Engine } from '../../remote/engine.ts'
import { Generation } from '../../remote/generation.ts'
import type { RemoteSettings } from '../../remote/remote-settings.ts'
import { nodeDialer } from '../net/node-dialer.ts'
import type { ThreadClock } from './thread-clock.ts'
import type { WorkerSettings } from './worker-messages.ts'

/** Undefined: the items are in this process, and nothing of what this is made of is loaded. */
export function createRemote(
  settings: WorkerSettings,
  clock: Clock,
  threadClock: ThreadClock,
  write: (event: LogEvent) => void,
): RemoteService | undefined {
  const { remote } = settings
  if (remote === undefined) return undefined
  const epochMs = (): number => clock.epochMs(threadClock.nowMs())
  return new RemoteService({
    remote,
    settings,
    clock: threadClock,
    epochMs,
    random: Math.random,
    write,
  })
}

/** The same trouble is told so often at most. */
const TROUBLE_MS = 10_000
const TROUBLES_MAX = 100

interface RemoteServiceOptions {
  readonly remote: RemoteSettings
  readonly settings: WorkerSettings
  readonly clock: ThreadClock
  readonly epochMs: () => number
  readonly random: () => number
  readonly write: (event: LogEvent) => void
}

export class RemoteService {
  private readonly options: RemoteServiceOptions
  private readonly engine: Engine
  private readonly casClock: CasClock
  private readonly toldMs: Map<string, number> = new Map()

  constructor(options: RemoteServiceOptions) {
    this.options = options
    const { remote, clock, epochMs, random } = options
    this.casClock = new CasClock(epochMs, random)
    this.engine = new Engine({
      settings: remote,
      make: clusterMaker(remote),
      dial: nodeDialer(remote.tls),
      clock,
      onTrouble: (trouble) => this.tell(trouble),
    })
  }

  /** Carries out the requests of a namespace, and counts them in its lane. */
  commandsOf(name: string, lane: Float64Array): RemoteCommands {
    const { engine, casClock } = this
    const { remote, settings, clock } = this.options
    return new RemoteCommands({
      engine,
      casClock,
      generation: new Generation(engine, clock, name),
      lane,
      after: (delayMs, run) => clock.after(delayMs, run),
      itemBytesMax: settings.valueBytesMax,
      flushEnabled: settings.flushEnabled,
      casEnabled: settings.casEnabled,
      missesOnFailure: remote.missesOnFailure,
    })
  }

  /** Is fulfilled when the cluster has been seen, or after the time that a request may take. */
  async opened(): Promise<void> {
    const { clock, remote } = this.options
    const late = new Promise<void>((resolve) => clock.after(remote.timeoutMs, resolve))
    await Promise.race([this.engine.opened(), late])
  }

  close(): void {
    this.engine.close()
  }

  private tell(trouble: string): void {
    const { clock, write } = this.options
    const { toldMs } = this
    const nowMs = clock.nowMs()
    if (nowMs - (toldMs.get(trouble) ?? Number.NEGATIVE_INFINITY) < TROUBLE_MS) return
    if (toldMs.size >= TROUBLES_MAX) toldMs.clear()
    toldMs.set(trouble, nowMs)
    write({
      level: 'warn',
      event: 'store_trouble',
      message: 'the store has trouble',
      fields: { trouble },
    })
  }
}
