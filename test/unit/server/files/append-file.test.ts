import {
  closeSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
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

test('nothing is written through a symbolic link, neither at first nor after a rename', () => {
  const [path, other] = [newPath(), newPath()]
  writeFileSync(other, 'of somebody else\n')
  symlinkSync(other, path)
  expect(() => new AppendFile(path)).toThrow('symbolic link')
  rmSync(path)
  const file = new AppendFile(path)
  renameSync(path, `${path}.1`)
  symlinkSync(other, path)
  expect(file.reopen()).toBe(false)
  expect(file.append('one\n')).toBe(true)
  file.close()
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('one\n')
  expect(readFileSync(other, 'utf8')).toBe('of somebody else\n')
})

test('a file with a second name is given to nobody', () => {
  const [path, other] = [newPath(), newPath()]
  writeFileSync(other, 'of somebody else\n')
  linkSync(other, path)
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  expect(() => new AppendFile(path, owner)).toThrow('another name')
  // Who stays who it is may write where it can.
  new AppendFile(path).close()
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

test('one that the system does not know any more is taken for moved', () => {
  const path = newPath()
  const file = new AppendFile(path)
  // As where a server of files has removed it: nothing can be asked of the descriptor, nor can it be closed.
  closeSync((file as unknown as { readonly fd: number }).fd)
  expect(file.isMoved).toBe(true)
  expect(file.append('lost\n')).toBe(false)
  file.close()
  expect(file.isMoved).toBe(false)
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
