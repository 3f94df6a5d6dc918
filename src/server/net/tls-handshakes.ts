/**
 * The TLS handshakes of one worker. Whoever is a stranger to us makes us work here: a ClientHello costs
 * its sender nothing, and us a key agreement and a signature. So a handshake is begun when its hello is
 * here, and by turns:
 *
 * - Sites (an IPv4 address, an IPv6 /48) take turns, within one site its sources (/64s), and within a source
 *   who came first: whoever owns many addresses has the turns of one.
 * - What its client says then to end it is read of a few at a time (tls-answers.ts); where sockets of Node are needed, as it
 *   comes.
 * - Each takes a turn of the event loop that strangers have anyway (worker/stranger-turns.ts). Where sockets of Node are
 *   needed, most of the work follows in its next tick, when the step is over: it is timed, and said for the next ones.
 *
 * How many can wait is bounded by whoever admits strangers (admission.ts), and for how long by the login
 * deadline, which runs from accept.
 *
 * Invariant: a handshake is begun once, and comes to one end: that of its socket, or it is done; who is served
 * by sockets of Node is told by `secured`, or by `failed`.
 *
 * For sockets of Node, what checks certificates and resumes sessions is a tls.Server that never listens; a bare
 * TLSSocket does neither.
 */
import type net from 'node:net'
import tls from 'node:tls'
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import type { Peer } from '../../base/peer.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import { renewsTickets } from './node-internals.ts'
import { type Answering, TlsAnswers } from './tls-answers.ts'
import { withCertificates } from './tls-contexts.ts'
import { type HandshakeContext, handshakeContextOf } from './tls-handles.ts'
import type { TlsMaterial } from './tls-material.ts'
import { letGoWhenOver } from './tls-remains.ts'
import { type RetryOwner, TlsRetries } from './tls-retries.ts'

/** Who waits for a handshake. */
interface HandshakeOwner extends RetryOwner {
  readonly verify: TlsVerify
  /** Whose turn it takes. */
  readonly peer: Pick<Peer, 'site' | 'network'>
}

/** One that is served right from its handle. */
export interface HandleOwner extends HandshakeOwner, Answering {
  /** Begins it with its hello; its handle tells what comes of it. False: it has come to an end already. */
  shake(context: HandshakeContext): boolean
}

/** One that is served by sockets of Node, and told of an end in the middle of it. */
export interface SocketOwner extends HandshakeOwner {
  /** The accepted socket; nothing of it is read once its hello was taken. */
  readonly socket: net.Socket
  /** The ClientHello, and what came behind it. */
  takeHello(): Uint8Array
  secured(socket: tls.TLSSocket): void
}

type Owner = HandleOwner | SocketOwner

/** Begins the next handshake. False: there was none to begin any more. */
export interface HandshakeStep {
  continueServing(): boolean
  /** What follows when the step is over. */
  readonly takesMs: number
}

/** Handshakes are timed by it. */
export interface HandshakeClock {
  nowMs(): number
  after(delayMs: number, run: () => void): void
}

/** Takes steps in later turns of the event loop, when strangers may have some of it. */
export interface HandshakeTurns {
  defer(step: HandshakeStep): void
}

/** The protocol's name for ALPN (RFC 7301): not registered, taken by those who offer it. */
const ALPN_PROTOCOLS = ['memcached']
/** SSL_OP_NO_RENEGOTIATION of OpenSSL 1.1.0h and later: an established connection is never keyed anew. */
export const NO_RENEGOTIATION = 0x4000_0000
/**
 * Forward secrecy and authenticated encryption alone. AES-128 comes first: it is as good, and cheaper.
 * The server's order counts.
 */
const CIPHERS: string = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')
/**
 * Whose it is, on the socket that was handed to a server. Not in a WeakMap: what is behind the key of one in the old
 * generation, a collection of the young one keeps.
 */
const OWNER: unique symbol = Symbol('owner')

type OwnedSocket = net.Socket & { [OWNER]?: SocketOwner }

/** Longer than any login deadline should be; that one ends a handshake, this one a forgotten timer. */
const HANDSHAKE_TIMEOUT_MS = 86_400_000
/** What a handshake is taken for before there was one, and how much the last one says of the next. */
const FIRST_MS = 1
const LAST_SHARE = 1 / 8
/** Hellos that fail at once say nothing of those that do not, nor does a process that stood still of the next. */
const WORK_MS_MIN = 0.5
const WORK_MS_MAX = 16

export class TlsHandshakes implements HandshakeStep {
  takesMs: number = FIRST_MS
  private readonly clock: HandshakeClock
  private readonly turns: HandshakeTurns
  private material: TlsMaterial
  /** Made when they are first asked for, as most need one. */
  private contexts: Map<TlsVerify, HandshakeContext> = new Map()
  private servers: Map<TlsVerify, tls.Server> = new Map()
  private readonly waiting: FairQueue<Owner, string> = new FairQueue()
  /** Of those that wait. */
  private readonly places: Map<Owner, Place<Owner, string>> = new Map()
  private readonly retries: TlsRetries
  /** Of those that are served right from their handles. */
  readonly answers: TlsAnswers
  private workSinceMs = 0
  private readonly beginWork: () => void = () => {
    this.workSinceMs = this.clock.nowMs()
  }
  private readonly endWork: (owner: SocketOwner) => void = (owner) => {
    const sinceMs = this.clock.nowMs() - this.workSinceMs
    const workMs = Math.min(Math.max(sinceMs, WORK_MS_MIN), WORK_MS_MAX)
    this.takesMs += (workMs - this.takesMs) * LAST_SHARE
    this.retries.look(owner)
  }

  constructor(material: TlsMaterial, clock: HandshakeClock, turns: HandshakeTurns) {
    this.material = material
    this.clock = clock
    this.turns = turns
    this.retries = new TlsRetries(clock)
    this.answers = new TlsAnswers(turns, (ms, run) => clock.after(ms, run))
  }

  /** Handshakes from now on are made with `material`; those under way with what they began with. */
  replace(material: TlsMaterial): void {
    const contexts = new Map<TlsVerify, HandshakeContext>()
    for (const verify of this.contexts.keys()) contexts.set(verify, contextOf(material, verify))
    const servers = new Map<TlsVerify, tls.Server>()
    for (const verify of this.servers.keys()) servers.set(verify, this.create(material, verify))
    this.material = material
    this.contexts = contexts
    this.servers = servers
  }

  /** How many wait for their turn. */
  get waitingCount(): number {
    return this.waiting.size
  }

  /** The hello of `owner` has come. Who waits already keeps its place. */
  enqueue(owner: Owner): void {
    if (this.places.has(owner)) return
    const { site, network } = owner.peer
    this.places.set(owner, this.waiting.add(owner, site, network))
    this.turns.defer(this)
  }

  /** `owner` has gone while it waited. */
  leave(owner: Owner): void {
    const place = this.places.get(owner)
    if (place === undefined) return
    this.waiting.remove(place)
    this.places.delete(owner)
  }

  /** Of who has left there is a turn too many: false. */
  continueServing(): boolean {
    const owner = this.waiting.takeTurn()
    if (owner === undefined) return false
    this.leave(owner)
    if (owner.isOver) return false
    if ('shake' in owner) {
      this.takesMs = 0
      if (owner.shake(this.contextFor(owner.verify))) this.answers.add(owner)
      this.retries.look(owner)
    } else this.begin(owner)
    return true
  }

  private begin(owner: SocketOwner): void {
    const { socket, verify } = owner
    const owned: OwnedSocket = socket
    owned[OWNER] = owner
    // Who sends no more now can come to no end of it; once it is done, that is what clients may do.
    socket.allowHalfOpen = false
    // The server reads it first, before anything from the wire.
    socket.unshift(owner.takeHello())
    // The server has the hello read in the next tick.
    process.nextTick(this.beginWork)
    this.serverFor(verify).emit('connection', socket)
    process.nextTick(this.endWork, owner)
  }

  private contextFor(verify: TlsVerify): HandshakeContext {
    const found = this.contexts.get(verify)
    if (found !== undefined) return found
    const created = contextOf(this.material, verify)
    this.contexts.set(verify, created)
    return created
  }

  private serverFor(verify: TlsVerify): tls.Server {
    const found = this.servers.get(verify)
    if (found !== undefined) return found
    const created = this.create(this.material, verify)
    this.servers.set(verify, created)
    return created
  }

  private create(material: TlsMaterial, verify: TlsVerify): tls.Server {
    const server = tls.createServer(serverOptions(material, verify))
    renewsTickets(credentialsOf(server), material.ticketKeys)
    server.on('secureConnection', (socket) => {
      letGoWhenOver(socket)
      const owner = this.ownerOf(socket)
      if (owner === undefined) socket.destroy()
      else owner.secured(socket)
    })
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      letGoWhenOver(socket)
      const { authorizationError } = socket
      // The server gives it a text where it has a code; the typings do not know.
      const refused = authorizationError as unknown as string | null | undefined
      this.ownerOf(socket)?.failed(refused ?? error.code ?? 'unknown')
      socket.destroy()
    })
    return server
  }

  private ownerOf(socket: tls.TLSSocket): SocketOwner | undefined {
    const { _parent: parent } = socket as unknown as { readonly _parent?: OwnedSocket | null }
    return parent?.[OWNER]
  }
}

function credentialsOf(server: tls.Server): tls.SecureContext | undefined {
  return (server as unknown as { readonly _sharedCreds?: tls.SecureContext })._sharedCreds
}

function contextOf(material: TlsMaterial, verify: TlsVerify): HandshakeContext {
  const context = handshakeContextOf(serverOptions(material, verify), verify, ALPN_PROTOCOLS)
  renewsTickets(context.secure, material.ticketKeys)
  return context
}

function serverOptions(material: TlsMaterial, verify: TlsVerify): tls.TlsOptions {
  const { ticketKeys, minVersion, ciphers, generation } = material
  const asked = verify === 'none' ? { ...material, ca: undefined, crl: undefined } : material
  return withCertificates(asked, {
    minVersion,
    ciphers: ciphers ?? CIPHERS,
    honorCipherOrder: true,
    requestCert: verify !== 'none',
    // Who has none, or a wrong one, is refused by tls-channel.ts: Node ends such without telling.
    rejectUnauthorized: false,
    ALPNProtocols: ALPN_PROTOCOLS,
    secureOptions: NO_RENEGOTIATION,
    ticketKeys: Buffer.from(ticketKeys),
    // A session goes on where it was begun: one without a certificate must not be resumed where one is
    // required, nor one that an old certificate authority vouched for after a reload.
    sessionIdContext: `${verify}:${generation}`,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    pauseOnConnect: false,
  })
}
