/**
 * What reading and editing credential files have in common: which files are acceptable, how they are
 * read, their text, and the words for what the file system refuses.
 *
 * Only regular files are read, and what is anything else is not even opened: to open a pipe waits
 * for who writes into it, for ever, in a thread that the process has to have back before it can
 * exit; and to open a device may do something.
 */
import { constants, type Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { FILE_BYTES_MAX } from './user-entry.ts'

export interface FileContent {
  readonly bytes: Uint8Array
  readonly stats: Stats
}

/**
 * The whole of a regular file of at most FILE_BYTES_MAX bytes; a string says what is wrong with it.
 * Throws what the file system says.
 */
export async function readRegularFile(path: string): Promise<FileContent | string> {
  const problem = problemWithFile(await stat(path))
  if (problem !== undefined) return problem
  // It may have become something else since: then this does not wait, and the second look tells.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const stats = await handle.stat()
    const changed = problemWithFile(stats)
    if (changed !== undefined) return changed
    const chunks: Uint8Array[] = []
    let length = 0
    // The size may be wrong, of a file that grows or of one that the kernel makes up.
    while (length <= FILE_BYTES_MAX) {
      const chunk = Buffer.allocUnsafe(READ_BYTES)
      const { bytesRead } = await handle.read(chunk, 0, READ_BYTES, null)
      if (bytesRead === 0) return { bytes: Buffer.concat(chunks), stats }
      chunks.push(chunk.subarray(0, bytesRead))
      length += bytesRead
    }
    return `the file has more than ${FILE_BYTES_MAX} bytes`
  } finally {
    await handle.close()
  }
}

const READ_BYTES = 64 * 1024

function problemWithFile(stats: Stats): string | undefined {
  if (!stats.isFile()) return `this is ${kindOf(stats)}, not a regular file`
  if (stats.size > FILE_BYTES_MAX) {
    return `the file has ${stats.size} bytes; at most ${FILE_BYTES_MAX} are allowed`
  }
  return undefined
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a pipe'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

/** The text, or the 1-based line of the first byte that is not UTF-8. */
export function decodeUtf8OrLine(bytes: Uint8Array): string | number {
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
      return 'this is a directory, not a regular file'
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
