/**
 * The names that belong to a snapshot file, and whose they are.
 *
 *     FILE           the snapshot: whole, or there is none
 *     FILE.new       one that is being written
 *     FILE.taken     one whose items this server has, until it serves
 *     FILE.refused   one that could not be read, for who wants to look at it
 *     FILE.lock      which server this is for
 *
 * A snapshot of a stop is good once. When it is taken it loses its name, before anybody is served: after a
 * crash there is none, because clients may have changed what it has.
 *
 * The lock says who has the file: process, boot and pid namespace. Where that process can be looked at and
 * lives, another server does not start. Where it cannot be (another container), the later one takes the
 * file over. Invariant: nobody writes the file whose lock is not there any more as they wrote it.
 */
import { constants } from 'node:fs'
import { type FileSystem, syncFolder } from './snapshot-file.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
const LOCK_BYTES_MAX = 1024
/** Taking the lock of a process that is gone is tried so often: others may want it, too. */
const LOCK_ATTEMPTS = 3

const REMEDY = 'stop that one, or give this one a --snapshot of its own'
/** In /proc/PID/stat, counted behind the name, when the process was started. */
const START_TIME_FIELD = 19

interface LockHolder {
  readonly pid: number
  readonly started: string
  readonly boot: string
  readonly pids: string
  readonly token: string
}

/** Another server has the file; the message is fit for an operator. */
export class SnapshotInUse extends Error {}

export class SnapshotPlace {
  readonly path: string
  readonly newPath: string
  private readonly fs: FileSystem
  private readonly owner: { readonly uid: number; readonly gid: number } | undefined
  private readonly lockPath: string
  private readonly takenPath: string
  private readonly content: string

  /** `owner` is who the process becomes after it has begun as root. */
  constructor(
    fs: FileSystem,
    path: string,
    owner?: { readonly uid: number; readonly gid: number },
  ) {
    this.fs = fs
    this.path = path
    this.owner = owner
    this.newPath = `${path}.new`
    this.takenPath = `${path}.taken`
    this.lockPath = `${path}.lock`
    const holder: LockHolder = {
      pid: process.pid,
      started: startTimeOf(fs, process.pid),
      boot: bootIdOf(fs),
      pids: pidNamespaceOf(fs),
      token: crypto.randomUUID(),
    }
    this.content = `${JSON.stringify(holder)}\n`
  }

  /** Takes the lock and removes what an earlier process left half done. Throws SnapshotInUse, or what the system says. */
  lock(): void {
    for (let attempt = 0; !this.tryLock(); attempt++) {
      const holder = this.readLock()
      const text = `the snapshot ${this.path} belongs to another server`
      if (holder !== undefined && this.isAlive(holder)) {
        throw new SnapshotInUse(`${text}, process ${holder.pid}: ${REMEDY}`)
      }
      if (attempt === LOCK_ATTEMPTS) throw new SnapshotInUse(`${text}: ${REMEDY}`)
      this.remove(this.lockPath)
    }
    this.removeNew()
    this.remove(this.takenPath)
  }

  /** What a write that failed could not remove. */
  removeNew(): void {
    this.remove(this.newPath)
  }

  /** Whether the file is still ours to write. */
  get isLocked(): boolean {
    return this.readText() === this.content
  }

  release(): void {
    if (this.isLocked) this.remove(this.lockPath)
  }

  /** The snapshot has no name any more under which it would be read again. Throws what the system says. */
  take(): void {
    this.fs.renameSync(this.path, this.takenPath)
    try {
      syncFolder(this.fs, this.path)
    } catch (error) {
      this.putBack()
      throw error
    }
  }

  /** Nobody was served: it is as good as it was. */
  putBack(): void {
    try {
      this.fs.renameSync(this.takenPath, this.path)
    } catch {
      // It was not taken.
    }
  }

  forget(): void {
    this.remove(this.takenPath)
  }

  /** Keeps what cannot be read from being read when that has changed. */
  setAside(): void {
    this.fs.renameSync(this.path, `${this.path}.refused`)
  }

  private remove(path: string): void {
    try {
      this.fs.unlinkSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  /** False: there is one. */
  private tryLock(): boolean {
    const { fs, owner } = this
    try {
      const fd = fs.openSync(this.lockPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      const bytes = Buffer.from(this.content)
      try {
        for (let done = 0; done < bytes.length; ) done += fs.writeSync(fd, bytes, done)
        if (owner !== undefined) fs.fchownSync(fd, owner.uid, owner.gid)
      } catch (error) {
        this.remove(this.lockPath)
        throw error
      } finally {
        fs.closeSync(fd)
      }
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
  }

  private readText(): string {
    try {
      const stats = this.fs.lstatSync(this.lockPath)
      if (!stats.isFile() || stats.size > LOCK_BYTES_MAX) return ''
      return this.fs.readFileSync(this.lockPath, 'utf8')
    } catch {
      return ''
    }
  }

  /** Undefined for what is no lock of ours. */
  private readLock(): LockHolder | undefined {
    try {
      const holder = JSON.parse(this.readText()) as Partial<LockHolder>
      const { pid, started, boot, pids } = holder
      const isWhole =
        Number.isSafeInteger(pid) && [started, boot, pids].every((it) => typeof it === 'string')
      return isWhole ? (holder as LockHolder) : undefined
    } catch {
      return undefined
    }
  }

  /** A process of that number that was started at another time is another one. */
  private isAlive({ pid, started, boot, pids }: LockHolder): boolean {
    const { fs } = this
    if (boot !== bootIdOf(fs) || pids !== pidNamespaceOf(fs)) return false
    return pid !== process.pid && started !== '' && startTimeOf(fs, pid) === started
  }
}

/** Which boot of the machine this is; '' where that is not known. */
export function bootIdOf(fs: Pick<FileSystem, 'readFileSync'>): string {
  return readOrNothing(() => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
}

function pidNamespaceOf(fs: FileSystem): string {
  return readOrNothing(() => fs.readlinkSync('/proc/self/ns/pid'))
}

function startTimeOf(fs: FileSystem, pid: number): string {
  const stat = readOrNothing(() => fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The name is in brackets, and may have some itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // One that has ended, and of which nobody has taken notice yet.
  return fields[0] === 'Z' ? '' : (fields[START_TIME_FIELD] ?? '')
}

function readOrNothing(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}
