/**
 * What a daemon leaves in the system and takes from it: its pid file, memcached's port file, the
 * user it runs as, the limit of open files. Every function that throws does so with an Error whose
 * message is fit for an operator.
 *
 * Invariant: a file is removed only while it is the one that was written here, and nothing is written
 * through a symbolic link: whoever may write to the directory of a pid file (/tmp) must not be able
 * to point a server that is still root at another file.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs'
import type { BoundAddress } from '../net/shared-socket.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
/** Where a file beside cannot be made or put in place: the file itself may be writable all the same. */
const CANNOT_REPLACE: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EXDEV']

/** The number above stands for "leave it as it is". */
const GROUP_ID_MAX = 0xffff_fffe

/** Which file a name stood for when it was ours. */
export interface FileIdentity {
  readonly dev: number
  readonly ino: number
}

/** The file of that name, if there is one. */
export function fileAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

export function isStill(path: string, identity: FileIdentity): boolean {
  try {
    const found = fileAt(path)
    return found !== undefined && found.dev === identity.dev && found.ino === identity.ino
  } catch {
    return false
  }
}

/**
 * The pid file, with its descriptor: after -u the directory may not be ours any more, and what cannot
 * be removed then is emptied through the descriptor, which was opened before.
 */
export class PidFile {
  private readonly path: string
  private readonly content: string = `${process.pid}\n`
  private fd: number

  constructor(path: string) {
    this.path = path
    this.fd = replaceFile(path, this.content, 'pid file')
  }

  /** Removes the file, if it is still ours and says what we wrote; does nothing the second time. */
  remove(): void {
    if (this.fd === -1) return
    const { fd } = this
    this.fd = -1
    try {
      if (contentOf(fd) === this.content && !this.isUnlinked(fd)) ftruncateSync(fd)
    } catch {
      // A pid file that stays is no reason to fail at the end.
    }
    closeSync(fd)
  }

  private isUnlinked(fd: number): boolean {
    try {
      if (!isStill(this.path, fstatSync(fd))) return false
      unlinkSync(this.path)
      return true
    } catch {
      return false
    }
  }
}

/**
 * MEMCACHED_PORT_FILENAME: one line a bound TCP port. It stays when the server ends, as memcached's
 * does.
 */
export function writePortFile(path: string, addresses: readonly BoundAddress[]): void {
  const lines = addresses.flatMap(({ family, port, isDualStack }) => {
    const ipv4 = `TCP INET: ${port}\n`
    const ipv6 = `TCP INET6: ${port}\n`
    if (isDualStack) return [ipv4, ipv6]
    if (family === 'unix') return []
    return [family === 'IPv6' ? ipv6 : ipv4]
  })
  // memcached writes none for a Unix socket either.
  if (lines.length > 0) closeSync(replaceFile(path, lines.join(''), 'port file'))
}

/** How many files this process may have open (ulimit -n); undefined where that is not known. */
export function openFilesMax(): number | undefined {
  try {
    const found = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return found === null ? undefined : Number(found[1])
  } catch {
    return undefined
  }
}

export interface SystemUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** The user of -u, or undefined where -u has no effect: memcached ignores it without root; so do we. */
export function userToBecome(user: string): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name, , uid]) => name === user || uid === user)
  const [name, , uid, gid] = entry ?? []
  if (name === undefined || uid === undefined || gid === undefined) {
    throw new Error(`-u ${user}: there is no such user in /etc/passwd`)
  }
  return { name, uid: Number(uid), gid: Number(gid) }
}

/**
 * The number of the group of --unix-group. Root may name any, of /etc/group or by its number; others only
 * one that they are in, as the system has it.
 */
export function groupToGive(group: string): number {
  const entries = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const found = entries.find(([name]) => name === group)?.[2]
  const number = /^\d{1,10}$/.test(found ?? group) ? Number(found ?? group) : undefined
  if (number === undefined || number > GROUP_ID_MAX) {
    throw new Error(`--unix-group ${group}: there is no such group in /etc/group`)
  }
  const own = [process.getegid?.(), ...(process.getgroups?.() ?? [])]
  if (process.geteuid?.() !== 0 && !own.includes(number)) {
    throw new Error(
      `--unix-group ${group}: the user that runs the server is not in that group, and is not root`,
    )
  }
  return number
}

/** Gives up root for `user` (-u), groups first. */
export function dropPrivileges({ name, uid, gid }: SystemUser): void {
  // Not in the typings: the supplementary groups of the user, before the right to set them goes.
  const groups = process as { initgroups?: (user: string, group: number) => void }
  if (groups.initgroups === undefined) {
    throw new Error(`-u ${name}: this release of Node (${process.version}) cannot change groups`)
  }
  groups.initgroups(name, gid)
  process.setgid?.(gid)
  process.setuid?.(uid)
}

/**
 * Puts a new file in the place of `path`, whole, because whoever waits for it reads it the moment it
 * exists; a symbolic link there is replaced, not followed. Returns its open descriptor.
 */
function replaceFile(path: string, content: string, what: string): number {
  try {
    const found = fileAt(path)
    if (found !== undefined && !found.isFile() && !found.isSymbolicLink()) {
      throw new Error('there is something else than a file')
    }
    const [random = 0] = crypto.getRandomValues(new Uint32Array(1))
    return writeBeside(path, `${path}.${random.toString(16)}`, content)
  } catch (cause) {
    throw new Error(`cannot write the ${what} ${path}: ${(cause as Error).message}`, { cause })
  }
}

function writeBeside(path: string, temporary: string, content: string): number {
  let fd = -1
  try {
    fd = openSync(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644)
    writeSync(fd, content)
    renameSync(temporary, path)
    return fd
  } catch (error) {
    if (fd !== -1) {
      closeSync(fd)
      unlinkSync(temporary)
    }
    const { code = '' } = error as NodeJS.ErrnoException
    if (CANNOT_REPLACE.includes(code) && fileAt(path)?.isFile() === true) {
      return writeInPlace(path, content)
    }
    throw error
  }
}

/** For a file that was made for us in a directory of others, or mounted by itself. */
function writeInPlace(path: string, content: string): number {
  const fd = openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
  const { nlink } = fstatSync(fd)
  if (nlink > 1) {
    closeSync(fd)
    throw new Error('the file has another name as well')
  }
  ftruncateSync(fd)
  writeSync(fd, content)
  return fd
}

function contentOf(fd: number): string {
  const bytes = Buffer.alloc(32)
  return bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0))
}
