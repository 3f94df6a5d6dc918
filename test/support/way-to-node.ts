/**
 * The way to a cluster that is one node with all slots: it can be lost, in silence or with the ends of its connections,
 * and what comes back by it can be changed.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { RedisCluster } from './redis-cluster.ts'

export class WayToNode {
  port = 0
  private nodePort = 0
  private readonly server: Server
  private readonly sockets: Set<Socket> = new Set()
  private isCut = false
  private isSilent = false

  /** A node and the way to it, for one test. `change`: what becomes of what the node says. */
  static async start(change?: (bytes: Buffer) => Buffer): Promise<WayToNode> {
    const way = new WayToNode(change)
    onTestFinished(() => way.close())
    way.server.listen(0, '127.0.0.1')
    await once(way.server, 'listening')
    way.port = (way.server.address() as AddressInfo).port
    const cluster = await RedisCluster.start({
      masters: 1,
      hasReplicas: false,
      flags: ['--cluster-announce-port', String(way.port)],
    })
    onTestFinished(() => cluster.stop())
    way.nodePort = cluster.masters[0]?.port ?? 0
    return way
  }

  private constructor(change?: (bytes: Buffer) => Buffer) {
    this.server = createServer((near) => {
      const far = connect(this.nodePort, '127.0.0.1')
      this.join(near, far)
      near.pipe(far)
      if (change === undefined) far.pipe(near)
      else far.on('data', (bytes: Buffer) => near.write(change(bytes)))
      if (this.isCut) near.destroy()
      else if (this.isSilent) this.silence()
    })
  }

  private join(near: Socket, far: Socket): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        this.sockets.delete(one)
        other.destroy()
      })
    }
  }

  /** Nothing arrives any more, and nobody is told. */
  silence(): void {
    this.isSilent = true
    for (const socket of this.sockets) {
      socket.unpipe()
      socket.pause()
    }
  }

  /** What was under way is lost with its connections. */
  heal(): void {
    this.isSilent = false
    this.isCut = false
    for (const socket of this.sockets) socket.destroy()
  }

  cut(): void {
    this.isCut = true
    for (const socket of this.sockets) socket.destroy()
  }

  private close(): void {
    this.cut()
    this.server.close()
  }
}
