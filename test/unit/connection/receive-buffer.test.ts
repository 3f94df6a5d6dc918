import { expect, test } from 'vitest'
import { ReceiveBuffer } from '../../../src/connection/receive-buffer.ts'

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + seed) & 0xff)
}

function held(buffer: ReceiveBuffer): Uint8Array {
  return Uint8Array.from(buffer.bytes.subarray(buffer.start, buffer.end))
}

test('keeps what is appended in order, whatever is consumed in between', () => {
  const buffer = new ReceiveBuffer()
  let expected = new Uint8Array(0)
  for (let round = 0; round < 200; round++) {
    const piece = pattern(1 + ((round * 7919) % 5000), round)
    buffer.append(piece, 0, piece.length, 0)
    expected = Uint8Array.from([...expected, ...piece])
    const consumed = (round * 104729) % (expected.length + 1)
    buffer.consume(consumed)
    expected = expected.slice(consumed)
    expect(held(buffer)).toEqual(expected)
  }
})

test('gives its memory to the next connection when it runs empty', () => {
  const first = new ReceiveBuffer()
  first.append(pattern(70_000, 1), 0, 70_000, 0)
  const memory = first.bytes.buffer
  first.consume(70_000)
  expect(first.capacity).toBe(0)

  const second = new ReceiveBuffer()
  second.append(pattern(66_000, 2), 0, 66_000, 0)
  expect(second.bytes.buffer).toBe(memory)
})

test('never shares memory with a connection that still holds some', () => {
  const buffers = Array.from({ length: 40 }, () => new ReceiveBuffer())
  for (const round of [0, 1, 2]) {
    for (const [index, buffer] of buffers.entries()) {
      buffer.append(pattern(600 + index, index + round), 0, 600 + index, 0)
    }
    for (const [index, buffer] of buffers.entries()) {
      expect(held(buffer)).toEqual(pattern(600 + index, index + round))
      buffer.consume(buffer.length)
    }
  }
})

test('of a large value keeps no more than it was told will come', () => {
  const buffer = new ReceiveBuffer()
  for (let arrived = 0; arrived < 3_000_000; arrived += 50_000) {
    buffer.append(pattern(50_000, 0), 0, 50_000, 3_000_000)
  }
  expect(buffer.length).toBe(3_000_000)
  expect(buffer.capacity).toBe(3_000_000)
})

test('one value of a megabyte after the other is received in the same memory', () => {
  const memories = new Set<ArrayBufferLike>()
  const piece = pattern(50_000, 0)
  for (let value = 0; value < 5; value++) {
    const buffer = new ReceiveBuffer()
    for (let arrived = 0; arrived < 1_000_000; arrived += 50_000) {
      buffer.append(piece, 0, piece.length, 1_000_000)
      memories.add(buffer.bytes.buffer)
    }
    expect(buffer.length).toBe(1_000_000)
    buffer.consume(buffer.length)
  }
  // 64 KiB, and each power of two from there to the megabyte.
  expect(memories.size).toBeLessThanOrEqual(5)
})

test('of memory that many connections gave back at once, little is kept', () => {
  const buffers = Array.from({ length: 10 }, () => new ReceiveBuffer())
  const piece = pattern(900_000, 0)
  for (const buffer of buffers) buffer.append(piece, 0, piece.length, 1_000_000)
  const memories = new Set(buffers.map(({ bytes }) => bytes.buffer))
  for (const buffer of buffers) buffer.clear()
  for (const buffer of buffers) buffer.append(piece, 0, piece.length, 1_000_000)
  const again = buffers.filter(({ bytes }) => memories.has(bytes.buffer))
  expect(again).toHaveLength(2)
})

test('does not let more be consumed than was received', () => {
  const buffer = new ReceiveBuffer()
  buffer.append(pattern(100, 1), 0, 100, 0)
  expect(() => buffer.consume(101)).toThrow('assertion failed')
  const other = new ReceiveBuffer()
  other.append(pattern(100, 1), 0, 100, 0)
  expect(() => other.consume(-1)).toThrow('assertion failed')
})

test('keeps its watermarks in order, whatever comes and goes', () => {
  const buffer = new ReceiveBuffer()
  for (let round = 0; round < 500; round++) {
    const length = 1 + ((round * 7919) % 3000)
    buffer.append(pattern(length, round), 0, length, round % 3 === 0 ? 4096 : 0)
    expect(buffer.start).toBeLessThanOrEqual(buffer.end)
    expect(buffer.end).toBeLessThanOrEqual(buffer.capacity)
    buffer.consume((round * 31) % (buffer.length + 1))
    expect(buffer.start).toBeLessThanOrEqual(buffer.end)
  }
})
