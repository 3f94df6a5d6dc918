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
  /** Too many failed before, from there or for that user; the password was not looked at. */
  'throttled',
  /** The password was right, but the login could not be recorded, and must be. */
  'audit',
  /** Too many key derivations wait; the password was not looked at. */
  'busy',
  /** The user's credential changed while the login was under way. */
  'credentials-changed',
  /** The connection went away or began anew. */
  'aborted',
] as const

export type FailureReason = (typeof FAILURE_REASONS)[number]
