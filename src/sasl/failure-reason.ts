/**
 * Why a login failed: for the audit log and the counters, never for the client, who is told the
 * same in every case. A closed list, so that each reason can have a counter.
 */

export const FAILURE_REASONS = [
  /** No such user. */
  'unknown-user',
  'wrong-password',
  /** A password, or a proof of one, for a user who has none. */
  'no-password',
  /** The message does not follow the mechanism's grammar. */
  'malformed',
  /** The client asked to act for somebody else. */
  'bad-authzid',
  /** Not announced here, whether it exists or not. */
  'unknown-mechanism',
  /** Announced here, but not where others can read what is sent. */
  'needs-tls',
  /** Not bound as the mechanism has it, by a type that is not had here, or to another channel. */
  'channel-binding',
  /** The client could have bound the login, and was told that we cannot: not by us. */
  'downgrade',
  /** EXTERNAL without a verified client certificate. */
  'no-certificate',
  /** The client's certificate has expired since it was verified. */
  'certificate-expired',
  /** None of the certificate's names is a user's. */
  'certificate-of-nobody',
  /** The certificate's names are those of several users, or too many to look at. */
  'certificate-of-several',
  /** A response without a login under way. */
  'out-of-sequence',
  /** Too many failed before, from there or for that user; the password was not looked at. */
  'throttled',
  /** The password was right, but the login could not be recorded, and must be. */
  'audit',
  /** The password was right, but the user's namespace has all the connections that it may have. */
  'namespace-full',
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
