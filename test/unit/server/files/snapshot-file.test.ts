/** The snapshot file: each byte of it changed, cut off anywhere, on a disk that is full. */
import fs, {
  chmodSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import {
  type FileSystem,
  mayReplace,
  openSnapshot,
  RefusedSnapshot,
  SnapshotFileWriter,
  SYNCED_BYTES,
} from '../../../../src/server/files/snapshot-file.ts'
import { CHUNK_BYTES_MAX, SnapshotError } from '../../../../src/storage/snapshot-layout.ts'
import type { SnapshotSummary } from '../../../../src/storage/snapshot-summary.ts'

const KEY = new Uint8Array(32).fill(9)
const OWNERS = [process.geteuid?.()]
const SUMMARY: Omit<SnapshotSummary, 'chunks'> = {
  kind: 'stop',
  written: { epochMs: 1, serverMs: 1, bootId: '', monotonicMs: 0 },
  namespaces: [],
}
const CHUNKS = ['first chunk', 'second', 'third one'].map((text) => Buffer.from(text))

const directory = mkdtempSync(join(tmpdir(), 'saslcached-snapshot-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let fileCount = 0

function freshPath(): string {
  return join(directory, `snapshot${fileCount++}`)
}

function write(key: Uint8Array | undefined, path = freshPath()): string {
  const writer = new SnapshotFileWriter(fs, `${path}.new`, key)
  for (const chunk of CHUNKS) writer.writeChunk(chunk, chunk.length)
  writer.complete(SUMMARY)
  writer.replace(path)
  return path
}

/** The chunks until something is wrong, and what that is; a string if the file is refused. */
function read(
  path: string,
  key: Uint8Array | undefined,
): string | { texts: string[]; why: string } {
  let opened: ReturnType<typeof openSnapshot>
  try {
    opened = openSnapshot(fs, path, key, OWNERS)
  } catch (error) {
    if (error instanceof RefusedSnapshot) return error.message
    throw error
  }
  if (opened === undefined) return 'there is none'
  const texts: string[] = []
  try {
    for (;;) {
      const chunk = opened.reader.next()
      if (chunk === undefined) return { texts, why: '' }
      texts.push(Buffer.from(chunk).toString())
    }
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error
    return { texts, why: error.message }
  } finally {
    opened.reader.close()
  }
}

const WHOLE = { texts: CHUNKS.map(String), why: '' }

describe.each([
  ['encrypted', KEY],
  ['in the clear', undefined],
])('%s', (_, key) => {
  test('a file is read as it was written, and nobody else can read it', () => {
    const path = write(key)
    expect(read(path, key)).toEqual(WHOLE)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path).includes('second')).toBe(key === undefined)
  })

  test('with any byte changed it is refused, or ends before what is wrong', () => {
    const path = write(key)
    const good = readFileSync(path)
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good)
      bad[at]! ^= 1 << (at & 7)
      writeFileSync(path, bad)
      const found = read(path, key)
      if (typeof found === 'string') continue
      expect(found.why).not.toBe('')
      expect(found.texts).toEqual(WHOLE.texts.slice(0, found.texts.length))
    }
  })

  test('cut off anywhere it is refused', () => {
    const path = write(key)
    for (let length = statSync(path).size - 1; length >= 0; length--) {
      truncateSync(path, length)
      expect(typeof read(path, key)).toBe('string')
    }
  })

  test('chunks that were moved, left out or taken from another file are not believed', () => {
    const [one, other] = [write(key), write(key)].map((path) => readFileSync(path))
    const sizes = CHUNKS.map(({ length }) => 20 + length)
    const at = sizes.map(
      (_, index) => 64 + sizes.slice(0, index).reduce((sum, size) => sum + size, 0),
    )
    const pieceOf = (file: Buffer, index: number): Buffer =>
      file.subarray(at[index], (at[index] ?? 0) + (sizes[index] ?? 0))
    const end = one!.subarray((at[2] ?? 0) + (sizes[2] ?? 0))
    const start = one!.subarray(0, 64)
    const [a, b, c] = [0, 1, 2].map((index) => pieceOf(one!, index))
    const path = freshPath()
    const found = (...parts: (Buffer | undefined)[]): string[] | string => {
      writeFileSync(path, Buffer.concat(parts as Buffer[]), { mode: 0o600 })
      const result = read(path, key)
      return typeof result === 'string' ? result : [...result.texts, result.why]
    }
    const wrong = 'a chunk was changed or damaged'
    expect(found(start, a, b, c, end)).toEqual([...WHOLE.texts, ''])
    expect(found(start, b, a, c, end)).toEqual([wrong])
    expect(found(start, a, c, end)).toEqual(['first chunk', wrong])
    expect(found(start, a, b, end)?.at(-1)).toBe(wrong)
    expect(found(start, a, pieceOf(other!, 1), c, end)).toEqual(['first chunk', wrong])
    expect(found(start, a, b, c, other!.subarray(-end.length))).toBeTypeOf('string')
  })
})

test('another key, no key, and a key for a file in the clear are refused', () => {
  const [encrypted, clear] = [write(KEY), write(undefined)]
  expect(read(encrypted, new Uint8Array(32))).toBe('it is of another key, or was changed')
  expect(read(encrypted, undefined)).toMatch('it is encrypted')
  expect(read(clear, KEY)).toMatch('it is not encrypted')
})

test('a file that others may write to, or that is another, is refused', () => {
  const path = write(undefined)
  chmodSync(path, 0o620)
  expect(read(path, undefined)).toBe('others may write to it')
  chmodSync(path, 0o600)
  const link = freshPath()
  symlinkSync(path, link)
  expect(read(link, undefined)).toBe('it is a symbolic link')
  expect(() => openSnapshot(fs, path, undefined, [12_345])).toThrow('it belongs to another user')
  linkSync(path, freshPath())
  expect(read(path, undefined)).toBe('it has another name as well')
  expect(read(directory, undefined)).toBe('it is not a regular file')
})

test('what is no snapshot is not replaced, and is refused as foreign', () => {
  const path = freshPath()
  writeFileSync(path, 'somebody else wrote this', { mode: 0o600 })
  expect(mayReplace(fs, path)).toBe(false)
  expect(mayReplace(fs, write(undefined))).toBe(true)
  expect(mayReplace(fs, freshPath())).toBe(true)
  expect(() => openSnapshot(fs, path, undefined, OWNERS)).toThrow('it is not a snapshot')
})

/** A file system on which something fails with ENOSPC from the `after`th time on. */
function fullDisk(call: 'writeSync' | 'fsyncSync' | 'renameSync', after: number): FileSystem {
  let count = 0
  const fail = (...args: never[]): unknown => {
    if (++count > after) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    return (fs[call] as (...args: never[]) => unknown)(...args)
  }
  return { ...fs, [call]: fail }
}

test.each([
  ['writeSync', 0],
  ['writeSync', 2],
  ['writeSync', 5],
  ['fsyncSync', 0],
  ['renameSync', 0],
] as const)(
  'a disk that is full (%s, %i) leaves the old file, and nothing of the new one',
  (call, after) => {
    const path = write(undefined)
    const before = readFileSync(path)
    const full = fullDisk(call, after)
    let writer: SnapshotFileWriter | undefined
    expect(() => {
      writer = new SnapshotFileWriter(full, `${path}.new`, undefined)
      for (const chunk of CHUNKS) writer.writeChunk(chunk, chunk.length)
      writer.complete(SUMMARY)
      writer.replace(path)
    }).toThrow('no space')
    writer?.abandon()
    expect(readFileSync(path)).toEqual(before)
    expect(existsSync(`${path}.new`)).toBe(false)
  },
)

test('what the disk says of a piece while others are written costs the file, though fsync at the end says nothing of it', async () => {
  const path = write(undefined)
  const before = readFileSync(path)
  const failing = {
    ...fs,
    fdatasync: (_: number, told: (error: Error) => void) => {
      setImmediate(told, Object.assign(new Error('a bad block'), { code: 'EIO' }))
    },
  } as unknown as FileSystem
  const writer = new SnapshotFileWriter(failing, `${path}.new`, undefined)
  const chunk = new Uint8Array(CHUNK_BYTES_MAX)
  const count = Math.ceil(SYNCED_BYTES / CHUNK_BYTES_MAX)
  for (let index = 0; index < count; index++) writer.writeChunk(chunk, chunk.length)
  expect(writer.isSyncing).toBe(true)
  writer.complete(SUMMARY)
  while (writer.isSyncing) await nextTurn()
  expect(() => writer.replace(path)).toThrow('a bad block')
  writer.abandon()
  expect(readFileSync(path)).toEqual(before)
  expect(existsSync(`${path}.new`)).toBe(false)
})

test('a file that the system tells of once more as it is closed is given up like any other', () => {
  const path = freshPath()
  const remote: FileSystem = {
    ...fs,
    closeSync: (fd) => {
      fs.closeSync(fd)
      throw Object.assign(new Error('no space'), { code: 'EDQUOT' })
    },
  }
  const writer = new SnapshotFileWriter(remote, `${path}.new`, undefined)
  writer.abandon()
  expect(existsSync(`${path}.new`)).toBe(false)
  // What was to stay is not taken to be there.
  const other = new SnapshotFileWriter(remote, `${path}.new`, undefined)
  other.complete(SUMMARY)
  expect(() => other.replace(path)).toThrow('no space')
  other.abandon()
  expect([existsSync(path), existsSync(`${path}.new`)]).toEqual([false, false])
})

test('a write that takes a part is gone on with', () => {
  const path = freshPath()
  const slow: FileSystem = {
    ...fs,
    writeSync: ((fd: number, bytes: Uint8Array, offset: number, length: number) =>
      fs.writeSync(fd, bytes, offset, Math.min(length, 7))) as typeof fs.writeSync,
  }
  const writer = new SnapshotFileWriter(slow, `${path}.new`, KEY)
  for (const chunk of CHUNKS) writer.writeChunk(chunk, chunk.length)
  writer.complete(SUMMARY)
  writer.replace(path)
  expect(read(path, KEY)).toEqual(WHOLE)
})

test('a new file is not written through a link that somebody put there', () => {
  const path = freshPath()
  const target = freshPath()
  symlinkSync(target, `${path}.new`)
  expect(() => new SnapshotFileWriter(fs, `${path}.new`, undefined)).toThrow('EEXIST')
  expect(existsSync(target)).toBe(false)
})
