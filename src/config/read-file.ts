/**
 * Reads the small files that a configuration is made of. A file that is missing, unreadable, too
 * long or not UTF-8 is an expected trouble: it comes back as words for a ConfigProblem, which
 * never repeat the content.
 */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs'

/** `why` completes a sentence that begins with the file's name. */
export interface FileTrouble {
  readonly kind: 'missing' | 'unreadable'
  readonly why: string
}

export type FileReading = { readonly kind: 'text'; readonly text: string } | FileTrouble

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no such file',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'not permitted',
}

/** Reads at most `bytesMax` bytes of UTF-8. Works on pipes and /dev/stdin as well. */
export function readSmallFile(path: string, bytesMax: number): FileReading {
  // One byte more than allowed tells a file that just fits from one that is too long.
  const buffer = Buffer.alloc(bytesMax + 1)
  let length = 0
  try {
    const fd = openSync(path, 'r')
    try {
      while (length < buffer.length) {
        const count = readSync(fd, buffer, length, buffer.length - length, null)
        if (count === 0) break
        length += count
      }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return troubleOf(error)
  }
  if (length > bytesMax) return { kind: 'unreadable', why: `is longer than ${bytesMax} bytes` }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length))
    return { kind: 'text', text }
  } catch {
    return { kind: 'unreadable', why: 'is not UTF-8 text' }
  }
}

/** Asks without opening: a pipe would be used up by a look. */
export function whyUnreadable(path: string): FileTrouble | undefined {
  try {
    accessSync(path, constants.R_OK)
    return statSync(path).isDirectory() ? troubleOf({ code: 'EISDIR' }) : undefined
  } catch (error) {
    return troubleOf(error)
  }
}

function troubleOf(error: unknown): FileTrouble {
  const known = typeof error === 'object' && error !== null && 'code' in error
  const code = known ? String(error.code) : String(error)
  const why = `cannot be read: ${REASONS[code] ?? code}`
  return { kind: code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unreadable', why }
}
