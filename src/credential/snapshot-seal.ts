/**
 * What makes a chunk of a snapshot be believed: with a key, AES-256-GCM, so that nobody else can read it or
 * change it; without one, a checksum that finds what a disk did to it, but not what somebody did on purpose.
 *
 *     header (64 bytes, in the clear):  | magic, 8 | version, 4 | flags, 4 | salt, 32 | 0, 16 |
 *     key of the file  = HKDF-SHA-256(secret: the key file, salt: the header, info)
 *     nonce, 12 bytes  = | number of the chunk, 8, big-endian | 0, 3 | 1 for the last one, 1 |
 *
 * Invariant: no two chunks are sealed with the same key and nonce: each file has a key of its own, from a
 * salt of 256 random bits, and no number comes twice in a file. Number and end are part of what is sealed, so a
 * chunk cannot be moved, left out at the end, or taken from another file; the header is part of the key.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

export const SNAPSHOT_HEADER_BYTES = 64
export const SEAL_BYTES = 16
/** Of the last chunk. */
export const LAST_CHUNK: number = Number.MAX_SAFE_INTEGER

const MAGIC = Buffer.from('SASLCSNP')
const VERSION = 1
const FLAG_ENCRYPTED = 1
const VERSION_AT = 8
const FLAGS_AT = 12
const SALT_AT = 16
const SALT_BYTES = 32
const KEY_BYTES = 32
const NONCE_BYTES = 12
const INFO = 'saslcached snapshot'
const CIPHER = 'aes-256-gcm'
/** Hexadecimal digits with a line end are 65 bytes. */
const KEY_FILE_BYTES_MAX = 256

/** The key cannot be had; `message` is fit for an operator. */
export class SnapshotKeyError extends Error {}

/** A header for a new file. */
export function createSnapshotHeader(isEncrypted: boolean): Uint8Array {
  const header = Buffer.alloc(SNAPSHOT_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(VERSION, VERSION_AT)
  header.writeUInt32LE(isEncrypted ? FLAG_ENCRYPTED : 0, FLAGS_AT)
  randomBytes(SALT_BYTES).copy(header, SALT_AT)
  return header
}

/** Whether a file that begins so is a snapshot, of whatever version. */
export function isSnapshotHeader(header: Uint8Array): boolean {
  return header.length >= MAGIC.length && MAGIC.equals(header.subarray(0, MAGIC.length))
}

/** Why a snapshot with that header cannot be read, with a key or without one; undefined if it may be. */
export function refusalOfHeader(header: Uint8Array, hasKey: boolean): string | undefined {
  if (!isSnapshotHeader(header)) return 'it is not a snapshot'
  const view = Buffer.from(header)
  if (header.length < SNAPSHOT_HEADER_BYTES) return 'it is cut off'
  const version = view.readUInt32LE(VERSION_AT)
  if (version !== VERSION) {
    return `it is of version ${version}, and this server reads version ${VERSION}`
  }
  const flags = view.readUInt32LE(FLAGS_AT)
  if ((flags & ~FLAG_ENCRYPTED) !== 0) return 'its header is damaged'
  const isEncrypted = flags === FLAG_ENCRYPTED
  if (isEncrypted && !hasKey) return 'it is encrypted, and there is no --snapshot-key-file'
  // Else whoever may write to the folder could put a file of their own there.
  if (!isEncrypted && hasKey) return 'it is not encrypted, and a --snapshot-key-file is given'
  return undefined
}

export class SnapshotSeal {
  private readonly header: Uint8Array
  /** Undefined: there is no key. */
  private readonly key: Uint8Array | undefined

  constructor(header: Uint8Array, secret: Uint8Array | undefined) {
    this.header = header
    this.key =
      secret === undefined
        ? undefined
        : new Uint8Array(hkdfSync('sha256', secret, header, INFO, KEY_BYTES))
  }

  /** The bytes to write in the place of a chunk, as many, and its seal. */
  seal(
    number: number,
    chunk: Uint8Array,
  ): { readonly bytes: Uint8Array; readonly seal: Uint8Array } {
    if (this.key === undefined) return { bytes: chunk, seal: this.checksum(number, chunk) }
    const cipher = createCipheriv(CIPHER, this.key, nonceOf(number))
    cipher.setAAD(lengthOf(chunk))
    const bytes = cipher.update(chunk)
    cipher.final()
    return { bytes, seal: cipher.getAuthTag() }
  }

  /** The chunk that was sealed so; undefined if it was not, or is not that one. */
  open(number: number, bytes: Uint8Array, seal: Uint8Array): Uint8Array | undefined {
    if (this.key === undefined) {
      return timingSafeEqual(this.checksum(number, bytes), seal) ? bytes : undefined
    }
    const cipher = createDecipheriv(CIPHER, this.key, nonceOf(number), {
      authTagLength: SEAL_BYTES,
    })
    cipher.setAAD(lengthOf(bytes))
    cipher.setAuthTag(seal)
    const chunk = cipher.update(bytes)
    try {
      cipher.final()
    } catch {
      return undefined
    }
    return chunk
  }

  private checksum(number: number, chunk: Uint8Array): Uint8Array {
    const hash = createHash('sha256').update(this.header).update(nonceOf(number)).update(chunk)
    return hash.digest().subarray(0, SEAL_BYTES)
  }
}

/**
 * The key in a file: 64 hexadecimal digits, 44 of base64, or 32 bytes. Throws SnapshotKeyError, also if
 * others than its owner and its group may read it; a symbolic link is followed, as secrets are mounted by them.
 */
export function readSnapshotKey(path: string): Uint8Array {
  const bytes = readKeyFile(path)
  const text = Buffer.from(bytes).toString('latin1').trim()
  if (/^[\da-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  if (/^[A-Za-z\d+/]{43}=$/.test(text)) return Buffer.from(text, 'base64')
  if (bytes.length === KEY_BYTES) return bytes
  throw new SnapshotKeyError(
    `the snapshot key ${path} is no key: 64 hexadecimal digits are one (openssl rand -hex 32)`,
  )
}

function readKeyFile(path: string): Uint8Array {
  let fd = -1
  try {
    // What is no file may wait for somebody else when it is opened.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    const stats = fstatSync(fd)
    if (!stats.isFile())
      throw new SnapshotKeyError(`the snapshot key ${path} is not a regular file`)
    if ((stats.mode & 0o027) !== 0) {
      throw new SnapshotKeyError(
        `the snapshot key ${path} can be read or changed by others: chmod 600 ${path}`,
      )
    }
    const bytes = new Uint8Array(KEY_FILE_BYTES_MAX)
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
  } catch (error) {
    if (error instanceof SnapshotKeyError) throw error
    const { code = '' } = error as NodeJS.ErrnoException
    throw new SnapshotKeyError(`the snapshot key ${path} cannot be read (${code})`, {
      cause: error,
    })
  } finally {
    if (fd !== -1) closeSync(fd)
  }
}

function nonceOf(number: number): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeBigUInt64BE(BigInt(number))
  if (number === LAST_CHUNK) nonce[NONCE_BYTES - 1] = 1
  return nonce
}

function lengthOf({ length }: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}
