/**
 * Names of mechanisms as clients send them. A name that nobody has registered may be anything, a
 * misplaced password too, so no log and no counter ever repeats it.
 */
import { findMechanism } from './mechanisms.ts'

/** RFC 4422, 3.1, with the lower case that clients use, and a length that some go beyond. */
const MECHANISM_NAME = /^[A-Za-z0-9_-]{1,32}$/

/** Those of others: of the registry at IANA, and the unregistered ones that are in use. */
const FOREIGN_NAME =
  /^(?:SCRAM-(?:MD5|SHA3?-(?:1|224|256|384|512))(?:-PLUS)?|(?:CRAM|DIGEST)-MD5|LOGIN|ANONYMOUS|EXTERNAL|NTLM|OTP|SKEY|SECURID|SRP|GSSAPI|GSS-SPNEGO|GS2-KRB5(?:-PLUS)?|KERBEROS_V[45]|OAUTHBEARER|OAUTH10A|XOAUTH2?|OPENID20|SAML20)$/

/** The name in its own spelling; empty for what cannot be one. */
export function normalizeMechanism(sent: string): string {
  return MECHANISM_NAME.test(sent) ? sent.toUpperCase() : ''
}

/** What a log may say of a normalized name. */
export function reportableMechanism(name: string): string {
  if (name === '') return '(malformed)'
  return findMechanism(name) !== undefined || FOREIGN_NAME.test(name) ? name : '(unknown)'
}
