/** A cluster without nodes: what is sent to it, by the library or by a connection, waits until the test answers. */
import type { ClusterClient, MasterNode, NodeClient } from '../../src/remote/cluster-client.ts'
import type { NodePipe, NodePipeEvents } from '../../src/remote/node-pipe.ts'
import type { Seed } from '../../src/remote/remote-settings.ts'

/** One command that reached a node. */
export interface Sent {
  readonly words: readonly string[]
  /** The port of the node; 0: sent to whoever has the key. */
  readonly port: number
  answer(reply: string): void
  /** With an error of the engine, which begins with a word in capitals; of a connection with any other it is the end. */
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

  /** A connection for commands; replies are to be given in the order of the commands. */
  dial({ port }: Seed, events: NodePipeEvents, soon: (run: () => void) => void): NodePipe {
    let isClosed = false
    soon(() => {
      if (!isClosed) events.opened()
    })
    return {
      write: (bytes) => {
        for (const words of commandsIn(bytes.toString('latin1'))) {
          if (words[0] === 'AUTH') {
            soon(() => events.received(Buffer.from('+OK\r\n'), 5))
            continue
          }
          this.sent.push({
            words,
            port,
            answer: (reply) => {
              const text = Buffer.from(`$${reply.length}\r\n${reply}\r\n`, 'latin1')
              if (!isClosed) events.received(text, text.length)
            },
            fail: (message) => {
              const text = Buffer.from(`-${message}\r\n`)
              if (isClosed) return
              if (/^[A-Z]+ /.test(message)) events.received(text, text.length)
              else events.ended(new Error(message))
            },
          })
        }
        return true
      },
      close: () => {
        isClosed = true
      },
    }
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
    for (const each of this.sent) if (each.port === 0) each.fail('')
  }

  on(): void {}
}

/** The words of each command of a write. */
export function commandsIn(text: string): string[][] {
  const commands: string[][] = []
  let at = 0
  const takeNumber = (): number => {
    const end = text.indexOf('\r\n', at)
    const number = Number(text.slice(at + 1, end))
    at = end + 2
    return number
  }
  while (at < text.length) {
    commands.push(
      Array.from({ length: takeNumber() }, () => {
        const length = takeNumber()
        at += length + 2
        return text.slice(at - length - 2, at - 2)
      }),
    )
  }
  return commands
}
