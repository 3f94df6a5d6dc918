/**
 * What a finished handshake tells: by the methods of Node's TLS socket, also where there is none.
 */
import tls from 'node:tls'
import type { TlsVerify } from '../../config/options/tls-options.ts'

type Telling =
  | 'getProtocol'
  | 'getCipher'
  | 'isSessionReused'
  | 'getCertificate'
  | 'getPeerCertificate'
  | 'getPeerX509Certificate'
  | 'exportKeyingMaterial'

/** As a TLS socket of Node has it, and TlsSession without one. */
export interface SessionFacts extends Pick<tls.TLSSocket, Telling> {
  /** A certificate was asked for; what is shown, if anything is, was verified. */
  readonly authorized: boolean
  /** Why it was not: a code. */
  readonly authorizationError: unknown
  /** It tells nothing any more. */
  readonly destroyed: boolean
}

/** The encryption, of which the methods of Node's socket ask more. */
interface SessionHandle {
  verifyError(): NodeJS.ErrnoException | null | undefined
}

const { prototype: asked } = tls.TLSSocket

export class TlsSession implements SessionFacts {
  readonly authorized: boolean
  readonly authorizationError: string | undefined
  /** Where the methods of Node's socket look. They say nothing where it is null, and would ask a session that is no more. */
  protected _handle: SessionHandle | null
  /** And whether they may export keys. */
  protected readonly _secureEstablished = true

  constructor(handle: SessionHandle, verify: TlsVerify) {
    this._handle = handle
    const error = verify === 'none' ? undefined : handle.verifyError()
    this.authorized = verify !== 'none' && !error
    this.authorizationError = error?.code
  }

  /** Whether the methods of a socket of Node look where they are taken to look; `handle` has had no handshake. */
  static isKnown(handle: SessionHandle): boolean {
    const session = new TlsSession(handle, 'none')
    try {
      session.exportKeyingMaterial(1, 'x', Buffer.alloc(0))
    } catch (error) {
      // This is said by Node, and any other by OpenSSL.
      if ((error as NodeJS.ErrnoException).code === 'ERR_TLS_INVALID_STATE') return false
    }
    return typeof session.getProtocol() === 'string' && session.getPeerCertificate() !== null
  }

  get destroyed(): boolean {
    return this._handle === null
  }

  /** Before its handle goes. */
  end(): void {
    this._handle = null
  }

  getProtocol(): string | null {
    return asked.getProtocol.call(this.asSocket)
  }

  getCipher(): tls.CipherNameAndProtocol {
    return asked.getCipher.call(this.asSocket)
  }

  isSessionReused(): boolean {
    return asked.isSessionReused.call(this.asSocket)
  }

  getCertificate(): tls.PeerCertificate | object | null {
    return asked.getCertificate.call(this.asSocket)
  }

  getPeerCertificate(): tls.DetailedPeerCertificate {
    return asked.getPeerCertificate.call(this.asSocket, false) as tls.DetailedPeerCertificate
  }

  getPeerX509Certificate(): ReturnType<tls.TLSSocket['getPeerX509Certificate']> {
    return asked.getPeerX509Certificate.call(this.asSocket)
  }

  exportKeyingMaterial(
    ...asking: Parameters<tls.TLSSocket['exportKeyingMaterial']>
  ): ReturnType<tls.TLSSocket['exportKeyingMaterial']> {
    return asked.exportKeyingMaterial.apply(this.asSocket, asking)
  }

  private get asSocket(): tls.TLSSocket {
    return this as unknown as tls.TLSSocket
  }
}
