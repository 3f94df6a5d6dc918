/**
 * A file that lines are added to, one after the other, and that others may rename, remove or read
 * meanwhile. Nothing is buffered: what `append` said yes to, the system has.
 *
 * Nothing is written through a symbolic link, nor given to another user that has a second name: who may
 * write to the directory must not be able to point a server that is still root at another file.
 *
 * Invariant: every line that was written whole begins at the start of one. Where a write broke off in the
 * middle of a line, also one of a process before this, the next begins with a line end.
 */
import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  openSync,
  readSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { codeOf } from '../../credential/file-access.ts'

const LINE_END = 0x0a
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants

/** Standard output, opened anew: that of a pipe must not make the whole process wait for its reader. */
const STANDARD_OUTPUT = '/proc/self/fd/1'

/** A file that could be opened and is not to be; the message says why, behind its name. */
class RefusedFile extends Error {}

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
    this.isTorn = this.endsTorn()
    if (owner !== undefined && !this.isOutput) this.giveTo(owner)
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
      this.close()
      this.fd = fd
      this.isTorn = this.endsTorn()
      return true
    } catch {
      return false
    }
  }

  /** The file was renamed or removed: its name stands for another, or for none. */
  get isMoved(): boolean {
    if (this.isOutput || this.fd === -1) return false
    const own = statsOf(() => fstatSync(this.fd))
    const found = statsOf(() => statSync(this.path))
    // One that a server of files has removed cannot be looked at any more.
    return own === undefined || found?.ino !== own.ino || found.dev !== own.dev
  }

  close(): void {
    const { fd } = this
    if (fd === -1) return
    this.fd = -1
    try {
      closeSync(fd)
    } catch {
      // What a network file system tells of here, append has heard. It is closed all the same.
    }
  }

  /** The last byte is not a line end; false where nobody can tell. */
  private endsTorn(): boolean {
    const stats = fstatSync(this.fd)
    if (!stats.isFile() || stats.size === 0 || this.isOutput) return false
    const last = new Uint8Array(1)
    try {
      // By its name it might be another, or a pipe that keeps us waiting.
      const fd = openSync(`/proc/self/fd/${this.fd}`, constants.O_RDONLY)
      const count = readSync(fd, last, 0, 1, stats.size - 1)
      closeSync(fd)
      return count === 1 && last[0] !== LINE_END
    } catch {
      return false
    }
  }

  private open(): number {
    const flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK
    try {
      // That of standard output is a link of the system's.
      return openSync(this.path, this.isOutput ? flags : flags | O_NOFOLLOW, 0o600)
    } catch (error) {
      // Standard output that is a socket cannot be opened.
      if (this.isOutput) return 1
      if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error
      throw new RefusedFile('it is a symbolic link, which is not followed', { cause: error })
    }
  }

  private giveTo({ uid, gid }: { readonly uid: number; readonly gid: number }): void {
    const stats = fstatSync(this.fd)
    if (!stats.isFile()) return
    if (stats.nlink > 1) {
      this.close()
      throw new RefusedFile('the file has another name as well: whose is it?')
    }
    fchownSync(this.fd, uid, gid)
  }
}

function statsOf(look: () => Stats): Stats | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

/** Why a file could not be opened, for a person. */
export function describeOpenError(error: unknown): string {
  if (error instanceof RefusedFile) return error.message
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
