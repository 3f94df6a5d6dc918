import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { AppendFile } from '../../../../src/server/files/append-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'append-file-'))
let count = 0
const newPath = (): string => join(directory, `file${count++}`)

afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('a new file is for its owner alone, and lines go behind what is there', () => {
  const path = newPath()
  const file = new AppendFile(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(file.append('one\n')).toBe(true)
  writeFileSync(path, 'from elsewhere\n', { flag: 'a' })
  expect(file.append('two\n')).toBe(true)
  file.close()
  expect(readFileSync(path, 'utf8')).toBe('one\nfrom elsewhere\ntwo\n')
})

test('a full disk is told, and costs no more than its line', () => {
  const file = new AppendFile('/dev/full')
  expect(file.append('one\n')).toBe(false)
  expect(file.append('two\n')).toBe(false)
  file.close()
})

test.each(['renamed', 'removed'])('a file that was %s is noticed and made anew', (what) => {
  const path = newPath()
  const file = new AppendFile(path)
  file.append('one\n')
  expect(file.isMoved).toBe(false)
  if (what === 'renamed') renameSync(path, `${path}.1`)
  else rmSync(path)
  expect(file.isMoved).toBe(true)
  // Still written to until it is opened again: nothing is lost between.
  expect(file.append('two\n')).toBe(true)
  expect(file.reopen()).toBe(true)
  expect(file.isMoved).toBe(false)
  expect(file.append('three\n')).toBe(true)
  expect(readFileSync(path, 'utf8')).toBe('three\n')
  if (what === 'renamed') expect(readFileSync(`${path}.1`, 'utf8')).toBe('one\ntwo\n')
  file.close()
})

test('behind a line that broke off before it was opened, the next begins one', () => {
  const path = newPath()
  writeFileSync(path, 'whole\ntor')
  const file = new AppendFile(path)
  file.append('one\n')
  file.append('two\n')
  renameSync(path, `${path}.1`)
  writeFileSync(path, 'n')
  expect(file.reopen()).toBe(true)
  file.append('three\n')
  file.close()
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('whole\ntor\none\ntwo\n')
  expect(readFileSync(path, 'utf8')).toBe('n\nthree\n')
})

test('where it cannot be opened again the old one is written on', () => {
  const path = newPath()
  const file = new AppendFile(path)
  rmSync(path)
  rmSync(directory, { recursive: true })
  expect(file.reopen()).toBe(false)
  expect(file.append('one\n')).toBe(true)
  expect(existsSync(path)).toBe(false)
  file.close()
  expect(file.append('two\n')).toBe(false)
})
