/**
 * The kept client library, node-redis, as far as it is used: for the topology, and for commands that are rare (topology.ts,
 * engine.ts). All others go by connections of our own, as the library takes 60 us a command. It is loaded
 * by who asks for it first (cluster-library.ts): a server with a store of its own pays for none of it.
 */
import { loadLibrary } from './cluster-library.ts'
import type { RemoteSettings, Seed } from './remote-settings.ts'

/** Strings that come back are bytes, whatever is in them. */
const BLOB_STRING = 36
export const AS_BYTES: { readonly typeMapping: Readonly<Record<number, BufferConstructor>> } = {
  typeMapping: { [BLOB_STRING]: Buffer },
}

export type Argument = string | Buffer

/** One connection to one node. */
export interface NodeClient {
  readonly isReady: boolean
  sendCommand(args: readonly Argument[], options?: typeof AS_BYTES): Promise<unknown>
}

export interface MasterNode {
  readonly host: string
  readonly port: number
  /** Undefined before anything was sent there. */
  readonly client?: NodeClient | undefined
}

/** A view of one cluster, which follows its topology. */
export interface ClusterClient {
  readonly slots: readonly ({ readonly master: MasterNode } | undefined)[]
  readonly masters: readonly MasterNode[]
  connect(): Promise<unknown>
  /** Sends it to the node of the key, follows redirections, and connects if it must. */
  sendCommand(
    key: Buffer,
    isReadOnly: boolean,
    args: readonly Argument[],
    options: typeof AS_BYTES,
  ): Promise<unknown>
  nodeClient(node: MasterNode): Promise<NodeClient>
  destroy(): void
  on(event: 'error' | 'node-error', listener: (error: unknown) => void): unknown
}

const RECONNECT_MS_MAX = 500
/** After which a dead node has the topology asked for. */
const REFRESH_MS = 300

/**
 * The library makes classes with a function for each command that it knows for every configuration whose JSON is not that
 * of the last. Ours differ by their seeds, which the classes do not depend on; and passwords and keys are
 * written into no JSON.
 */
const LIBRARY_CONFIGURATION = 'saslcached'

interface Library {
  createCluster(options: object): ClusterClient
}

export type ClusterMaker = (seeds: readonly Seed[]) => ClusterClient

/** Makes views of the cluster that `settings` names; each is to be connected, and destroyed. */
export function clusterMaker(settings: RemoteSettings): ClusterMaker {
  const { createCluster } = loadLibrary() as Library
  const { user, password, tls, timeoutMs } = settings
  return (seeds) =>
    createCluster({
      toJSON: () => LIBRARY_CONFIGURATION,
      RESP: 2,
      rootNodes: seeds.map(({ host, port }) => ({ socket: { host, port } })),
      // A node that cannot be reached must not hold up the others: each is connected to when it is first needed.
      minimizeConnections: true,
      topologyRefreshOnReconnectionAttemptStrategy: REFRESH_MS,
      defaults: {
        ...(user !== undefined && { username: user }),
        ...(password !== undefined && { password }),
        // What cannot be sent is answered now; nothing is kept for a node that may come back.
        disableOfflineQueue: true,
        disableClientInfo: true,
        pingInterval: Math.max(250, timeoutMs / 2),
        socket: {
          connectTimeout: timeoutMs,
          // A node that has said nothing for so long is gone, whatever its kernel says.
          socketTimeout: 3 * timeoutMs,
          reconnectStrategy: (retries: number) => Math.min(RECONNECT_MS_MAX, 50 * (retries + 1)),
          ...(tls !== undefined && { tls: true, ca: tls.ca, ...tls.identity }),
        },
      },
    })
}
