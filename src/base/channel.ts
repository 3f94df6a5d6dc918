/**
 * What the pipe under a connection is, for whoever decides by it what may go through. One of TLS will be
 * a kind of its own, with the exporter that a login is bound to (RFC 9266) and the certificate that was
 * verified; this is one record for all connections of a listening socket.
 */
export interface Channel {
  /** In the clear both; a Unix socket does not leave the machine. */
  readonly kind: 'tcp' | 'unix'
  /** Which of the server's listening sockets it came in on. */
  readonly listenerIndex: number
}
