/**
 * Names and passwords as every comparison sees them: SASLprep (RFC 4013) applied once, at the edge.
 * What SASLprep refuses, or maps to nothing at all, is used as it was given, on both sides, so that
 * an emoji in a password locks nobody out (PostgreSQL does the same). The result is stable: the
 * same input always gives the same output, and no input that is within the limits throws.
 *
 * The cap on the length comes first: the package spreads its input over the stack, and a stranger
 * chooses the input.
 */
import { createRequire } from 'node:module'
import { assert } from '../base/assert.ts'

/** Longest user name and longest password, in bytes of UTF-8 as received. */
export const NAME_BYTES_MAX = 1024
export const PASSWORD_BYTES_MAX = 1024

type Saslprep = typeof import('saslprep').default

const require = createRequire(import.meta.url)
let saslprep: Saslprep | undefined

/**
 * Loads the tables, 2 MiB in each thread, which a server without users never needs. A server with
 * users loads them before it gives its privileges up: later it might not be allowed to.
 */
export function loadTables(): Saslprep {
  saslprep ??= require('saslprep') as Saslprep
  return saslprep
}

/**
 * The prepared form of `raw`, which the caller has checked to be 1 to 1024 bytes of UTF-8.
 * Unassigned code points are refused as in a stored string (RFC 3454, 7), so both sides fall back
 * alike.
 */
export function prepare(raw: string): string {
  if (isPlainAscii(raw)) return raw
  assert(raw.length <= NAME_BYTES_MAX, 'prepare() got an unchecked length')
  const applied = loadTables()
  try {
    const prepared = applied(raw)
    return prepared === '' ? raw : prepared
  } catch {
    // Prohibited, unassigned or badly mixed directions, and a TypeError for a string of nothing
    // but characters that are mapped to nothing.
    return raw
  }
}

/** Printable ASCII is its own prepared form; control characters are refused and so stay raw too. */
function isPlainAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) > 0x7f) return false
  }
  return true
}

/** What is wrong with a name or a password of a credential file; undefined when nothing is. */
export function problemWith(word: 'name' | 'password', raw: string): string | undefined {
  if (raw === '') return `the ${word} is empty`
  const bytes = Buffer.byteLength(raw)
  const bytesMax = word === 'name' ? NAME_BYTES_MAX : PASSWORD_BYTES_MAX
  if (bytes > bytesMax) return `the ${word} has ${bytes} bytes; at most ${bytesMax} are allowed`
  // PLAIN separates its parts by NUL, so no client could ever send it.
  if (raw.includes('\0')) return `the ${word} contains a NUL character, which no client can send`
  if (Buffer.from(raw).toString() !== raw) return `the ${word} is not valid Unicode`
  return undefined
}
