/**
 * The TLS handshakes of an HTTP listener. As on the workers (net/tls-handshakes.ts) a ClientHello costs its sender
 * nothing, and us a key agreement and a signature: here of the thread that answers probes, and does what
 * the operator asks for. So a handshake is begun when its hello is here:
 *
 * - One a turn of the event loop: all else that this thread does comes in between.
 * - Sites take turns, and their sources within them (base/fair-queue.ts): a probe waits for one hello of each other site,
 *   however many these send.
 *
 * How many wait is bounded by whoever admits connections (http-connections.ts). Who has gone costs nothing more.
 *
 * Invariant: nobody waits longer than `waitMs` from accept, and a handshake is begun once.
 */
import type { Socket } from 'node:net'
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import type { Peer } from '../../base/peer.ts'
import { HelloIntake } from '../net/tls-hello.ts'

export interface HelloTurnsOptions {
  /** The socket has its hello, and what came behind it, to be read first. */
  readonly begin: (socket: Socket) => void
  readonly waitMs: number
}

interface Waiting {
  readonly socket: Socket
  /** Its hello is here. */
  place: Place<Waiting, string> | undefined
  /** Ends the wait, and has all that came meanwhile read again. */
  readonly giveBack: () => void
}

export class HelloTurns {
  private readonly options: HelloTurnsOptions
  /** Those whose hello is here. */
  private readonly waiting: FairQueue<Waiting, string> = new FairQueue()
  private isTurnAwaited = false

  constructor(options: HelloTurnsOptions) {
    this.options = options
  }

  /** `socket` was accepted just now. */
  add(socket: Socket, { site, network }: Pick<Peer, 'site' | 'network'>): void {
    const hello = new HelloIntake()
    const take = (chunk: Buffer): void => {
      hello.add(chunk)
      // What cannot be a hello gets no answer: it would take a handshake to give it one.
      if (hello.isWrong) socket.destroy()
      else if (hello.isWhole && waiting.place === undefined) {
        waiting.place = this.waiting.add(waiting, site, network)
        this.comeSoon()
      }
    }
    const leave = (): void => {
      clearTimeout(timer)
      this.leave(waiting)
    }
    const giveBack = (): void => {
      clearTimeout(timer)
      socket.off('data', take)
      socket.off('close', leave)
      socket.pause()
      socket.unshift(hello.take())
    }
    const waiting: Waiting = { socket, place: undefined, giveBack }
    const timer = setTimeout(() => socket.destroy(), this.options.waitMs).unref()
    socket.on('error', () => undefined)
    socket.once('close', leave)
    socket.on('data', take)
  }

  private leave(waiting: Waiting): void {
    if (waiting.place !== undefined) this.waiting.remove(waiting.place)
    waiting.place = undefined
  }

  private comeSoon(): void {
    if (this.isTurnAwaited) return
    this.isTurnAwaited = true
    setImmediate(() => this.takeTurn())
  }

  private takeTurn(): void {
    this.isTurnAwaited = false
    const next = this.waiting.takeTurn()
    if (next === undefined) return
    this.leave(next)
    if (this.waiting.size > 0) this.comeSoon()
    if (next.socket.destroyed) return
    next.giveBack()
    this.options.begin(next.socket)
  }
}
