/**
 * What a finished handshake tells of its connection, for whoever decides by it (base/channel.ts): the
 * version, the client's certificate if it was verified, and what a login can be bound to.
 */
import type tls from 'node:tls'
import type { PeerCertificate, TlsChannel } from '../../base/channel.ts'
import type { TlsVerify } from './tls-handshakes.ts'

/** RFC 9266, 4.2. */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
const EXPORTER_BYTES = 32
const NO_CONTEXT = Buffer.alloc(0)

/** A name in a certificate is somebody's own choice of bytes. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/gu

/** Attributes that occur more than once have a list. */
interface Subject {
  readonly CN?: string | string[] | undefined
  readonly [attribute: string]: string | string[] | undefined
}

class SocketTlsChannel implements TlsChannel {
  readonly version: string
  readonly certificate: PeerCertificate | undefined
  private readonly socket: tls.TLSSocket

  constructor(socket: tls.TLSSocket, certificate: PeerCertificate | undefined) {
    this.socket = socket
    this.version = socket.getProtocol() ?? ''
    this.certificate = certificate
  }

  get localCertificate(): Uint8Array | undefined {
    const certificate = this.socket.getCertificate()
    return certificate !== null && 'raw' in certificate ? certificate.raw : undefined
  }

  /** Below 1.3 it binds only with the extended master secret, and Node does not tell. */
  exporter(): Uint8Array | undefined {
    if (this.version !== 'TLSv1.3' || this.socket.destroyed) return undefined
    return this.socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, NO_CONTEXT)
  }
}

export function channelOf(socket: tls.TLSSocket): TlsChannel {
  // `authorized` is true only where a certificate was asked for and verified.
  return new SocketTlsChannel(socket, socket.authorized ? certificateOf(socket) : undefined)
}

/**
 * Why a client is not served, or undefined. Where none is required, one that is shown must be right all
 * the same (SSL_VERIFY_PEER): Node leaves that to us.
 */
export function isRefused(socket: tls.TLSSocket, verify: TlsVerify): string | undefined {
  if (verify === 'none' || socket.authorized) return undefined
  const isShown = Object.keys(socket.getPeerCertificate()).length > 0
  if (!isShown && verify !== 'require') return undefined
  return String(socket.authorizationError ?? 'unverified')
}

function certificateOf(socket: tls.TLSSocket): PeerCertificate | undefined {
  const certificate = socket.getPeerCertificate()
  // Nobody was asked, or a session was resumed that has none.
  if (Object.keys(certificate).length === 0) return undefined
  const names = alternativeNames(certificate.subjectaltname ?? '')
  const subject: Subject = certificate.subject
  return {
    subject: subjectLine(subject),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    commonNames: [subject.CN ?? []].flat(),
    dnsNames: names.get('DNS') ?? [],
    emailAddresses: names.get('email') ?? [],
    uris: names.get('URI') ?? [],
  }
}

function subjectLine(subject: Subject): string {
  const parts = Object.entries(subject).flatMap(([type, values]) =>
    [values ?? []].flat().map((value) => `${type}=${value}`),
  )
  return parts.join(', ').replace(CONTROL, '?')
}

/**
 * The names of `DNS:a, URI:"b\"c", ...` by their kind. Node writes one with a comma, a quotation mark or
 * a control character in it as a string of JSON (CVE-2021-44532); a text that is not so has no names.
 */
export function alternativeNames(text: string): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>()
  const part = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
  while (part.lastIndex < text.length) {
    const [, kind, written] = part.exec(text) ?? []
    if (kind === undefined || written === undefined) return new Map()
    const name = written.startsWith('"') ? parseQuoted(written) : written
    if (name === undefined) return new Map()
    const known = names.get(kind)
    if (known === undefined) names.set(kind, [name])
    else known.push(name)
  }
  return names
}

function parseQuoted(written: string): string | undefined {
  try {
    return JSON.parse(written) as string
  } catch {
    return undefined
  }
}
