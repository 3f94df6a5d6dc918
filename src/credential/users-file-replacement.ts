/**
 * How a users file is read for an edit and replaced by another: whole, with the owner and the mode that it
 * had, and by one editor at a time.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, lstat, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CredentialFileError } from './credential-file-error.ts'
import { codeOf, decodeUtf8OrLine, describeFileError, readRegularFile } from './file-access.ts'
import { UserEditError } from './user-edit-error.ts'

const LOCK_WAIT_MS = 5000
const LOCK_POLL_MS = 50
/** An edit takes well under a second; a lock this old was left behind by a crash. */
const LOCK_STALE_MS = 30_000
const NEW_FILE_MODE = 0o600

interface ReadText {
  /** Undefined if there is no file yet. */
  readonly text: string | undefined
  readonly mode: number
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
}

export async function readText(path: string): Promise<ReadText> {
  const content = await readRegularFile(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new UserEditError('file', `${path}: ${describeFileError(error)}`)
  })
  if (content === undefined) return { text: undefined, mode: NEW_FILE_MODE, owner: undefined }
  if (typeof content === 'string') throw new UserEditError('file', `${path}: ${content}`)
  const text = decodeUtf8OrLine(content.bytes)
  if (typeof text === 'number') {
    const message = 'this line is not valid UTF-8'
    throw new CredentialFileError([{ file: path, line: text, message }])
  }
  const { mode, uid, gid } = content.stats
  return { text, mode: mode & 0o777, owner: { uid, gid } }
}

/** Throws if no file can be put there. */
export async function checkFolder(folder: string): Promise<void> {
  await access(folder, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw codeOf(error) === 'ENOENT'
      ? noSuchFolder(folder)
      : new UserEditError('file', `${folder}: ${describeFileError(error)}`)
  })
}

function noSuchFolder(folder: string): UserEditError {
  return new UserEditError('file', `${folder}: there is no such directory`)
}

/** Whoever edits the file waits for others; returns what lets them. */
export async function lockFile(
  path: string,
  waitMs: number = LOCK_WAIT_MS,
): Promise<() => Promise<void>> {
  const lockPath = `${path}.lock`
  const deadlineMs = performance.now() + waitMs
  for (;;) {
    try {
      const handle = await open(lockPath, 'wx', NEW_FILE_MODE)
      await handle.writeFile(`${process.pid}\n`)
      await handle.close()
      return () => rm(lockPath, { force: true })
    } catch (error) {
      if (codeOf(error) === 'ENOENT') {
        throw noSuchFolder(dirname(path))
      }
      if (codeOf(error) !== 'EEXIST') {
        throw new UserEditError('file', `${lockPath}: ${describeFileError(error)}`)
      }
    }
    const found = await lstat(lockPath).catch(() => undefined)
    // What is no file was made by no editor: it is not ours to remove, nor to wait for.
    if (found !== undefined && !found.isFile()) {
      throw new UserEditError('locked', `${lockPath} is not a file; remove it`)
    }
    const age = found === undefined ? 0 : Date.now() - found.mtimeMs
    if (age > LOCK_STALE_MS) {
      await rm(lockPath, { force: true })
    } else if (performance.now() >= deadlineMs) {
      const holder = await readLockHolder(lockPath)
      throw new UserEditError(
        'locked',
        `${path} is being edited by another process (${holder}); ` +
          `if that is not so, remove ${lockPath}`,
      )
    } else {
      await delay(LOCK_POLL_MS)
    }
  }
}

/** The id of the process, if that is what the lock says. */
async function readLockHolder(lockPath: string): Promise<string> {
  const content = await readRegularFile(lockPath).catch(() => '')
  const text = typeof content === 'string' ? '' : Buffer.from(content.bytes).toString('latin1')
  return /^\d{1,10}\n?$/.test(text) ? text.trim() : 'unknown'
}

export async function replaceFile(
  path: string,
  text: string,
  mode: number,
  owner: ReadText['owner'],
): Promise<void> {
  const temporary = join(dirname(path), `.users-${randomBytes(6).toString('hex')}.tmp`)
  try {
    const handle = await open(temporary, 'wx', NEW_FILE_MODE)
    try {
      await handle.writeFile(text)
      if (owner !== undefined) await keepOwner(handle, owner)
      // After the owner, since a change of owner may clear bits; and past the umask.
      await handle.chmod(mode)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    if (error instanceof UserEditError) throw error
    if (codeOf(error) === 'EBUSY') {
      throw new UserEditError(
        'file',
        `${path} is a mount of its own and cannot be replaced; mount its directory instead`,
      )
    }
    throw new UserEditError('file', `${path}: ${describeFileError(error)}`)
  }
}

async function keepOwner(
  handle: FileHandle,
  owner: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const own = await handle.stat()
  if (own.uid === owner.uid && own.gid === owner.gid) return
  try {
    await handle.chown(owner.uid, owner.gid)
  } catch (error) {
    // Not root: the server might no longer be able to read a file that changed hands.
    if (codeOf(error) === 'EPERM') {
      throw new UserEditError('file', 'the file belongs to somebody else; edit it as its owner')
    }
    throw error
  }
}
