/**
 * Why a login failed: for the audit log and the counters, never for the client, who is told the
 * same in every case. A closed list, so that each reason can have a counter.
 */

export const FAILURE_REASONS = [
  /** No such user. */
  'unknown-user',
  'wrong-password',
  /** The message does not follow the mechanism's grammar. */
  'malformed',
  /** The client asked to act for somebody else. */
  'bad-authzid',
  /** Not announced here, whether it exists or not. */
  'unknown-mechanism',
  /** The client insists on channel binding, or bound something else. */
  'channel-binding',
  /** A response without a login under way. */
  'out-of-sequence',
  /** Too many checks wait; the password was not looked at, or not the signature of the token. */
  'busy',
  /** The user's credential changed while the login was under way. */
  'credentials-changed',
  /** The connection went away or began anew. */
  'aborted',
  /** A token is signed by an algorithm that is not allowed here, or by none. */
  'token-algorithm',
  /** The key that a token names is not known, or none is named where there are several. */
  'token-key',
  /** The signature is not that of the token and the key. */
  'token-signature',
  'token-expired',
  'token-not-yet-valid',
  /** Somebody else issued the token. */
  'token-issuer',
  /** The token is for somebody else than this server. */
  'token-audience',
  /** What the token says of its user or its end is missing or of the wrong kind, or binds it to a key. */
  'token-claims',
] as const

export type FailureReason = (typeof FAILURE_REASONS)[number]
