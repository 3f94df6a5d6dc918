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
  for (let arrived = 0; arrived < 1_000_000; arrived += 50_000) {
    buffer.append(pattern(50_000, 0), 0, 50_000, 1_000_000)
  }
  expect(buffer.length).toBe(1_000_000)
  expect(buffer.capacity).toBe(1_000_000)
})
