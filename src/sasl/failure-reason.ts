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
  /** None of the certificate's names is a user's. */
  'certificate-of-nobody',
  /** The certificate's names are those of several users, or too many to look at. */
  'certificate-of-several',
  /** A response without a login under way. */
  'out-of-sequence',
  /** Too many key derivations wait; the password was not looked at. */
  'busy',
  /** The user's credential changed while the login was under way. */
  'credentials-changed',
  /** The connection went away or began anew. */
  'aborted',
] as const

export type FailureReason = (typeof FAILURE_REASONS)[number]
