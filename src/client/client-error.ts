/**
 * What goes wrong between a client and its server, by kind: the command line makes an exit code of the
 * kind, and shows the message, one sentence that says what to do.
 *
 * Invariant: no message holds a password, and what a message repeats of a server's answer is printable.
 */

export type ClientErrorKind =
  /** Nobody answers there, or the connection was lost. */
  | 'unreachable'
  | 'timeout'
  /** An answer that makes no sense; nothing more is read. */
  | 'protocol'
  /** The server did not show that it is who it should be. */
  | 'identity'
  /** The login failed, or is needed. */
  | 'login'
  | 'permission'
  /** Settings that do not go together. */
  | 'settings'
  /** The server understood, and refused. */
  | 'refused'

export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly kind: ClientErrorKind

  constructor(kind: ClientErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}
