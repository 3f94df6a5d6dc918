/**
 * The nodes that clients are told of (--cluster-nodes), and the version of the list: the time of the start
 * in seconds, or of the change, and always more than before. So it also grows over restarts, which clients
 * count on: they take no list that is older than theirs.
 *
 * Only the list of the file can change while the server runs; a configuration that cannot be used changes
 * nothing.
 */
import { counted } from '../../base/counted.ts'
import type { ClusterNodes } from '../../command/operations/cluster-lines.ts'
import type { Config } from '../../config/config.ts'
import type { NetworkInputs } from '../../config/load.ts'
import { formatProblems } from '../../config/problem.ts'
import type { Say } from './say.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface ClusterListOptions {
  readonly network: Config['network']
  /** Reads the configuration again. */
  readonly reread: () => Promise<NetworkInputs>
  readonly say: Say
  readonly workers: Pick<WorkerPool, 'broadcast'>
  readonly nowSeconds: () => number
}

export class ClusterList {
  /** Undefined where none were configured, which stays so. */
  current: ClusterNodes | undefined
  private readonly options: ClusterListOptions

  constructor(options: ClusterListOptions) {
    this.options = options
    const nodes = tellable(options.network)
    this.current = nodes.length === 0 ? undefined : { version: options.nowSeconds(), nodes }
  }

  async reload(): Promise<void> {
    const { reread, say, workers, nowSeconds } = this.options
    const before = this.current
    if (before === undefined) return
    const { network, problems } = await reread()
    const nodes = tellable(network)
    if (problems.length > 0 || nodes.length === 0) {
      const why = problems.length > 0 ? formatProblems(problems) : 'there are no nodes in it'
      say('warn', 'cluster_refused', `the nodes of the cluster stay as they are: ${why}`)
      return
    }
    if (nodes.join(' ') === before.nodes.join(' ')) return
    const version = Math.max(nowSeconds(), before.version + 1)
    this.current = { version, nodes }
    workers.broadcast({ kind: 'cluster', nodes: this.current })
    say('info', 'cluster_changed', `the cluster has ${counted(nodes.length, 'node')}`, { version })
  }
}

function tellable({ clusterNodes }: Config['network']): string[] {
  return clusterNodes.map(({ host, address, port }) => `${host}|${address}|${port}`)
}
