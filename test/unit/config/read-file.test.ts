/** The small files of a configuration: what is not a plain file neither blocks the start nor passes. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { readSmallFile } from '../../../src/config/read-file.ts'

/** That it is read to the end is what counts, however long the writer is kept from it. */
const PATIENT_MS = 20_000

let directory = ''
let path = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-read-'))
  path = join(directory, 'small')
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

function makePipe(): void {
  expect(spawnSync('mkfifo', [path]).status).toBe(0)
}

test('a pipe that nobody writes into is refused at once', () => {
  makePipe()
  expect(readSmallFile(path, 100)).toEqual({
    kind: 'unreadable',
    why: 'is a pipe that nobody writes into',
  })
})

test('a pipe whose writer says nothing is not waited for without end', () => {
  makePipe()
  const writer = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  onTestFinished(() => closeSync(writer))
  expect(readSmallFile(path, 100, 1)).toEqual({
    kind: 'unreadable',
    why: 'is a pipe without an end after 1 ms',
  })
})

test('a pipe that somebody writes into is read to its end, however slow', async () => {
  makePipe()
  // What a pipe holds is lost when nobody has it open: on a busy machine the writer may be gone by the
  // time that we read.
  const keeper = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const script = 'echo one; sleep 0.1; echo two'
  const writer = spawn('sh', ['-c', `exec > "$1"; echo > "$2"; ${script}`, '', path, `${path}.up`])
  onTestFinished(() => void writer.kill())
  while (spawnSync('test', ['-e', `${path}.up`]).status !== 0);
  expect(readSmallFile(path, 100, PATIENT_MS)).toEqual({ kind: 'text', text: 'one\ntwo\n' })
  closeSync(keeper)
  if (writer.exitCode === null) await once(writer, 'exit')
})

test.each([
  ['a directory', () => mkdirSync(path), 'cannot be read: it is a directory'],
  ['a device', () => symlinkSync('/dev/zero', path), 'cannot be read: it is a device'],
  [
    'longer than there may be',
    () => writeFileSync(path, 'x'.repeat(101)),
    'is longer than 100 bytes',
  ],
  ['not UTF-8', () => writeFileSync(path, Buffer.from([0xff])), 'is not UTF-8 text'],
])('what is %s is refused with a reason', (_, make, why) => {
  make()
  expect(readSmallFile(path, 100)).toEqual({ kind: 'unreadable', why })
})

test('a file that is not there is missing, and /dev/null is empty', () => {
  expect(readSmallFile(path, 100)).toMatchObject({ kind: 'missing' })
  expect(readSmallFile('/dev/null', 100)).toEqual({ kind: 'text', text: '' })
})
