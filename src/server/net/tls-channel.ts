/**
 * What a finished handshake tells of its connection, for whoever decides by it (base/channel.ts): the
 * version, the client's certificate if it was verified, and what a login can be bound to.
 */
import type { PeerCertificate, TlsChannel } from '../../base/channel.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import { peerCertificate } from '../../credential/peer-certificate.ts'
import type { SessionFacts } from './tls-session.ts'

/** RFC 9266, 4.2. */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
const EXPORTER_BYTES = 32
const NO_CONTEXT = Buffer.alloc(0)

class SessionChannel implements TlsChannel {
  readonly version: string
  readonly certificate: PeerCertificate | undefined
  private readonly session: SessionFacts
  /** In DER, since it was first asked for; null: there is none. */
  private shown: Uint8Array | null | undefined = undefined

  constructor(session: SessionFacts, certificate: PeerCertificate | undefined) {
    this.session = session
    this.version = session.getProtocol() ?? ''
    this.certificate = certificate
  }

  /** Node parses it anew each time, and it is the same for as long as the connection is. */
  get localCertificate(): Uint8Array | undefined {
    if (this.shown === undefined) {
      const certificate = this.session.getCertificate()
      this.shown = certificate !== null && 'raw' in certificate ? certificate.raw : null
    }
    return this.shown ?? undefined
  }

  /** Below 1.3 it binds only with the extended master secret, and Node does not tell. */
  exporter(): Uint8Array | undefined {
    if (this.version !== 'TLSv1.3' || this.session.destroyed) return undefined
    return this.session.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, NO_CONTEXT)
  }
}

export function channelOf(session: SessionFacts): TlsChannel {
  // `authorized` is true only where a certificate was asked for and verified.
  return new SessionChannel(session, session.authorized ? certificateOf(session) : undefined)
}

/**
 * Why a client is not served, or undefined. Where none is required, one that is shown must be right all
 * the same (SSL_VERIFY_PEER): Node leaves that to us. The dates of a certificate are looked at in a full
 * handshake alone, and a session may be resumed from ticket to ticket: `epochSeconds` is the time now.
 */
export function certificateRefusalOf(
  session: SessionFacts,
  verify: TlsVerify,
  epochSeconds: number,
): string | undefined {
  if (verify === 'none') return undefined
  const isShown = Object.keys(session.getPeerCertificate()).length > 0
  if (!isShown) return verify === 'request' ? undefined : 'no-client-certificate'
  if (!session.authorized) return String(session.authorizationError ?? 'unverified')
  if (!session.isSessionReused()) return undefined
  const certificate = certificateOf(session)
  return certificate !== undefined && certificate.validTo <= epochSeconds
    ? 'CERT_HAS_EXPIRED'
    : undefined
}

function certificateOf(session: SessionFacts): PeerCertificate | undefined {
  const certificate = session.getPeerX509Certificate()
  // Nobody was asked, or a session was resumed that has none.
  return certificate === undefined ? undefined : peerCertificate(certificate)
}
