/** What a configuration means for one worker. */
import type { ClockBase } from '../../base/clock.ts'
import type { ClusterNodes } from '../../command/operations/cluster-lines.ts'
import type { Config } from '../../config/config.ts'
import type { RemoteSettings } from '../../remote/remote-settings.ts'
import type { SharedSocket } from '../net/shared-socket.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import type { TouchedMemories } from '../snapshot/snapshot-messages.ts'
import type { SharedMemory, WorkerAuth, WorkerSettings } from '../worker/worker-messages.ts'
import { settingsRows } from './settings-rows.ts'
import { VERSION } from './version.ts'

/** What all workers of a server are started with. */
export interface WorkerSupplies {
  readonly shared: SharedMemory
  readonly clock: ClockBase
  readonly sockets: readonly SharedSocket[]
  /** Undefined: no authentication. */
  readonly auth: WorkerAuth | undefined
  /** Undefined: no TLS. */
  readonly tls: TlsMaterial | undefined
  /** Undefined: no nodes were configured. */
  readonly cluster: ClusterNodes | undefined
  /** Undefined: the items are in this process. */
  readonly remote: RemoteSettings | undefined
  /** Undefined: no snapshot is restored. */
  readonly touched: TouchedMemories | undefined
}

export function workerSettings(
  config: Config,
  workerIndex: number,
  { shared, clock, sockets, auth, tls, cluster, remote, touched }: WorkerSupplies,
): WorkerSettings {
  const { network, memory, limits, log } = config
  const { flushEnabled, dumpEnabled, watchEnabled, shutdownEnabled } = config.auth
  const { threads } = config.process
  return {
    ...shared,
    workerIndex,
    auth,
    version: VERSION,
    clock,
    sockets,
    tls,
    cluster,
    remote,
    touched,
    passwordsInTheClear: config.auth.passwordsInTheClear,
    backlog: network.backlog,
    logLevel: log.level,
    valueBytesMax: memory.itemBytesMax,
    flushEnabled,
    // There is no list of what is in a cluster, and no telling of what is done there.
    dumpEnabled: dumpEnabled && remote === undefined,
    watchEnabled,
    shutdownEnabled,
    protocol: network.protocol,
    casEnabled: memory.casEnabled,
    connectionsMax: limits.connectionsMax,
    heldConnectionsMax: limits.heldConnectionsMax,
    unauthenticatedConnectionsMax: limits.unauthenticatedConnectionsMax,
    loginTimeoutMs: limits.loginTimeoutMs,
    loginAttemptsMax: limits.loginAttemptsMax,
    saslBytesMax: limits.preLoginRequestBytesMax,
    requestsPerTurnMax: limits.requestsPerTurnMax,
    idleTimeoutMs: limits.idleTimeoutMs,
    stalledWriteTimeoutMs: limits.stalledWriteTimeoutMs,
    sendBufferBytesMax: limits.sendBufferBytesMax,
    watcherBufferBytesMax: limits.watcherBufferBytesMax,
    showsLruMaintainer: log.showsLruMaintainer,
    settingsRows: settingsRows(config, threads),
    threadCount: threads,
  }
}
