/**
 * The TLS handshakes of an HTTP listener. As on the workers (net/tls-handshakes.ts) a ClientHello costs its sender
 * nothing, and us a key agreement and a signature: here of the main thread. So a handshake is begun when its hello is
 * here, in its turn (site-turns.ts).
 *
 * How many wait is bounded by whoever admits connections (http-connections.ts). Who has gone costs nothing more.
 *
 * Invariant: nobody waits longer than `waitMs` from accept, and a handshake is begun once.
 */
import type { Socket } from 'node:net'
import type { Peer } from '../../base/peer.ts'
import { HelloIntake } from '../net/tls-hello.ts'
import { SiteTurns } from './site-turns.ts'

export interface HelloTurnsOptions {
  /** The socket has its hello, and what came behind it, to be read first. */
  readonly begin: (socket: Socket) => void
  readonly waitMs: number
}

export class HelloTurns {
  private readonly options: HelloTurnsOptions
  /** At them are those whose hello is here. */
  private readonly turns: SiteTurns = new SiteTurns()

  constructor(options: HelloTurnsOptions) {
    this.options = options
  }

  /** `socket` was accepted just now. */
  add(socket: Socket, peer: Pick<Peer, 'site' | 'network'>): void {
    const hello = new HelloIntake()
    let giveUp: (() => void) | undefined
    const take = (chunk: Buffer): void => {
      hello.add(chunk)
      // What cannot be a hello gets no answer: it would take a handshake to give it one.
      if (hello.isWrong) socket.destroy()
      else if (hello.isWhole) giveUp ??= this.turns.wait(peer, begin)
    }
    const leave = (): void => {
      clearTimeout(timer)
      giveUp?.()
    }
    const begin = (): void => {
      if (socket.destroyed) return
      clearTimeout(timer)
      socket.off('data', take)
      socket.off('close', leave)
      socket.pause()
      socket.unshift(hello.take())
      this.options.begin(socket)
    }
    const timer = setTimeout(() => socket.destroy(), this.options.waitMs).unref()
    socket.on('error', () => undefined)
    socket.once('close', leave)
    socket.on('data', take)
  }
}
