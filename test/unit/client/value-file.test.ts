import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readValueFile } from '../../../src/client/value-file.ts'

test('a file becomes a value, and one that cannot be read is told of in words', () => {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-value-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'value')
  expect(() => readValueFile(path)).toThrow(`${path} cannot be read: no such file`)
  expect(() => readValueFile(join(directory, 'a'.repeat(300)))).toThrow('the name is too long')
  writeFileSync(path, 'bytes')
  expect(readValueFile(path).toString()).toBe('bytes')
  expect(() => readValueFile(join(path, 'x'))).toThrow('a part of the path is not a directory')
  mkdirSync(join(directory, 'folder'))
  expect(() => readValueFile(join(directory, 'folder'))).toThrow('is not a regular file')
})
