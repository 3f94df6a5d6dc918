/**
 * What reading and editing credential files have in common: which files are acceptable, their text,
 * and the words for what the file system refuses.
 */
import type { Stats } from 'node:fs'
import { FILE_BYTES_MAX } from './user-entry.ts'

export function problemWithFile(stats: Stats): string | undefined {
  if (!stats.isFile()) return 'this is not a regular file'
  if (stats.size > FILE_BYTES_MAX) {
    return `the file has ${stats.size} bytes; at most ${FILE_BYTES_MAX} are allowed`
  }
  return undefined
}

/** The text, or the 1-based line of the first byte that is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | number {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  try {
    return decoder.decode(bytes)
  } catch {
    let line = 1
    for (let start = 0; start < bytes.length; line += 1) {
      const newline = bytes.indexOf(0x0a, start)
      const end = newline === -1 ? bytes.length : newline + 1
      try {
        decoder.decode(bytes.subarray(start, end))
      } catch {
        return line
      }
      start = end
    }
    return line
  }
}

export function describeFileError(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT':
      return 'there is no such file'
    case 'EACCES':
    case 'EPERM':
      return 'no permission for this file: check its owner and mode'
    case 'ENOTDIR':
      return 'a part of the path is not a directory'
    case 'EISDIR':
      return 'this is not a regular file'
    case '':
      throw error
    default:
      return `the file cannot be read or written (${codeOf(error)})`
  }
}

/** The code of a system error; empty for any other error. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}
