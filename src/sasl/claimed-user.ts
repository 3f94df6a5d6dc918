/**
 * How the log names whom a failed login claimed to be. What stands in the place of a user name may
 * be anything: a password typed into the wrong field, or the first word of a value that a client
 * without a login wants to store. So only the names of users that there are get repeated; of any
 * other the log has the length and a keyed tag, by which repeats can be seen.
 */
import { createHmac } from 'node:crypto'
import { counted } from '../base/counted.ts'

export interface ClaimedUser {
  /** The name of a user that there is, fit for a log line; else empty. */
  readonly user: string
  /** `9 characters, 4f3a9c1e` of any other name; else empty. */
  readonly unknownUser: string
}

export const NO_CLAIM: ClaimedUser = { user: '', unknownUser: '' }

/** Longest name that is reported, in UTF-16 units. */
const REPORTED_NAME_MAX = 128
/** U+FFFD, in place of a character that is not shown. */
const REPLACEMENT = String.fromCodePoint(0xfffd)
/** Of a name that SASLprep has made eighteen times as long, the beginning and the length will do. */
const TAGGED_CHARS_MAX = 1024
/** Enough to tell names apart, too few to find one by trying: many names have the same tag. */
const TAG_BYTES = 4

/** The tag is made for known names too, so that both cost the same. `name` is prepared. */
export function describeClaim(name: string, isKnown: boolean, key: Uint8Array): ClaimedUser {
  if (name === '') return NO_CLAIM
  const tag = createHmac('sha256', key)
    .update(name.slice(0, TAGGED_CHARS_MAX))
    .digest('hex')
    .slice(0, 2 * TAG_BYTES)
  const length = counted(name.length, 'character')
  const unknownUser = `${length}, ${tag}`
  return isKnown ? { user: reportable(name), unknownUser: '' } : { user: '', unknownUser }
}

/** One line, no terminal control, no tricks: a name in a file may have any character. */
export function reportable(name: string): string {
  const cut = name.length > REPORTED_NAME_MAX ? `${name.slice(0, REPORTED_NAME_MAX)}...` : name
  return cut.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, REPLACEMENT)
}
