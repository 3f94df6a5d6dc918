/**
 * Reads the small files that a configuration is made of. A file that is missing, unreadable, too
 * long or not UTF-8 is an expected trouble: it comes back as words for a ConfigProblem, which
 * never repeat the content.
 */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs'

/** `why` completes a sentence that begins with the file's name. */
export interface FileTrouble {
  readonly kind: 'missing' | 'unreadable'
  readonly why: string
}

export type FileReading = { readonly kind: 'text'; readonly text: string } | FileTrouble

/** /dev/null: on Linux, major 1 and minor 3. */
const NULL_DEVICE = (1 << 8) | 3

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'no such file',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'not permitted',
}

/** How long a pipe may take to say all. */
const PIPE_MS_MAX = 5000
const PIPE_POLL_MS = 10

/**
 * Reads at most `bytesMax` bytes of UTF-8. Works on pipes that somebody writes into, such as
 * /dev/stdin, as well, and waits for no other: whoever starts us hears a sentence. What `refuse` says of
 * the open file, for its mode or its owner, is why it is not read.
 */
export function readSmallFile(
  path: string,
  bytesMax: number,
  pipeMsMax: number = PIPE_MS_MAX,
  refuse: (stats: Stats) => string | undefined = () => undefined,
): FileReading {
  // One byte more than allowed tells a file that just fits from one that is too long.
  const buffer = Buffer.alloc(bytesMax + 1)
  let length = 0
  try {
    // A look first: to open a device may do something, and to open a socket fails without a reason.
    const trouble = troubleWith(statSync(path))
    if (trouble !== undefined) return trouble
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    try {
      const stats = fstatSync(fd)
      const changed = troubleWith(stats)
      if (changed !== undefined) return changed
      const refusal = refuse(stats)
      if (refusal !== undefined) return { kind: 'unreadable', why: refusal }
      const deadlineMs = performance.now() + pipeMsMax
      while (length < buffer.length) {
        const count = readNow(fd, buffer, length)
        if (count === 0) break
        if (count > 0) {
          length += count
          continue
        }
        if (performance.now() >= deadlineMs) {
          return { kind: 'unreadable', why: `is a pipe without an end after ${pipeMsMax} ms` }
        }
        sleep(PIPE_POLL_MS)
      }
      if (length === 0 && stats.isFIFO()) {
        return { kind: 'unreadable', why: 'is a pipe that nobody writes into' }
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

/** A device is refused, but for the one that stands for an empty file. */
function troubleWith(stats: Stats): FileTrouble | undefined {
  if (stats.isFile() || stats.isFIFO() || stats.rdev === NULL_DEVICE) return undefined
  if (stats.isDirectory()) return troubleOf({ code: 'EISDIR' })
  const what = stats.isSocket() ? 'a socket' : 'a device'
  return { kind: 'unreadable', why: `cannot be read: it is ${what}` }
}

/** Bytes that there are; 0 at the end, -1 while there are none. */
function readNow(fd: number, buffer: Buffer, offset: number): number {
  try {
    return readSync(fd, buffer, offset, buffer.length - offset, null)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return -1
    throw error
  }
}

/** At the start nothing else waits for this thread. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function troubleOf(error: unknown): FileTrouble {
  const code = codeOf(error)
  const kind = code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unreadable'
  return { kind, why: describeReadError(error) }
}

/** To be put behind the name of the file. */
export function describeReadError(error: unknown): string {
  const code = codeOf(error)
  return `cannot be read: ${REASONS[code] ?? code}`
}

function codeOf(error: unknown): string {
  const known = typeof error === 'object' && error !== null && 'code' in error
  return known ? String(error.code) : String(error)
}
