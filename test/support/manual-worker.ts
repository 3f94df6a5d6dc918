/**
 * A worker of the server's own code without a thread, a socket or a clock: a test plays the main thread,
 * the clients and the time.
 */

import { createNamespaceShares } from '../../src/connection/namespace-shares.ts'
import type { CredentialSnapshot } from '../../src/credential/credential-snapshot.ts'
import { loadTables } from '../../src/credential/prepare.ts'
import { createCounterMemory } from '../../src/observe/counters.ts'
import type { LogEvent } from '../../src/observe/log.ts'
import { createPrefixMemory, DEFAULT_DELIMITER } from '../../src/observe/prefix-table.ts'
import { createWatchMemory } from '../../src/observe/watch-memory.ts'
import { createThrottleMemory } from '../../src/sasl/throttle/login-throttle.ts'
import { createNamespacePlaces } from '../../src/server/admission/namespace-places.ts'
import { createWorkerTableMemory } from '../../src/server/admission/worker-table-memory.ts'
import type { NewcomerSource, NewcomerSourceOptions } from '../../src/server/net/newcomer.ts'
import type { SharedSocket } from '../../src/server/net/shared-socket.ts'
import { createConnectionTableMemory } from '../../src/server/worker/connection-table.ts'
import { createMeasureMemory } from '../../src/server/worker/measure-memory.ts'
import type {
  FromWorker,
  SharedMemory,
  ToWorker,
  WorkerSettings,
} from '../../src/server/worker/worker-messages.ts'
import { WorkerServer } from '../../src/server/worker/worker-server.ts'
import { createStoreMemory } from '../../src/storage/geometry.ts'
import { ManualClock } from './manual-clock.ts'
import { ManualNewcomer } from './manual-newcomer.ts'

const MEBIBYTE = 1024 * 1024
const CONNECTIONS_MAX = 100
const SERVER_BEGAN = { epochMs: 1_700_000_000_000, monotonicMs: 0 }

const SOCKET: SharedSocket = {
  fd: -1,
  address: {
    family: 'IPv4',
    text: '192.0.2.100:11211',
    given: '192.0.2.100:11211',
    port: 11211,
    isDualStack: false,
  },
}

/** What the workers of one server share. */
export function manualShared(workerCount = 1): SharedMemory {
  return {
    store: createStoreMemory({
      memoryBytes: 8 * MEBIBYTE,
      itemBytesMax: MEBIBYTE,
      evicts: true,
      workerCount,
      seed: [1, 2],
    }),
    counters: createCounterMemory(workerCount),
    watch: createWatchMemory(workerCount, 64 * 1024),
    prefixes: createPrefixMemory(DEFAULT_DELIMITER, [1, 2]),
    namespaces: [],
    connectionTable: createConnectionTableMemory(CONNECTIONS_MAX),
    workerTable: createWorkerTableMemory(workerCount, 1, CONNECTIONS_MAX),
    audit: undefined,
    stripes: undefined,
    places: createNamespacePlaces(),
    unfinished: createNamespaceShares(workerCount),
    replies: createNamespaceShares(workerCount),
    measures: createMeasureMemory(workerCount, false),
    throttle: createThrottleMemory((bytes) => bytes.fill(7), 64),
  }
}

export function manualSettings(shared: SharedMemory): WorkerSettings {
  return {
    ...shared,
    workerIndex: 0,
    version: '0',
    clock: SERVER_BEGAN,
    sockets: [SOCKET],
    tls: undefined,
    touched: undefined,
    passwordsInTheClear: true,
    backlog: 1024,
    auth: undefined,
    logLevel: 'info',
    valueBytesMax: MEBIBYTE,
    flushEnabled: true,
    dumpEnabled: true,
    remote: undefined,
    cluster: undefined,
    watchEnabled: true,
    shutdownEnabled: true,
    protocol: 'auto',
    casEnabled: true,
    connectionsMax: CONNECTIONS_MAX,
    heldConnectionsMax: 10,
    unauthenticatedConnectionsMax: 50,
    loginTimeoutMs: 10_000,
    loginAttemptsMax: 5,
    saslBytesMax: 2048,
    requestsPerTurnMax: 20,
    idleTimeoutMs: 0,
    stalledWriteTimeoutMs: 60_000,
    sendBufferBytesMax: MEBIBYTE,
    watcherBufferBytesMax: 256 * 1024,
    showsLruMaintainer: true,
    settingsRows: [
      ['maxbytes', '0'],
      ['tcpport', '0'],
      ['verbosity', '0'],
      ['evictions', 'on'],
    ],
    threadCount: shared.workerTable.workerCount,
  }
}

/** Settings of a server with these users. */
export function withUsers(credentials: CredentialSnapshot): Partial<WorkerSettings> {
  const mechanisms = ['PLAIN']
  return {
    auth: {
      credentials,
      codePoints: loadTables(),
      mechanisms,
      loginMemoryKey: new Uint8Array(32),
      keyDerivationsMax: 1,
      derivationQueueMax: 10,
      tokens: undefined,
      throttle: undefined,
    },
  }
}

export class ManualSource implements NewcomerSource {
  readonly options: NewcomerSourceOptions
  readonly listened: SharedSocket[] = []
  isPaused = false
  /** What listening fails with. */
  error: Error | undefined = undefined

  constructor(options: NewcomerSourceOptions) {
    this.options = options
  }

  async listen(socket: SharedSocket): Promise<void> {
    if (this.error !== undefined) throw this.error
    this.listened.push(socket)
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }
}

export class ManualWorker {
  readonly clock: ManualClock
  readonly source: ManualSource
  readonly server: WorkerServer
  /** What was posted, log lines apart, and not taken yet. */
  private posted: FromWorker[] = []
  readonly logged: LogEvent[] = []
  private tell: (message: ToWorker) => void = () => undefined

  constructor(
    changes: Partial<WorkerSettings> = {},
    shared: SharedMemory = manualShared(),
    clock: ManualClock = new ManualClock(),
  ) {
    this.clock = clock
    let source: ManualSource | undefined
    const port = {
      postMessage: (message: FromWorker) => {
        if (message.kind === 'log') this.logged.push(message.event)
        else this.posted.push(message)
      },
      on: (_: 'message', listener: (message: ToWorker) => void) => {
        this.tell = listener
      },
    }
    this.server = new WorkerServer(
      { ...manualSettings(shared), ...changes },
      port,
      clock,
      (options) => {
        source = new ManualSource(options)
        return source
      },
    )
    this.source = source!
  }

  start(): Promise<void> {
    return this.server.start()
  }

  /** The main thread says something. */
  receive(message: ToWorker): void {
    this.tell(message)
  }

  takePosted(): FromWorker[] {
    const { posted } = this
    this.posted = []
    return posted
  }

  /** Somebody connects, to the listening socket of that index. */
  connect(address = '192.0.2.1', listenerIndex = 0): ManualNewcomer {
    const newcomer = new ManualNewcomer(address, listenerIndex)
    this.source.options.onAccept(newcomer)
    return newcomer
  }

  /** Sends a text request, gives it the turns that it takes, and returns what comes of it. */
  ask({ transport }: ManualNewcomer, request: string): string {
    const before = transport.output.length
    transport.deliver(Buffer.from(request, 'latin1'))
    while (this.clock.isAwaited) this.clock.turn()
    // All of it is read.
    transport.unsentBytes = 0
    return transport.output.toString('latin1', before)
  }
}
