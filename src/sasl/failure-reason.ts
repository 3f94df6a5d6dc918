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
  /** Too many key derivations wait; the password was not looked at. */
  'busy',
  /** The user's credential changed while the login was under way. */
  'credentials-changed',
  /** The connection went away or began anew. */
  'aborted',
] as const

export type FailureReason = (typeof FAILURE_REASONS)[number]

/** Longest name that is reported, in UTF-16 units. */
const REPORTED_NAME_MAX = 128

/**
 * A name that a stranger chose, made fit for a log line: one line, no terminal control, no tricks.
 */
export function reportable(name: string): string {
  const cut = name.length > REPORTED_NAME_MAX ? `${name.slice(0, REPORTED_NAME_MAX)}...` : name
  return cut.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\uFFFD')
}
