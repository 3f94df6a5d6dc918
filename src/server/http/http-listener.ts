/**
 * The HTTP listener, in the main thread: it answers GET and HEAD of a table of routes, and nothing else. It
 * serves monitors, probes and a page, a few times a minute, and is open to strangers: whatever they do
 * costs as little as it can, and never a worker's time.
 *
 *     connections    of an address `connectionsMax`, of one site CONNECTIONS_PER_SITE_MAX; who gives way: http-connections.ts
 *     a handshake    is begun in its turn (hello-turns.ts), within HEADER_MS, and ends within HEADER_MS
 *     a head         HEADER_BYTES_MAX bytes with all that stands before it (head-meter.ts), within HEADER_MS; nobody sends a body
 *     a request      is looked at in its turn (site-turns.ts), one of a connection at a time, PIPELINED_MAX of those that were sent in a row (request-intake.ts)
 *     an answer      is taken by the client within ANSWER_MS of the head, or the connection is closed
 *     keep-alive     KEEP_ALIVE_MS between requests, REQUESTS_PER_CONNECTION_MAX of them
 *     what else      IDLE_BYTES_MAX beside requests, and IDLE_BYTES_PER_REQUEST with each: line ends before one, or over TLS new keys
 *
 * Invariant: a connection that has closed is held by nothing here, whatever its last request waits for.
 */
import type http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import {
  createServer as createTlsServer,
  type TlsOptions,
  type Server as TlsServer,
} from 'node:tls'
import { Peer, UNIX_PEER, UNKNOWN_PEER } from '../../base/peer.ts'
import { loadHttp } from '../net/http-modules.ts'
import { explain, ListenError } from '../net/listen-error.ts'
import { type BoundAddress, isLocalAddress, type SharedSocket } from '../net/shared-socket.ts'
import { withCertificates } from '../net/tls-contexts.ts'
import { NO_RENEGOTIATION } from '../net/tls-handshakes.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import { recordOverheadBytes } from '../net/tls-record-size.ts'
import { letGoWhenOver } from '../net/tls-remains.ts'
import { type Asked, askedBy, refusal } from './asked.ts'
import { HelloTurns } from './hello-turns.ts'
import { accessTo, type HttpAccessOptions, type HttpClient } from './http-access.ts'
import { HttpConnections } from './http-connections.ts'
import { KeptAnswers } from './kept-answers.ts'
import { type IntakeState, RequestIntake } from './request-intake.ts'
import type { Route, RouteAnswer } from './route.ts'
import { SiteTurns } from './site-turns.ts'

const CONNECTIONS_PER_SITE_MAX = 64
const HEADER_BYTES_MAX = 8 * 1024
const HEADER_MS = 5000
const ANSWER_MS = 10_000
/** Prometheus asks every 15 to 60 seconds, and keeps its connection meanwhile. */
const KEEP_ALIVE_MS = 75_000
const REQUESTS_PER_CONNECTION_MAX = 10_000
/** Requests that a client sends without waiting for answers, which nobody has to. */
const PIPELINED_MAX = 16
const LOOK_MS = 500
/**
 * What may have come beside requests, and of requests that are not looked at yet: more than is read of these at a time.
 * Encrypted over TLS.
 */
const IDLE_BYTES_MAX = 256 * 1024
/** So many of them come with a request and are not counted: over TLS it may be padded. */
const IDLE_BYTES_PER_REQUEST = 256
const BACKLOG = 128

const STATUS_NOT_FOUND = 404
const STATUS_ERROR = 500

/** So long a connection may be in a state. */
const STATE_MS: Readonly<Record<IntakeState, number>> = {
  coming: HEADER_MS,
  waiting: ANSWER_MS,
  answered: ANSWER_MS,
  idle: KEEP_ALIVE_MS,
}
/** Of every answer: no page of others gets it into a frame, a script or a cache. */
const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

export interface HttpListenerOptions extends HttpAccessOptions {
  readonly routes: () => readonly Route[]
  /** Of each address: who fills one that others reach must not keep out who asks on this machine. */
  readonly connectionsMax: number
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  /** A route failed, which is a fault of ours. */
  readonly onFailure: (path: string, error: unknown) => void
}

interface Connection {
  readonly client: HttpClient
  /** As it was accepted, below TLS. */
  readonly socket: Socket
  /** Those of the address that it came to. */
  readonly connections: HttpConnections<Socket>
  /** Undefined until a handshake is done. */
  intake: RequestIntake | undefined
  /** Gives up the turn that it waits for. */
  leaveTurn: () => void
  /** What has come beside requests with those that were looked at, and is not counted. */
  sparedBytes: number
  /** What of all that has come on the wire said something when the last request was looked at. */
  usefulBytes: number
}

/** A request under way; who works on its answer holds this. */
interface Exchange {
  readonly isHead: boolean
  readonly isLast: boolean
  /** Undefined once it has ended, or its connection has. */
  response: ServerResponse | undefined
}

export class HttpListener {
  private readonly options: HttpListenerOptions
  private readonly servers: Server[] = []
  /** Of each server. */
  private readonly connections: HttpConnections<Socket>[] = []
  private readonly kept: KeptAnswers
  /** By whom a connection of a server is known, of each server. */
  private readonly open: Map<string | Socket, Connection>[] = []
  private readonly turns: SiteTurns = new SiteTurns()
  /** It has each request from its connection's intake, and listens nowhere. */
  private parser: http.Server | undefined = undefined
  private looks: NodeJS.Timeout | undefined = undefined

  constructor(options: HttpListenerOptions) {
    this.options = options
    this.kept = new KeptAnswers(options.nowMs)
  }

  /** Answers on a bound socket; `tls` where it speaks TLS. Throws ListenError. */
  async listen({ fd, address }: SharedSocket, tls: TlsMaterial | undefined): Promise<void> {
    this.parser ??= this.createParser()
    const server =
      tls === undefined
        ? createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: HEADER_BYTES_MAX })
        : createTlsServer({ ...tlsOptions(tls), noDelay: true, handshakeTimeout: HEADER_MS })
    this.accept(server, address, tls !== undefined)
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ fd }, BACKLOG, resolve)
      })
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      throw new ListenError(`cannot listen on ${address.text}: ${explain(code)}`, { cause })
    }
    server.removeAllListeners('error')
    // A descriptor that cannot be had for a client is nothing to end for.
    server.on('error', () => undefined)
    // The workers keep the process alive.
    server.unref()
    this.servers.push(server)
    this.looks ??= setInterval(() => this.cutOverdue(), LOOK_MS).unref()
  }

  replaceCertificates(tls: TlsMaterial): void {
    for (const server of this.servers) {
      if (isTlsServer(server)) server.setSecureContext(tlsOptions(tls))
    }
  }

  /** Whoever is connected is cut off. */
  close(): void {
    clearInterval(this.looks)
    this.looks = undefined
    for (const server of this.servers) server.close()
    this.servers.length = 0
    this.open.length = 0
    for (const connections of this.connections) connections.destroyAll()
    this.connections.length = 0
  }

  /**
   * Cuts off who takes too long, and who sends on and on, and no request: of that Node tells nobody. Each wish for new
   * keys (KeyUpdate, RFC 8446, 4.6.3) is answered, and answers that are not read pile up.
   */
  private cutOverdue(): void {
    const nowMs = this.options.nowMs()
    for (const connections of this.open) {
      for (const { socket, intake, usefulBytes } of connections.values()) {
        if (socket.bytesRead - usefulBytes > IDLE_BYTES_MAX) socket.destroy()
        else if (intake === undefined || nowMs - intake.sinceMs < STATE_MS[intake.state]) continue
        else intake.giveUp()
      }
    }
  }

  private accept(server: Server, address: BoundAddress, isTls: boolean): void {
    const isLocal = isLocalAddress(address)
    const kind = isTls ? 'tls' : address.family === 'unix' ? 'unix' : 'tcp'
    // A TLS socket is another object than the one that was accepted, and has the same peer.
    const open = new Map<string | Socket, Connection>()
    this.open.push(open)
    // Failed logins are held against the Unix socket that they came in on: no other is to be refused for them.
    const channel = { kind, listenerIndex: -this.open.length } as const
    const connections = this.createConnections()
    const keyOf = (socket: Socket): string | Socket =>
      isTls ? `${socket.remoteAddress}:${socket.remotePort}` : socket
    const hellos = isTls ? takeTurns(server) : undefined
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket, address)
      if (!connections.admit(socket, peer)) {
        socket.destroy()
        return
      }
      const key = keyOf(socket)
      const connection = connectionOf(socket, { peer, channel, isLocal }, connections)
      open.set(key, connection)
      socket.once('close', () => {
        open.delete(key)
        connections.remove(socket)
        connection.leaveTurn()
      })
      hellos?.add(socket, peer)
    })
    server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
      if (isTls) letGoWhenOver(socket as TLSSocket)
      const connection = open.get(keyOf(socket))
      const overheadBytes = isTls ? recordOverheadBytes(socket as TLSSocket) : 0
      if (connection !== undefined) this.takeIn(socket, connection, overheadBytes)
    })
    server.on('tlsClientError', (_: Error, socket: TLSSocket) => {
      letGoWhenOver(socket)
      socket.destroy()
    })
  }

  private createConnections(): HttpConnections<Socket> {
    const { connectionsMax, nowMs } = this.options
    const perSiteMax = CONNECTIONS_PER_SITE_MAX
    const connections = new HttpConnections<Socket>({ max: connectionsMax, perSiteMax, nowMs })
    this.connections.push(connections)
    return connections
  }

  /** What comes on a connection from now on is HTTP. */
  private takeIn(socket: Socket, connection: Connection, overheadBytes: number): void {
    const { client, connections } = connection
    let isKnown = false
    const answer = (): void => {
      if (intake.destroyed) return
      // Whoever never asks has no parser.
      if (!isKnown) this.parser?.emit('connection', intake)
      isKnown = true
      intake.letThrough()
    }
    const intake = new RequestIntake({
      socket,
      headBytesMax: HEADER_BYTES_MAX,
      rowMax: PIPELINED_MAX,
      overheadBytes,
      nowMs: this.options.nowMs,
      onHead: () => {
        connections.asked(connection.socket)
        connection.leaveTurn = this.turns.wait(client.peer, answer)
      },
      onRequest: (request, response) => this.begin(request, response, connection),
    })
    connection.intake = intake
  }

  private createParser(): http.Server {
    const parser = loadHttp().createServer({
      maxHeaderSize: HEADER_BYTES_MAX,
      // What clients are told: who keeps to it is not met by the end of its connection.
      keepAliveTimeout: KEEP_ALIVE_MS,
    })
    parser.maxRequestsPerSocket = REQUESTS_PER_CONNECTION_MAX
    const begin = (request: IncomingMessage, response: ServerResponse): void => {
      const { socket } = request
      if (socket instanceof RequestIntake) socket.begin(request, response)
      else socket.destroy()
    }
    parser.on('request', begin)
    // What else is expected than that a body may come is passed over, as nobody sends one.
    parser.on('checkExpectation', begin)
    parser.on('clientError', (_, socket) => {
      if (socket instanceof RequestIntake) socket.refuse()
      else socket.destroy()
    })
    parser.on('connect', (_, socket) => socket.destroy())
    // Without a listener for upgrades they are passed over, as HTTP has it: curl and Java ask for HTTP/2 so.
    return parser
  }

  private begin(request: IncomingMessage, response: ServerResponse, connection: Connection): void {
    const { client, connections, socket, intake } = connection
    // What has come beside requests stays counted, or who asks now and then could send it without end.
    connection.sparedBytes += IDLE_BYTES_PER_REQUEST
    const saidBytes = (intake?.saidBytes ?? 0) + connection.sparedBytes
    connection.usefulBytes = Math.min(saidBytes, socket.bytesRead)
    const exchange: Exchange = {
      isHead: request.method === 'HEAD',
      isLast: intake?.isLast ?? true,
      response,
    }
    response.once('close', () => {
      exchange.response = undefined
      connections.answered(socket)
      intake?.settled()
    })
    response.on('error', () => socket.destroy())
    void this.carryOut(exchange, askedBy(request), client)
  }

  /** What it holds while it waits leads to no connection that has closed. */
  private async carryOut(exchange: Exchange, asked: Asked, client: HttpClient): Promise<void> {
    const answer = await this.answerTo(asked, client)
    write(exchange, answer)
  }

  private async answerTo(asked: Asked, client: HttpClient): Promise<RouteAnswer> {
    if (asked.problem !== undefined) return asked.problem
    const { path, query, accept } = asked
    const route = this.options.routes().find((each) => each.path === path)
    if (route === undefined) return refusal(STATUS_NOT_FOUND, 'There is nothing here.')
    const access = await accessTo(route, asked, client, this.options)
    if (access.refusal !== undefined) return access.refusal
    const { seesAll } = access
    try {
      return await this.kept.answer(route, { query: new URLSearchParams(query), accept, seesAll })
    } catch (error) {
      this.options.onFailure(path, error)
      return refusal(
        STATUS_ERROR,
        'This could not be answered; the log of the server has the reason.',
      )
    }
  }
}

function connectionOf(
  socket: Socket,
  client: HttpClient,
  connections: HttpConnections<Socket>,
): Connection {
  const leaveTurn = (): void => undefined
  const counts = { sparedBytes: 0, usefulBytes: 0 }
  return { client, socket, connections, intake: undefined, leaveTurn, ...counts }
}

/** Has what a server of TLS does with a new connection, a handshake, done when it is its turn. */
function takeTurns(server: Server): HelloTurns {
  const begins = server.listeners('connection')
  server.removeAllListeners('connection')
  const begin = (socket: Socket): void => {
    for (const each of begins) Reflect.apply(each, server, [socket])
  }
  return new HelloTurns({ begin, waitMs: HEADER_MS })
}

function isTlsServer(server: Server): server is TlsServer {
  return 'setSecureContext' in server
}

function write({ response, isHead, isLast }: Exchange, answer: RouteAnswer): void {
  if (response === undefined) return
  const { status, contentType, body, headers = {} } = answer
  response.writeHead(status, {
    ...HEADERS,
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    ...headers,
    ...(isLast && { connection: 'close' }),
  })
  response.end(isHead ? undefined : body)
}

function peerOf({ remoteAddress, remotePort }: Socket, { family }: BoundAddress): Peer {
  if (family === 'unix') return UNIX_PEER
  if (remoteAddress === undefined || remotePort === undefined) return UNKNOWN_PEER
  return Peer.at(remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''), remotePort)
}

function tlsOptions(material: TlsMaterial): TlsOptions {
  const { minVersion, ciphers } = material
  return withCertificates(
    // Whoever asks over HTTP has a password, not a certificate.
    { identities: material.identities, ca: undefined, crl: undefined },
    {
      minVersion,
      ...(ciphers !== undefined && { ciphers }),
      honorCipherOrder: true,
      secureOptions: NO_RENEGOTIATION,
      ALPNProtocols: ['http/1.1'],
    },
  )
}
