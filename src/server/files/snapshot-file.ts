/**
 * A snapshot as a file: written beside and renamed when it is whole, or read from its end.
 *
 *     | header, 64 | chunk | chunk | ... | summary | footer, 8 |
 *
 *     a chunk, also the summary:   | length, 4 | seal, 16 | bytes |      footer:  | length of the summary, 4 | 'SNAP' |
 *
 * Invariant: a file under its name is whole, as far as it is for us. A chunk is handed on when its seal was
 * checked, and the summary, which is last, is read first: a file that is cut off is found at once.
 */
import type * as Fs from 'node:fs'
import { constants } from 'node:fs'
import { dirname } from 'node:path'
import {
  createSnapshotHeader,
  isSnapshotHeader,
  LAST_CHUNK,
  refusalOfHeader,
  SEAL_BYTES,
  SNAPSHOT_HEADER_BYTES,
  SnapshotSeal,
} from '../../credential/snapshot-seal.ts'
import { CHUNK_BYTES_MAX, SnapshotError } from '../../storage/snapshot-layout.ts'
import {
  encodeSummary,
  parseSummary,
  type SnapshotSummary,
} from '../../storage/snapshot-summary.ts'

/** What is used of the file system; tests have one that is full. */
export type FileSystem = Pick<
  typeof Fs,
  | 'closeSync'
  | 'fchownSync'
  | 'fdatasync'
  | 'fstatSync'
  | 'fsyncSync'
  | 'lstatSync'
  | 'openSync'
  | 'readFileSync'
  | 'readSync'
  | 'readlinkSync'
  | 'renameSync'
  | 'unlinkSync'
  | 'writeSync'
>

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const FRAME_BYTES: number = 4 + SEAL_BYTES
const FOOTER_BYTES = 8
const FOOTER_MAGIC: number = Buffer.from('SNAP').readUInt32LE()
/** The system is asked to write so much to the disk while the next chunks are made. */
export const SYNCED_BYTES: number = 64 * 1024 * 1024

/** Writes a new file under `path`, which nobody else can read. All of it throws what the system says. */
export class SnapshotFileWriter {
  writtenBytes = 0
  private readonly fs: FileSystem
  private readonly path: string
  private readonly seal: SnapshotSeal
  private readonly frame: Buffer = Buffer.allocUnsafe(FRAME_BYTES + CHUNK_BYTES_MAX)
  private fd: number
  private chunkCount = 0
  private syncedBytes = 0
  private trouble: Error | undefined = undefined
  private closesLater = -1
  /** The disk is told to take what was written so far, and has not said that it has. */
  isSyncing = false
  isComplete = false

  constructor(fs: FileSystem, path: string, secret: Uint8Array | undefined) {
    this.fs = fs
    this.path = path
    const header = createSnapshotHeader(secret !== undefined)
    this.seal = new SnapshotSeal(header, secret)
    this.fd = fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      this.write(header, header.length)
    } catch (error) {
      this.abandon()
      throw error
    }
  }

  writeChunk(payload: Uint8Array, length: number): void {
    this.throwTrouble()
    this.writeFrame(this.chunkCount++, payload.subarray(0, length))
    this.syncMeanwhile()
  }

  /** Ends the file, and has the disk take it. */
  complete(summary: Omit<SnapshotSummary, 'chunks'>): void {
    const { fs, frame } = this
    const bytes = encodeSummary({ ...summary, chunks: this.chunkCount })
    this.writeFrame(LAST_CHUNK, bytes)
    frame.writeUInt32LE(bytes.length, 0)
    frame.writeUInt32LE(FOOTER_MAGIC, 4)
    this.write(frame, FOOTER_BYTES)
    fs.fsyncSync(this.fd)
    this.isComplete = true
  }

  /**
   * Puts it in the place of `path`, once it is complete and nothing is being synced: after this it is there, or what was there
   * before.
   */
  replace(path: string): void {
    const { fs, fd } = this
    this.throwTrouble()
    this.fd = -1
    fs.closeSync(fd)
    fs.renameSync(this.path, path)
    syncFolder(fs, path)
  }

  /** Gives it up: nothing of it stays. */
  abandon(): void {
    this.close()
    try {
      this.fs.unlinkSync(this.path)
    } catch {
      // Removed already, or not to be removed: the next start tries again.
    }
  }

  private close(): void {
    if (this.fd === -1) return
    const { fd } = this
    this.fd = -1
    // While the system writes it down, the descriptor must not become that of another file.
    if (!this.isSyncing) this.closeAnyhow(fd)
    else this.closesLater = fd
  }

  /** A network file system tells of a full disk once more. */
  private closeAnyhow(fd: number): void {
    try {
      this.fs.closeSync(fd)
    } catch {
      // It is closed all the same, and nothing of the file stays.
    }
  }

  private throwTrouble(): void {
    if (this.trouble !== undefined) throw this.trouble
  }

  private writeFrame(number: number, chunk: Uint8Array): void {
    const { frame } = this
    const { bytes, seal } = this.seal.seal(number, chunk)
    frame.writeUInt32LE(bytes.length, 0)
    frame.set(seal, 4)
    frame.set(bytes, FRAME_BYTES)
    this.write(frame, FRAME_BYTES + bytes.length)
  }

  private write(bytes: Uint8Array, length: number): void {
    let done = 0
    while (done < length) done += this.fs.writeSync(this.fd, bytes, done, length - done)
    this.writtenBytes += length
  }

  /** Spreads the work of the disk, so that the end need not wait for all of it. */
  private syncMeanwhile(): void {
    if (this.isSyncing || this.writtenBytes - this.syncedBytes < SYNCED_BYTES) return
    this.isSyncing = true
    this.syncedBytes = this.writtenBytes
    // Linux tells of a piece that could not be written down once, and fsync at the end nothing more of it.
    this.fs.fdatasync(this.fd, (error) => {
      this.isSyncing = false
      this.trouble ??= error ?? undefined
      if (this.closesLater !== -1) this.closeAnyhow(this.closesLater)
      this.closesLater = -1
    })
  }
}

export interface OpenSnapshot {
  readonly reader: SnapshotFileReader
  readonly summary: SnapshotSummary
  readonly sizeBytes: number
}

/** Why a file is not used. `isOurs`: it is a snapshot, though none that can be read here. */
export class RefusedSnapshot extends Error {
  readonly isOurs: boolean

  constructor(message: string, isOurs: boolean) {
    super(message)
    this.isOurs = isOurs
  }
}

/** Undefined: there is none. Throws RefusedSnapshot, or what the system says. */
export function openSnapshot(
  fs: FileSystem,
  path: string,
  secret: Uint8Array | undefined,
  owners: readonly (number | undefined)[],
): OpenSnapshot | undefined {
  const fd = openExisting(fs, path)
  if (fd === undefined) return undefined
  try {
    const stats = fs.fstatSync(fd)
    if (!stats.isFile()) throw new RefusedSnapshot('it is not a regular file', false)
    const header = new Uint8Array(SNAPSHOT_HEADER_BYTES)
    const headerBytes = fs.readSync(fd, header, 0, header.length, 0)
    const found = header.subarray(0, headerBytes)
    const isOurs = isSnapshotHeader(found)
    const refusal =
      refusalOfHeader(found, secret !== undefined) ??
      ((stats.mode & 0o022) !== 0 ? 'others may write to it' : undefined) ??
      (stats.nlink > 1 ? 'it has another name as well' : undefined) ??
      (owners.includes(stats.uid) ? undefined : 'it belongs to another user')
    if (refusal !== undefined) throw new RefusedSnapshot(refusal, isOurs)
    const seal = new SnapshotSeal(header, secret)
    const summary = readSummary(fs, fd, stats.size, seal, secret !== undefined)
    return { reader: new SnapshotFileReader(fs, fd, seal, summary), summary, sizeBytes: stats.size }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** Whether a file of that name is a snapshot, or there is none: what is neither is not to be replaced. */
export function mayReplace(fs: FileSystem, path: string): boolean {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) return false
  const fd = openExisting(fs, path)
  if (fd === undefined) return true
  try {
    const header = new Uint8Array(SNAPSHOT_HEADER_BYTES)
    return (
      fs.fstatSync(fd).isFile() &&
      isSnapshotHeader(header.subarray(0, fs.readSync(fd, header, 0, header.length, 0)))
    )
  } finally {
    fs.closeSync(fd)
  }
}

/** Hands out chunk after chunk. */
export class SnapshotFileReader {
  private readonly fs: FileSystem
  private readonly seal: SnapshotSeal
  private readonly summary: SnapshotSummary
  private readonly frame: Buffer = Buffer.allocUnsafe(FRAME_BYTES)
  private readonly bytes: Uint8Array = new Uint8Array(CHUNK_BYTES_MAX)
  private fd: number
  private chunkCount = 0
  private position: number = SNAPSHOT_HEADER_BYTES

  constructor(fs: FileSystem, fd: number, seal: SnapshotSeal, summary: SnapshotSummary) {
    this.fs = fs
    this.fd = fd
    this.seal = seal
    this.summary = summary
  }

  get readBytes(): number {
    return this.position
  }

  /** The next chunk, good until the one after it is asked for; undefined after the last. Throws SnapshotError. */
  next(): Uint8Array | undefined {
    if (this.chunkCount === this.summary.chunks) return undefined
    const { frame } = this
    this.read(frame, FRAME_BYTES)
    const length = frame.readUInt32LE(0)
    if (length > CHUNK_BYTES_MAX) throw new SnapshotError('a chunk is too long')
    const bytes = this.bytes.subarray(0, length)
    this.read(bytes, length)
    const chunk = this.seal.open(this.chunkCount, bytes, frame.subarray(4))
    if (chunk === undefined) throw new SnapshotError('a chunk was changed or damaged')
    this.chunkCount++
    return chunk
  }

  close(): void {
    if (this.fd !== -1) this.fs.closeSync(this.fd)
    this.fd = -1
  }

  private read(target: Uint8Array, length: number): void {
    const { fs, fd, position } = this
    if (readFully(fs, fd, target, length, position) < length) {
      throw new SnapshotError('it is cut off')
    }
    this.position += length
  }
}

function readSummary(
  fs: FileSystem,
  fd: number,
  size: number,
  seal: SnapshotSeal,
  isEncrypted: boolean,
): SnapshotSummary {
  const refused = (why: string): RefusedSnapshot => new RefusedSnapshot(why, true)
  const footer = Buffer.alloc(FOOTER_BYTES)
  const footerAt = size - FOOTER_BYTES
  if (footerAt < SNAPSHOT_HEADER_BYTES + FRAME_BYTES) throw refused('it is cut off')
  readFully(fs, fd, footer, FOOTER_BYTES, footerAt)
  const length = footer.readUInt32LE(0)
  const frameAt = footerAt - length - FRAME_BYTES
  if (
    footer.readUInt32LE(4) !== FOOTER_MAGIC ||
    length > CHUNK_BYTES_MAX ||
    frameAt < SNAPSHOT_HEADER_BYTES
  ) {
    throw refused('its end is missing or damaged')
  }
  const frame = Buffer.alloc(FRAME_BYTES + length)
  readFully(fs, fd, frame, frame.length, frameAt)
  const summary = seal.open(LAST_CHUNK, frame.subarray(FRAME_BYTES), frame.subarray(4, FRAME_BYTES))
  if (frame.readUInt32LE(0) !== length || summary === undefined) {
    throw refused(
      isEncrypted ? 'it is of another key, or was changed' : 'it is damaged, or was changed',
    )
  }
  try {
    return parseSummary(summary)
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error
    throw refused(error.message)
  }
}

function readFully(
  fs: FileSystem,
  fd: number,
  target: Uint8Array,
  length: number,
  position: number,
): number {
  let done = 0
  while (done < length) {
    const count = fs.readSync(fd, target, done, length - done, position + done)
    if (count === 0) break
    done += count
  }
  return done
}

/** A symbolic link is not followed. */
function openExisting(fs: FileSystem, path: string): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw new RefusedSnapshot('it is a symbolic link', false)
    throw error
  }
}

/** So that a name is as it was set, also after the power has failed. */
export function syncFolder(fs: FileSystem, path: string): void {
  const fd = fs.openSync(dirname(path), O_RDONLY)
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
