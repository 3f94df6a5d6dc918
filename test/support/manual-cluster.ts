/** A cluster without nodes: what is sent to it waits until the test answers. */
import type { ClusterClient, MasterNode, NodeClient } from '../../src/remote/cluster-client.ts'

/** One command that reached a node. */
export interface Sent {
  readonly words: readonly string[]
  /** The port of the node; 0: sent to whoever has the key. */
  readonly port: number
  answer(reply: unknown): void
  fail(message: string): void
}

const SLOTS = 16384

export class ManualCluster implements ClusterClient {
  readonly masters: readonly MasterNode[]
  readonly slots: readonly { readonly master: MasterNode }[]
  readonly sent: Sent[] = []
  isDestroyed = false
  /** Loads of the functions, which are answered at once. */
  loads = 0

  constructor(ports: readonly number[] = [1]) {
    this.masters = ports.map((port) => this.createMaster(port))
    const share = Math.ceil(SLOTS / ports.length)
    this.slots = Array.from({ length: SLOTS }, (_, slot) => {
      const master = this.masters[Math.floor(slot / share)]
      if (master === undefined) throw new Error('no master')
      return { master }
    })
  }

  private createMaster(port: number): MasterNode {
    const client: NodeClient = {
      isReady: true,
      sendCommand: (args) => this.take(args, port),
    }
    return { host: '192.0.2.1', port, client }
  }

  private take(args: readonly (string | Buffer)[], port: number): Promise<unknown> {
    const words = args.map((arg) => (typeof arg === 'string' ? arg : arg.toString('latin1')))
    if (words[0] === 'FUNCTION') {
      this.loads++
      return Promise.resolve('OK')
    }
    return new Promise((resolve, reject) => {
      this.sent.push({
        words,
        port,
        answer: resolve,
        fail: (message) => reject(new Error(message)),
      })
    })
  }

  async connect(): Promise<void> {}

  async sendCommand(
    _key: Buffer,
    _isReadOnly: boolean,
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    return await this.take(args, 0)
  }

  async nodeClient(node: MasterNode): Promise<NodeClient> {
    if (node.client === undefined) throw new Error('no client')
    return node.client
  }

  destroy(): void {
    this.isDestroyed = true
    for (const each of this.sent) each.fail('')
  }

  on(): void {}
}
