/** Chunks of a snapshot: believed as they were sealed, in their place, and not otherwise. */
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  createSnapshotHeader,
  LAST_CHUNK,
  readSnapshotKey,
  refusalOfHeader,
  SnapshotKeyError,
  SnapshotSeal,
} from '../../../src/credential/snapshot-seal.ts'

const KEY = new Uint8Array(32).fill(7)
const CHUNK = Buffer.from('what is to be kept')

const directory = mkdtempSync(join(tmpdir(), 'saslcached-seal-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe.each([
  ['with a key', KEY],
  ['without one', undefined],
])('%s', (_, key) => {
  const header = createSnapshotHeader(key !== undefined)
  const seal = new SnapshotSeal(header, key)

  test('a chunk is opened as it was sealed', () => {
    const sealed = seal.seal(3, CHUNK)
    expect(Buffer.from(seal.open(3, sealed.bytes, sealed.seal) ?? [])).toEqual(CHUNK)
  })

  test('no changed bit of it, or of its seal, is believed', () => {
    const { bytes, seal: tag } = seal.seal(3, CHUNK)
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const changed = bytes.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(seal.open(3, changed, tag)).toBeUndefined()
    }
    for (let bit = 0; bit < 8 * tag.length; bit++) {
      const changed = tag.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(seal.open(3, bytes, changed)).toBeUndefined()
    }
  })

  test('nor a part of it, nor in another place, at the end, or in another file', () => {
    const { bytes, seal: tag } = seal.seal(3, CHUNK)
    expect(seal.open(3, bytes.subarray(1), tag)).toBeUndefined()
    expect(seal.open(2, bytes, tag)).toBeUndefined()
    expect(seal.open(LAST_CHUNK, bytes, tag)).toBeUndefined()
    const other = new SnapshotSeal(createSnapshotHeader(key !== undefined), key)
    expect(other.open(3, bytes, tag)).toBeUndefined()
  })

  test('the header is a part of it: no changed byte of that is believed', () => {
    const { bytes, seal: tag } = seal.seal(0, CHUNK)
    for (let at = 0; at < header.length; at++) {
      const changed = header.slice()
      changed[at]! ^= 1
      const isRefused = refusalOfHeader(changed, key !== undefined) !== undefined
      expect(isRefused || new SnapshotSeal(changed, key).open(0, bytes, tag) === undefined).toBe(
        true,
      )
    }
  })
})

test('with a key nothing of the chunk is in what is written, and nothing of it repeats', () => {
  const zeros = new Uint8Array(64)
  const header = createSnapshotHeader(true)
  const seals = [new SnapshotSeal(header, KEY), new SnapshotSeal(createSnapshotHeader(true), KEY)]
  const written = seals.flatMap((seal) =>
    [0, 1, LAST_CHUNK].map((number) => Buffer.from(seal.seal(number, zeros).bytes).toString('hex')),
  )
  expect(new Set(written).size).toBe(6)
  expect(written.join('')).not.toContain('00000000')
})

test('what was sealed with another key is not opened', () => {
  const header = createSnapshotHeader(true)
  const { bytes, seal } = new SnapshotSeal(header, KEY).seal(0, CHUNK)
  expect(new SnapshotSeal(header, new Uint8Array(32)).open(0, bytes, seal)).toBeUndefined()
})

test.each([
  [
    'a file of something else',
    Buffer.from('#!/bin/sh\n'.padEnd(64)),
    false,
    'it is not a snapshot',
  ],
  ['an empty file', Buffer.alloc(0), false, 'it is not a snapshot'],
  ['a file that is cut off', createSnapshotHeader(false).subarray(0, 40), false, 'it is cut off'],
  ['a later version', withByte(8, 2), false, 'it is of version 2, and this server reads version 1'],
  ['unknown flags', withByte(12, 2), false, 'its header is damaged'],
  ['an encrypted one without a key', createSnapshotHeader(true), false, /it is encrypted/],
  [
    'one in the clear where there is a key',
    createSnapshotHeader(false),
    true,
    /it is not encrypted/,
  ],
])('%s is refused with a reason', (_, header, hasKey, reason) => {
  expect(refusalOfHeader(header, hasKey)).toMatch(reason)
})

function withByte(at: number, byte: number): Uint8Array {
  const header = createSnapshotHeader(false)
  header[at] = byte
  return header
}

describe('a key file', () => {
  const file = (content: string | Uint8Array, mode = 0o600): string => {
    const path = join(directory, `key-${Math.random()}`)
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }
  const bytes = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index))

  test.each([
    ['hexadecimal', `${bytes.toString('hex')}\n`],
    ['base64', `${bytes.toString('base64')}\n`],
    ['bytes', bytes],
  ])('may be %s', (_, content) => {
    expect(Buffer.from(readSnapshotKey(file(content)))).toEqual(bytes)
  })

  test('may be a link, as secrets are mounted, and may be read by its group', () => {
    const path = join(directory, 'link')
    symlinkSync(file(bytes, 0o440), path)
    expect(Buffer.from(readSnapshotKey(path))).toEqual(bytes)
  })

  test.each([
    ['can be read by others', () => file(bytes, 0o604), /chmod 600/],
    ['can be written by its group', () => file(bytes, 0o620), /chmod 600/],
    ['is too short', () => file(bytes.subarray(1)), /openssl rand -hex 32/],
    ['is empty', () => file(''), /openssl rand -hex 32/],
    ['is too long', () => file(`${bytes.toString('hex')}00`), /openssl rand -hex 32/],
    ['is a folder', () => directory, /not a regular file|cannot be read/],
    ['is not there', () => join(directory, 'none'), /ENOENT/],
  ])('that %s is refused, without its content', (_, make, reason) => {
    const read = (): unknown => readSnapshotKey(make())
    expect(read).toThrow(SnapshotKeyError)
    expect(read).toThrow(reason)
  })
})
