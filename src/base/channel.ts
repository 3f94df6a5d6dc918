/**
 * What the pipe under a connection is, for whoever decides by it what may go through.
 */
export interface Channel {
  /** In the clear both of the first; a Unix socket does not leave the machine. */
  readonly kind: 'tcp' | 'unix' | 'tls'
  /**
   * Others on the network can read it, and the server takes no password through such: mechanisms that
   * send one are not offered (sasl/mechanisms.ts).
   */
  readonly refusesPasswords?: true
  /** Which of the server's listening sockets it came in on: counted down from -1 those of HTTP, from 0 up all others. */
  readonly listenerIndex: number
  /** Of the kind `tls`, once its handshake is done. */
  readonly tls?: TlsChannel | undefined
}

/** A TLS connection, as far as a login is about it. */
export interface TlsChannel {
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly version: string
  /** The client's certificate; undefined if it has none or it was not verified. */
  readonly certificate: PeerCertificate | undefined
  /** The server's own that this connection was shown, in DER: tls-server-end-point (RFC 5929, 4.1). */
  readonly localCertificate: Uint8Array | undefined
  /**
   * What tls-exporter binds to (RFC 9266): 32 bytes. Undefined below TLS 1.3. It is as secret as the
   * connection: never in a log.
   */
  exporter(): Uint8Array | undefined
}

/** A client certificate that was verified against the server's CA. */
export interface PeerCertificate {
  /** One line, as an operator knows it, fit for a log. */
  readonly subject: string
  /** SHA-256, in lower-case hexadecimal digits. */
  readonly fingerprint: string
  /** Seconds since 1970. */
  readonly validTo: number
  readonly commonNames: readonly string[]
  readonly dnsNames: readonly string[]
  readonly emailAddresses: readonly string[]
  readonly uris: readonly string[]
}
