/** Whose a snapshot file is, and what becomes of its names. */
import fs, {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { FileSystem } from '../../../../src/server/files/snapshot-file.ts'
import { SnapshotInUse, SnapshotPlace } from '../../../../src/server/files/snapshot-place.ts'

const directory = mkdtempSync(join(tmpdir(), 'saslcached-place-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let count = 0

function freshPath(): string {
  return join(directory, `snapshot${count++}`)
}

/** The lock of another process: its number, and what else is not as in ours. */
function lockOf(path: string, change: Record<string, unknown>): void {
  new SnapshotPlace(fs, path).lock()
  const holder = JSON.parse(readFileSync(`${path}.lock`, 'utf8')) as Record<string, unknown>
  writeFileSync(`${path}.lock`, JSON.stringify({ ...holder, token: 'other', ...change }))
}

/** This test's parent lives, and its start is known. */
function parent(): { pid: number; started: string } {
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { pid: process.ppid, started: fields[19] ?? '' }
}

test('a process that lives keeps its file, and nothing of it is removed', () => {
  const path = freshPath()
  lockOf(path, parent())
  writeFileSync(`${path}.new`, 'half')
  expect(() => new SnapshotPlace(fs, path).lock()).toThrow(SnapshotInUse)
  expect(() => new SnapshotPlace(fs, path).lock()).toThrow(`process ${process.ppid}`)
  expect(existsSync(`${path}.new`)).toBe(true)
})

test.each([
  ['has ended', { pid: 4_194_305, started: '1' }],
  ['has ended, and whose number is another one now', { ...parent(), started: '1' }],
  ['was of an earlier boot', { ...parent(), boot: 'earlier' }],
  ['is of another container', { ...parent(), pids: 'pid:[1]' }],
  ['had our number, as a container that was restarted has', { pid: process.pid }],
])('the file of a process that %s is taken over, and what it left half done goes', (_, change) => {
  const path = freshPath()
  lockOf(path, change)
  writeFileSync(`${path}.new`, 'half')
  writeFileSync(`${path}.taken`, 'taken')
  const place = new SnapshotPlace(fs, path)
  place.lock()
  expect(place.isLocked).toBe(true)
  expect([existsSync(`${path}.new`), existsSync(`${path}.taken`)]).toEqual([false, false])
  place.release()
  expect(existsSync(`${path}.lock`)).toBe(false)
})

test('who was taken over from notices, and does not remove the lock of the other', () => {
  const path = freshPath()
  const earlier = new SnapshotPlace(fs, path)
  earlier.lock()
  const later = new SnapshotPlace(fs, path)
  later.lock()
  expect([earlier.isLocked, later.isLocked]).toEqual([false, true])
  earlier.release()
  expect(later.isLocked).toBe(true)
})

test.each([
  ['nothing', ''],
  ['no JSON', '{'],
  ['no numbers', '{"pid":"1","started":"","boot":"","pids":""}'],
  ['null', 'null'],
])('a lock that says %s keeps nobody out', (_, content) => {
  const path = freshPath()
  writeFileSync(`${path}.lock`, content)
  const place = new SnapshotPlace(fs, path)
  place.lock()
  expect(place.isLocked).toBe(true)
})

test('a lock that is a link is replaced, not followed', () => {
  const path = freshPath()
  const target = freshPath()
  writeFileSync(target, 'keep')
  symlinkSync(target, `${path}.lock`)
  const place = new SnapshotPlace(fs, path)
  place.lock()
  expect(place.isLocked).toBe(true)
  expect(readFileSync(target, 'utf8')).toBe('keep')
})

test('a lock that cannot be had in the end is said to be in use', () => {
  const path = freshPath()
  writeFileSync(`${path}.lock`, '')
  const stubborn: FileSystem = { ...fs, unlinkSync: () => undefined }
  expect(() => new SnapshotPlace(stubborn, path).lock()).toThrow(SnapshotInUse)
})

test('what may not be taken for good, as its folder cannot be synced, keeps its name', () => {
  const path = freshPath()
  writeFileSync(path, 'snapshot')
  const failing: FileSystem = {
    ...fs,
    fsyncSync: () => {
      throw Object.assign(new Error('a bad block'), { code: 'EIO' })
    },
  }
  expect(() => new SnapshotPlace(failing, path).take()).toThrow('a bad block')
  expect(readFileSync(path, 'utf8')).toBe('snapshot')
  expect(existsSync(`${path}.taken`)).toBe(false)
})

test('of a lock that could not be written nothing is left', () => {
  const path = freshPath()
  const full: FileSystem = {
    ...fs,
    writeSync: (() => {
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    }) as typeof fs.writeSync,
  }
  expect(() => new SnapshotPlace(full, path).lock()).toThrow('no space')
  expect(existsSync(`${path}.lock`)).toBe(false)
})

test('what is taken has no name to be read by, until it is put back', () => {
  const path = freshPath()
  const place = new SnapshotPlace(fs, path)
  place.lock()
  writeFileSync(path, 'snapshot')
  place.take()
  expect(existsSync(path)).toBe(false)
  place.putBack()
  expect(readFileSync(path, 'utf8')).toBe('snapshot')
  place.take()
  place.forget()
  place.putBack()
  expect(existsSync(path)).toBe(false)
})
