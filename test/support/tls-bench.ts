/**
 * Transports of TLS on real sockets, accepted as handles or as sockets of Node, of which a test moves the turns.
 */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { expect } from 'vitest'
import type { Receiver } from '../../src/connection/transport.ts'
import type { AcceptedHandle } from '../../src/server/net/accepted-handle.ts'
import { HandleWriter } from '../../src/server/net/handle-writer.ts'
import { AcceptedSocket, READ_BUFFER_BYTES } from '../../src/server/net/socket-transport.ts'
import { TlsHandleTransport } from '../../src/server/net/tls-handle-transport.ts'
import { TlsHandles } from '../../src/server/net/tls-handles.ts'
import { type HandshakeStep, TlsHandshakes } from '../../src/server/net/tls-handshakes.ts'
import { TlsNewcomer } from '../../src/server/net/tls-newcomer.ts'
import type { TlsParts } from '../../src/server/net/tls-phase.ts'
import { TlsSocketTransport } from '../../src/server/net/tls-socket-transport.ts'
import { TestAuthority } from './authority.ts'
import { tlsMaterial } from './tls-material.ts'

export type TlsTransport = TlsHandleTransport | TlsSocketTransport

/** A record of data that nobody can decrypt, as long as any is. */
export const GARBAGE: Buffer = Buffer.concat([
  Uint8Array.of(0x17, 3, 3, 0, 32),
  Buffer.alloc(32, 7),
])

export const LEAVES: readonly [how: string, leave: (client: net.Socket) => void][] = [
  ['ends its stream', (client) => client.end()],
  ['closes', (client) => client.destroy()],
  ['resets it', (client) => client.resetAndDestroy()],
]

/** Who is told; each `told` is awaited by its word. */
export class TlsRecorder implements Receiver {
  readonly intake = { nextRoom: (): undefined => undefined }
  received = ''
  receiveCount = 0
  readsOn = true
  private readonly told: Set<string> = new Set()
  private wake: () => void = () => undefined

  receive(bytes: Uint8Array, length: number): boolean {
    this.received += Buffer.from(bytes.subarray(0, length)).toString('latin1')
    this.receiveCount++
    this.tell('bytes')
    return this.readsOn
  }

  heard(): void {
    this.tell('heard')
  }

  receiveEnd(): void {
    this.tell('end')
  }

  onDrained(): void {
    this.tell('drained')
  }

  finish(): void {
    this.tell('finish')
  }

  hasHeard(word: string): boolean {
    return this.told.has(word)
  }

  async until(word: string): Promise<void> {
    while (!this.told.has(word)) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
  }

  private tell(word: string): void {
    this.told.add(word)
    this.wake()
  }
}

/** Sockets of Node are not asked. */
export function isReset(transport: TlsTransport): boolean {
  return transport instanceof TlsHandleTransport && transport.isReset()
}

export async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** A client that was accepted, and who is told of it. */
export interface ServedTls {
  readonly transport: TlsTransport
  readonly recorder: TlsRecorder
  readonly socket: net.Socket
}

export class TlsBench {
  /** Steps that wait for their turn. */
  readonly turns: HandshakeStep[] = []
  /** Ends that wait for their turn, where a test holds them; else they have the next one. */
  readonly endings: (() => unknown)[] = []
  holdsEnds = false
  readonly failures: string[] = []
  readonly handshakes: TlsHandshakes
  private readonly parts: TlsParts
  private readonly ends: (() => void)[] = []

  constructor() {
    const authority = new TestAuthority()
    const pair = authority.issue()
    authority.remove()
    this.handshakes = new TlsHandshakes(
      tlsMaterial([{ certificate: pair.certificate, key: pair.key, names: ['localhost'] }]),
      {
        nowMs: () => performance.now(),
        after: (delayMs, run) => void setTimeout(run, delayMs),
      },
      { defer: (step) => void this.turns.push(step) },
    )
    this.parts = {
      readBuffer: Buffer.alloc(READ_BUFFER_BYTES),
      sendBufferBytesMax: 1024,
      handshakes: this.handshakes,
      handles: new TlsHandles(new HandleWriter(), () => expect.fail('not as expected inside')),
      soon: (run) => void (this.holdsEnds ? this.endings.push(run) : setImmediate(run)),
      lane: new Float64Array(1000),
      epochSeconds: () => 0,
      onHandshake: () => undefined,
      onHandshakeFailed: (_, code) => this.failures.push(code),
    }
  }

  /** To be called behind each test. */
  end(): void {
    this.holdsEnds = false
    for (const ending of this.endings.splice(0)) ending()
    for (const end of this.ends.splice(0)) end()
  }

  /** A listener whose connections are accepted as a handle, or as a socket of Node. */
  async accept(asSocket: boolean): Promise<[AcceptedHandle, net.Socket]> {
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true })
    server.listen({ port: 0, host: '127.0.0.1' })
    await once(server, 'listening')
    const { _handle: listening } = server as unknown as {
      _handle: { onconnection: (status: number, handle: AcceptedHandle) => void }
    }
    const accepted = new Promise<AcceptedHandle>((resolve) => {
      if (asSocket) server.once('connection', (socket) => resolve(new AcceptedSocket(socket)))
      else listening.onconnection = (_, handle) => resolve(handle)
    })
    const { port } = server.address() as net.AddressInfo
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => undefined)
    this.ends.push(() => {
      client.destroy()
      server.close()
    })
    return [await accepted, client]
  }

  /** The first bytes of a client of Node's. */
  async clientHello(): Promise<Buffer> {
    const [one, other] = await this.accept(true)
    const client = tls.connect({ socket: other, rejectUnauthorized: false })
    client.on('error', () => undefined)
    const [hello] = (await once((one as AcceptedSocket).socket.resume(), 'data')) as [Buffer]
    client.destroy()
    return hello
  }

  serve(handle: AcceptedHandle): Omit<ServedTls, 'socket'> {
    const transport = new TlsNewcomer(handle, 0, 'none', this.parts).open() as TlsTransport
    expect(transport).toBeInstanceOf(
      handle instanceof AcceptedSocket ? TlsSocketTransport : TlsHandleTransport,
    )
    const recorder = new TlsRecorder()
    transport.attach(recorder)
    this.ends.push(() => transport.destroy())
    return { transport, recorder }
  }

  /** Gives every handshake that waits its turn. */
  giveTurns(): void {
    for (const turn of this.turns.splice(0)) turn.continueServing()
  }

  /** The same as long as `awaited` has not come. */
  async giveTurnsUntil<Result>(awaited: Promise<Result>): Promise<Result> {
    let isOver = false
    void awaited.finally(() => {
      isOver = true
    })
    while (!isOver) {
      this.giveTurns()
      await nextTurn()
    }
    return await awaited
  }

  /** A client whose handshake is done, and who has said something and been answered. */
  async secured(asSocket: boolean): Promise<ServedTls & { readonly client: tls.TLSSocket }> {
    const [handle, socket] = await this.accept(asSocket)
    const served = this.serve(handle)
    const client = tls.connect({ socket, rejectUnauthorized: false })
    client.on('error', () => undefined)
    await this.giveTurnsUntil(once(client, 'secureConnect'))
    client.write('x')
    await this.giveTurnsUntil(served.recorder.until('bytes'))
    served.transport.write(Buffer.from('y'))
    await once(client, 'data')
    return { ...served, client, socket }
  }

  /** A client who has said `bytes`. */
  async served(bytes: Uint8Array): Promise<ServedTls> {
    const [handle, socket] = await this.accept(false)
    const served = this.serve(handle)
    socket.write(bytes)
    return { ...served, socket }
  }
}
