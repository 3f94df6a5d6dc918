/**
 * What a finished handshake tells of its connection, for whoever decides by it (base/channel.ts): the
 * version, the client's certificate if it was verified, and what a login can be bound to.
 */
import type tls from 'node:tls'
import type { PeerCertificate, TlsChannel } from '../../base/channel.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import { peerCertificate } from '../../credential/peer-certificate.ts'

/** RFC 9266, 4.2. */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
const EXPORTER_BYTES = 32
const NO_CONTEXT = Buffer.alloc(0)

class SocketTlsChannel implements TlsChannel {
  readonly version: string
  readonly certificate: PeerCertificate | undefined
  private readonly socket: tls.TLSSocket
  /** In DER, since it was first asked for; null: there is none. */
  private shown: Uint8Array | null | undefined = undefined

  constructor(socket: tls.TLSSocket, certificate: PeerCertificate | undefined) {
    this.socket = socket
    this.version = socket.getProtocol() ?? ''
    this.certificate = certificate
  }

  /** Node parses it anew each time, and it is the same for as long as the connection is. */
  get localCertificate(): Uint8Array | undefined {
    if (this.shown === undefined) {
      const certificate = this.socket.getCertificate()
      this.shown = certificate !== null && 'raw' in certificate ? certificate.raw : null
    }
    return this.shown ?? undefined
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
 * the same (SSL_VERIFY_PEER): Node leaves that to us. The dates of a certificate are looked at in a full
 * handshake alone, and a session may be resumed from ticket to ticket: `epochSeconds` is the time now.
 */
export function certificateRefusalOf(
  socket: tls.TLSSocket,
  verify: TlsVerify,
  epochSeconds: number,
): string | undefined {
  if (verify === 'none') return undefined
  const isShown = Object.keys(socket.getPeerCertificate()).length > 0
  if (!isShown) return verify === 'request' ? undefined : 'no-client-certificate'
  if (!socket.authorized) return String(socket.authorizationError ?? 'unverified')
  if (!socket.isSessionReused()) return undefined
  const certificate = certificateOf(socket)
  return certificate !== undefined && certificate.validTo <= epochSeconds
    ? 'CERT_HAS_EXPIRED'
    : undefined
}

function certificateOf(socket: tls.TLSSocket): PeerCertificate | undefined {
  const certificate = socket.getPeerX509Certificate()
  // Nobody was asked, or a session was resumed that has none.
  return certificate === undefined ? undefined : peerCertificate(certificate)
}
