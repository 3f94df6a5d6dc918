/**
 * A file that lines are added to, one after the other, and that others may rename, remove or read
 * meanwhile. Nothing is buffered: what `append` said yes to, the system has.
 *
 * Invariant: every line that was written whole begins at the start of one. Where a write broke off in the
 * middle of a line, the next begins with a line end.
 */
import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  openSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { codeOf } from '../../credential/file-access.ts'

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants

/** Standard output, opened anew: that of a pipe must not make the whole process wait for its reader. */
const STANDARD_OUTPUT = '/proc/self/fd/1'

export class AppendFile {
  private readonly path: string
  private readonly isOutput: boolean
  private fd: number
  private isTorn = false

  /** `-` is standard output. A new file belongs to `owner` and can be read by nobody else. Throws. */
  constructor(path: string, owner?: { readonly uid: number; readonly gid: number }) {
    this.isOutput = path === '-'
    this.path = this.isOutput ? STANDARD_OUTPUT : path
    this.fd = this.open()
    if (owner !== undefined && fstatSync(this.fd).isFile() && !this.isOutput) {
      fchownSync(this.fd, owner.uid, owner.gid)
    }
  }

  /** False if not all of it could be written. */
  append(line: string): boolean {
    if (this.fd === -1) return false
    const bytes = Buffer.from(this.isTorn ? `\n${line}` : line)
    let written = 0
    try {
      while (written < bytes.length) {
        const count = writeSync(this.fd, bytes, written)
        if (count === 0) break
        written += count
      }
    } catch {
      // A full disk, a pipe that nobody reads: the caller counts what is lost.
    }
    if (written > 0) this.isTorn = written < bytes.length
    return written === bytes.length
  }

  /** Opens the file of that name, which may be another by now. False: it cannot be, the old one stays. */
  reopen(): boolean {
    if (this.isOutput) return true
    try {
      const fd = this.open()
      if (this.fd !== -1) closeSync(this.fd)
      this.fd = fd
      this.isTorn = false
      return true
    } catch {
      return false
    }
  }

  /** The file was renamed or removed: its name stands for another, or for none. */
  get isMoved(): boolean {
    if (this.isOutput || this.fd === -1) return false
    const own = fstatSync(this.fd)
    const found = statsOf(this.path)
    return found === undefined || found.ino !== own.ino || found.dev !== own.dev
  }

  close(): void {
    if (this.fd !== -1) closeSync(this.fd)
    this.fd = -1
  }

  private open(): number {
    try {
      return openSync(this.path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
    } catch (error) {
      // Standard output that is a socket cannot be opened.
      if (this.isOutput) return 1
      throw error
    }
  }
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}

/** Why a file could not be opened, for a person. */
export function describeOpenError(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT':
      return 'there is no such directory'
    case 'EACCES':
    case 'EPERM':
      return 'no permission for this file or its directory: check owner and mode'
    case 'EISDIR':
      return 'this is a directory'
    case 'ENOTDIR':
      return 'a part of the path is not a directory'
    case 'ENXIO':
      return 'this is a pipe that nobody reads, or a socket'
    case 'EROFS':
      return 'the file system is read-only'
    case '':
      throw error
    default:
      return `it cannot be opened (${codeOf(error)})`
  }
}
