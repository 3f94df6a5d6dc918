/**
 * The HTTP listener, in the main thread: it answers GET and HEAD of a table of routes, and nothing else. It
 * serves monitors, probes and a page, a few times a minute, and is open to strangers: whatever they do
 * costs as little as it can, and never a worker's time.
 *
 *     connections    of an address `connectionsMax`, of one site CONNECTIONS_PER_SITE_MAX; who gives way: http-connections.ts
 *     a handshake    is begun in its turn (hello-turns.ts), within HEADER_MS, and ends within HEADER_MS
 *     a head         HEADER_BYTES_MAX bytes with all that stands before it (head-meter.ts), within HEADER_MS; nobody sends a body
 *     an answer      is taken by the client within ANSWER_MS, or the connection is closed
 *     keep-alive     KEEP_ALIVE_MS between requests, REQUESTS_PER_CONNECTION_MAX of them
 *     what else      IDLE_BYTES_MAX beside requests, and IDLE_BYTES_PER_REQUEST with each: line ends before one, or over TLS new keys
 *
 * Invariant: a route that takes a right is answered to who is known to have it, or where nobody is asked
 * and only this machine can ask, or the operator has said that it is for all.
 */
import type http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type https from 'node:https'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { Peer, UNIX_PEER, UNKNOWN_PEER } from '../../base/peer.ts'
import type { Pipe } from '../../base/pipe.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { Right } from '../../credential/rights.ts'
import { loadHttp, loadHttps } from '../net/http-modules.ts'
import { explain, ListenError } from '../net/listen-error.ts'
import { type BoundAddress, isLocalAddress, type SharedSocket } from '../net/shared-socket.ts'
import { withCertificates } from '../net/tls-contexts.ts'
import { NO_RENEGOTIATION } from '../net/tls-handshakes.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import { recordOverheadBytes } from '../net/tls-record-size.ts'
import type { BasicLogin, LoginVerdict } from './basic-login.ts'
import { HeadMeter } from './head-meter.ts'
import { HelloTurns } from './hello-turns.ts'
import { isMeantForUs } from './host-guard.ts'
import { HttpConnections } from './http-connections.ts'
import { KeptAnswers } from './kept-answers.ts'
import { type Route, type RouteAnswer, TEXT_PLAIN } from './route.ts'

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
 * What requests in a row may come to, of which none has begun to be answered, with all that has come beside requests;
 * encrypted over TLS.
 */
const IDLE_BYTES_MAX = 2 * PIPELINED_MAX * HEADER_BYTES_MAX
/** So many of them come with a request and are not counted: over TLS it may be padded. */
const IDLE_BYTES_PER_REQUEST = 256
const BACKLOG = 128

const STATUS_BAD_REQUEST = 400
const STATUS_UNAUTHORIZED = 401
const STATUS_FORBIDDEN = 403
const STATUS_NOT_FOUND = 404
const STATUS_METHOD_NOT_ALLOWED = 405
const STATUS_TOO_LARGE = 413
const STATUS_MISDIRECTED = 421
const STATUS_ERROR = 500

/** Of every answer: no page of others gets it into a frame, a script or a cache. */
const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}
const STATUS_OF_ERROR: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}
const CHALLENGE = 'Basic realm="saslcached", charset="UTF-8"'

export interface HttpListenerOptions {
  readonly routes: () => readonly Route[]
  /** Undefined where nobody is asked who they are. */
  readonly login: Pick<BasicLogin, 'check'> | undefined
  /** Metrics are for whoever reaches the port. */
  readonly isOpen: boolean
  /** Of each address: who fills one that others reach must not keep out who asks on this machine. */
  readonly connectionsMax: number
  /** Names that the server may be asked by. */
  readonly hostNames: readonly string[]
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  /** A route failed, which is a fault of ours. */
  readonly onFailure: (path: string, error: unknown) => void
}

/** What is known of who is at the other end of a connection. */
interface Client extends Pipe {
  /** As it was accepted, below TLS. */
  readonly socket: Socket
  /** Nobody else on a network reaches the address that it came to. */
  readonly isLocal: boolean
  /** Those of the address that it came to. */
  readonly connections: HttpConnections<Socket>
  /** Requests that were not answered yet. */
  pendingCount: number
  /** What has come that says something, as long as it is on the wire, and what of it had when the last request was there. */
  saidBytes: number
  usefulBytes: number
  /** A head was too long: nothing of what came with it is carried out. */
  isRefused: boolean
  /** What is answered last has been settled. */
  isEnding: boolean
}

interface Access {
  /** See RouteRequest. */
  readonly seesAll: boolean
  readonly refusal: RouteAnswer | undefined
}

const FULL_ACCESS: Access = { seesAll: true, refusal: undefined }

export class HttpListener {
  private readonly options: HttpListenerOptions
  private readonly servers: (http.Server | https.Server)[] = []
  /** Of each server. */
  private readonly connections: HttpConnections<Socket>[] = []
  private readonly kept: KeptAnswers
  /** By whom a request of a server is known, of each server. */
  private readonly clients: Map<string | Socket, Client>[] = []
  private looks: NodeJS.Timeout | undefined = undefined

  constructor(options: HttpListenerOptions) {
    this.options = options
    this.kept = new KeptAnswers(options.nowMs)
  }

  /** Answers on a bound socket; `tls` where it speaks TLS. Throws ListenError. */
  async listen({ fd, address }: SharedSocket, tls: TlsMaterial | undefined): Promise<void> {
    const settings = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADER_MS,
      requestTimeout: HEADER_MS,
      connectionsCheckingInterval: LOOK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    }
    const server =
      tls === undefined
        ? loadHttp().createServer(settings)
        : loadHttps().createServer({ ...settings, ...tlsOptions(tls), handshakeTimeout: HEADER_MS })
    server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION_MAX
    this.take(server, address, tls !== undefined)
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
    this.looks ??= setInterval(() => this.cutIdlers(), LOOK_MS).unref()
  }

  replaceCertificates(tls: TlsMaterial): void {
    for (const server of this.servers) {
      if ('setSecureContext' in server) server.setSecureContext(tlsOptions(tls))
    }
  }

  /** Whoever is connected is cut off. */
  close(): void {
    clearInterval(this.looks)
    this.looks = undefined
    for (const server of this.servers) server.close()
    this.servers.length = 0
    this.clients.length = 0
    for (const connections of this.connections) connections.destroyAll()
    this.connections.length = 0
  }

  /**
   * Cuts off who sends on and on, and no request: of that Node tells nobody. Each wish for new keys (KeyUpdate,
   * RFC 8446, 4.6.3) is answered, and answers that are not read pile up.
   */
  private cutIdlers(): void {
    for (const clients of this.clients) {
      for (const { socket, usefulBytes } of clients.values()) {
        if (socket.bytesRead - usefulBytes > IDLE_BYTES_MAX) socket.destroy()
      }
    }
  }

  private take(server: http.Server | https.Server, address: BoundAddress, isTls: boolean): void {
    const isLocal = isLocalAddress(address)
    const kind = isTls ? 'tls' : address.family === 'unix' ? 'unix' : 'tcp'
    // A TLS socket is another object than the one that was accepted, and has the same peer.
    const clients = new Map<string | Socket, Client>()
    this.clients.push(clients)
    // Failed logins are held against the Unix socket that they came in on: no other is to be refused for them.
    const channel = { kind, listenerIndex: -this.clients.length } as const
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
      const counts = { pendingCount: 0, saidBytes: 0, usefulBytes: 0 }
      const state = { isEnding: false, isRefused: false }
      clients.set(key, { peer, channel, socket, isLocal, connections, ...counts, ...state })
      socket.once('close', () => {
        clients.delete(key)
        connections.remove(socket)
      })
      hellos?.add(socket, peer)
    })
    server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
      const client = clients.get(keyOf(socket))
      const overheadBytes = isTls ? recordOverheadBytes(socket as TLSSocket) : 0
      if (client !== undefined) measureHeads(socket, client, overheadBytes)
    })
    server.on('request', (request, response) => {
      const client = clients.get(keyOf(request.socket))
      if (client === undefined || client.pendingCount >= PIPELINED_MAX) request.socket.destroy()
      else void this.respond(request, response, client)
    })
    server.on('clientError', turnAway)
    server.on('connect', (_, socket) => socket.destroy())
    // Without a listener for upgrades they are passed over, as HTTP has it: curl and Java ask for HTTP/2 so.
  }

  private createConnections(): HttpConnections<Socket> {
    const { connectionsMax, nowMs } = this.options
    const perSiteMax = CONNECTIONS_PER_SITE_MAX
    const connections = new HttpConnections<Socket>({ max: connectionsMax, perSiteMax, nowMs })
    this.connections.push(connections)
    return connections
  }

  private async respond(
    request: IncomingMessage,
    response: ServerResponse,
    client: Client,
  ): Promise<void> {
    const { socket, connections } = client
    client.pendingCount++
    // What has come beside requests stays counted, or who asks now and then could send it without end.
    client.saidBytes += IDLE_BYTES_PER_REQUEST
    client.usefulBytes = Math.min(client.saidBytes, socket.bytesRead)
    connections.asked(socket)
    const cut = setTimeout(() => socket.destroy(), ANSWER_MS).unref()
    response.once('close', () => {
      clearTimeout(cut)
      client.pendingCount--
      if (client.pendingCount === 0) connections.answered(socket)
    })
    response.on('error', () => socket.destroy())
    const answer = await this.answerTo(request, client)
    if (answer !== undefined && !response.destroyed && request.socket.writable)
      write(request, response, answer)
  }

  /** Undefined: the connection is told what it is told without a request (measureHeads). */
  private async answerTo(
    request: IncomingMessage,
    client: Client,
  ): Promise<RouteAnswer | undefined> {
    const problem = problemOf(request)
    if (problem !== undefined) {
      if (problem.headers?.connection === 'close') client.isEnding = true
      return problem
    }
    if (client.isRefused) return undefined
    const [path = '', query = ''] = splitTarget(request.url ?? '')
    const route = this.options.routes().find((each) => each.path === path)
    if (route === undefined) return refusal(STATUS_NOT_FOUND, 'There is nothing here.')
    const access =
      route.right === undefined ? FULL_ACCESS : await this.accessOf(request, route, client)
    if (access.refusal !== undefined) return access.refusal
    const { seesAll } = access
    const { accept = '' } = request.headers
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

  /** What a route that takes a right answers to this client. */
  private async accessOf(request: IncomingMessage, route: Route, client: Client): Promise<Access> {
    const { login } = this.options
    if (login === undefined) {
      return { seesAll: true, refusal: this.refuseStranger(request, client) }
    }
    const { right = 'stats', tellsOfAll = false } = route
    // What a browser remembers of this server's password goes to the name that it was given for.
    const outcome = await login.check(request.headers.authorization, client, right)
    if (outcome === 'allowed') return FULL_ACCESS
    if (outcome === 'allowed-own' && !tellsOfAll) return { seesAll: false, refusal: undefined }
    return { seesAll: false, refusal: refusalOf(outcome, right) }
  }

  /** Where there is no login. */
  private refuseStranger(request: IncomingMessage, client: Client): RouteAnswer | undefined {
    const { isOpen, hostNames } = this.options
    const { host } = request.headers
    if (!client.isLocal && !isOpen) {
      return refusal(
        STATUS_FORBIDDEN,
        'On an address that others reach, this takes a login (--http-auth) or an operator who wants no login (--http-open).',
      )
    }
    if (isMeantForUs(host, hostNames)) return undefined
    return refusal(STATUS_MISDIRECTED, 'This server does not go by that name (--http-host).')
  }
}

/** Has what a server of TLS does with a new connection, a handshake, done when it is its turn. */
function takeTurns(server: http.Server | https.Server): HelloTurns {
  const begins = server.listeners('connection')
  server.removeAllListeners('connection')
  const begin = (socket: Socket): void => {
    for (const each of begins) Reflect.apply(each, server, [socket])
  }
  return new HelloTurns({ begin, waitMs: HEADER_MS })
}

/** What is answered to who may not be told what they ask for. */
function refusalOf(outcome: LoginVerdict, right: Right): RouteAnswer {
  switch (outcome) {
    case 'allowed':
    case 'allowed-own':
      return refusal(
        STATUS_FORBIDDEN,
        'This tells of all namespaces: it takes a user with the right admin.',
      )
    case 'denied':
      return refusal(STATUS_FORBIDDEN, `This takes a user with the right ${right} over everything.`)
    case 'unknown':
    case 'refused': {
      // As on every listener, a connection that guesses is not kept.
      const close = outcome === 'refused' ? { connection: 'close' } : {}
      const headers = { 'www-authenticate': CHALLENGE, ...close }
      return { ...refusal(STATUS_UNAUTHORIZED, 'This takes a login.'), headers }
    }
    default:
      return unreachable(outcome)
  }
}

/** What cannot be answered whatever it asks for. */
function problemOf(request: IncomingMessage): RouteAnswer | undefined {
  const { method, headers, url } = request
  const { host: hosts = [], authorization: logins = [] } = request.headersDistinct
  if (method !== 'GET' && method !== 'HEAD') {
    const answer = refusal(STATUS_METHOD_NOT_ALLOWED, 'GET and HEAD are answered here.')
    return { ...answer, headers: { allow: 'GET, HEAD', connection: 'close' } }
  }
  const length = headers['content-length']
  if (headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')) {
    const answer = refusal(STATUS_TOO_LARGE, 'No request has a body here.')
    return { ...answer, headers: { connection: 'close' } }
  }
  if (url?.startsWith('/') !== true) {
    return refusal(STATUS_BAD_REQUEST, 'A request names a path.')
  }
  // Node keeps the first; who stands in between may have looked at the second (RFC 9112, 3.2).
  if (hosts.length > 1) {
    return refusal(STATUS_BAD_REQUEST, 'A request names one host.')
  }
  if (logins.length > 1) {
    return refusal(STATUS_BAD_REQUEST, 'A request has one login.')
  }
  return undefined
}

/** The path as it was sent: what is escaped in it is no path that there is. */
function splitTarget(target: string): readonly string[] {
  const mark = target.indexOf('?')
  return mark === -1 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
}

function write(request: IncomingMessage, response: ServerResponse, answer: RouteAnswer): void {
  const { status, contentType, body, headers = {} } = answer
  response.writeHead(status, {
    ...HEADERS,
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    ...headers,
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function refusal(status: number, sentence: string): RouteAnswer {
  return { status, contentType: TEXT_PLAIN, body: `${sentence}\n` }
}

/** Cuts off who sends more before a request than one may have: Node bounds names and values, and nothing between. */
function measureHeads(socket: Socket, client: Client, overheadBytes: number): void {
  const meter = new HeadMeter(HEADER_BYTES_MAX)
  // Before Node reads the same bytes, and behind it, when it is known whether they ended with a request to answer.
  socket.prependListener('data', (bytes: Buffer) => {
    client.saidBytes += bytes.length + overheadBytes
    if (!client.isEnding && !client.isRefused) client.isRefused = !meter.take(bytes)
  })
  socket.on('data', () => {
    if (client.isEnding || !client.isRefused) return
    client.isEnding = true
    turnAway({ name: 'Error', message: '', code: 'HPE_HEADER_OVERFLOW' }, socket)
  })
}

/** What makes no sense, is too large or comes too late; the client may not read what it is told. */
function turnAway(error: NodeJS.ErrnoException, socket: Duplex): void {
  const status = STATUS_OF_ERROR[error.code ?? ''] ?? '400 Bad Request'
  if (!(socket instanceof Socket) || !socket.writable) {
    socket.destroy()
    return
  }
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  socket.destroySoon()
}

function peerOf({ remoteAddress, remotePort }: Socket, { family }: BoundAddress): Peer {
  if (family === 'unix') return UNIX_PEER
  if (remoteAddress === undefined || remotePort === undefined) return UNKNOWN_PEER
  return Peer.at(remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''), remotePort)
}

function tlsOptions(material: TlsMaterial): https.ServerOptions {
  const { minVersion, ciphers } = material
  return withCertificates(
    // Whoever asks over HTTP has a password, not a certificate.
    { identities: material.identities, ca: undefined, crl: undefined },
    {
      minVersion,
      ...(ciphers !== undefined && { ciphers }),
      honorCipherOrder: true,
      secureOptions: NO_RENEGOTIATION,
    },
  )
}
