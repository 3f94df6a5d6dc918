/**
 * The TLS handshakes of an HTTP listener. As on the workers (net/tls-handshakes.ts) a ClientHello costs its sender
 * nothing, and us a key agreement and a signature: here of the thread that answers probes, and does what
 * the operator asks for. So a handshake is begun when its hello is here:
 *
 * - One a turn of the event loop: all else that this thread does comes in between.
 * - Sites (base/source-network.ts) take turns, and within one who came first: a probe waits for one hello of
 *   each other site, however many these send.
 *
 * How many wait is bounded by whoever admits connections (http-connections.ts). Who has gone costs nothing more.
 *
 * Invariant: nobody waits longer than `waitMs` from accept, and a handshake is begun once.
 */
import type { Socket } from 'node:net'
import type { Peer } from '../../base/peer.ts'
import { HELLO_BYTES_MAX, HELLO_START_BYTES, helloBytes } from '../net/tls-hello.ts'

export interface HelloTurnsOptions {
  /** The socket has its hello, and what came behind it, to be read first. */
  readonly begin: (socket: Socket) => void
  readonly waitMs: number
}

interface Waiting {
  readonly socket: Socket
  /** Ends the wait, and has all that came meanwhile read again. */
  readonly giveBack: () => void
}

const NOTHING = Buffer.alloc(0)

export class HelloTurns {
  private readonly options: HelloTurnsOptions
  /** Those whose hello is here, by site; the first site has the next turn. */
  private readonly waiting: Map<string, Set<Waiting>> = new Map()
  private isTurnAwaited = false

  constructor(options: HelloTurnsOptions) {
    this.options = options
  }

  /** `socket` was accepted just now. */
  add(socket: Socket, { site }: Pick<Peer, 'site'>): void {
    let hello: Buffer = NOTHING
    let wanted = 0
    let isHere = false
    const take = (chunk: Buffer): void => {
      const { length: before } = hello
      hello = before === 0 ? chunk : Buffer.concat([hello, chunk])
      // Not with each byte that comes: a hello can have thousands of records.
      const isDue = before < HELLO_START_BYTES || hello.length >= wanted
      if (!isHere && isDue) wanted = helloBytes(hello)
      // What cannot be a hello gets no answer: it would take a handshake to give it one.
      if (wanted < 0 || hello.length > HELLO_BYTES_MAX) socket.destroy()
      else if (!isHere && hello.length >= wanted) {
        isHere = true
        this.enqueue(site, waiting)
      }
    }
    const leave = (): void => {
      clearTimeout(timer)
      this.leave(site, waiting)
    }
    const giveBack = (): void => {
      clearTimeout(timer)
      socket.off('data', take)
      socket.off('close', leave)
      socket.pause()
      socket.unshift(hello)
    }
    const waiting: Waiting = { socket, giveBack }
    const timer = setTimeout(() => socket.destroy(), this.options.waitMs).unref()
    socket.on('error', () => undefined)
    socket.once('close', leave)
    socket.on('data', take)
  }

  private enqueue(site: string, waiting: Waiting): void {
    const line = this.waiting.get(site)
    if (line === undefined) this.waiting.set(site, new Set([waiting]))
    else line.add(waiting)
    this.comeSoon()
  }

  private leave(site: string, waiting: Waiting): void {
    const line = this.waiting.get(site)
    line?.delete(waiting)
    if (line?.size === 0) this.waiting.delete(site)
  }

  private comeSoon(): void {
    if (this.isTurnAwaited) return
    this.isTurnAwaited = true
    setImmediate(() => this.takeTurn())
  }

  private takeTurn(): void {
    this.isTurnAwaited = false
    const next = this.waiting.entries().next()
    if (next.done === true) return
    const [site, line] = next.value
    const [waiting] = line
    this.waiting.delete(site)
    if (waiting !== undefined) line.delete(waiting)
    if (line.size > 0) this.waiting.set(site, line)
    if (this.waiting.size > 0) this.comeSoon()
    if (waiting === undefined || waiting.socket.destroyed) return
    waiting.giveBack()
    this.options.begin(waiting.socket)
  }
}
