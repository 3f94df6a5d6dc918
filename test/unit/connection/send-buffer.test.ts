import { expect, test } from 'vitest'
import { SEND_BUFFER_BYTES, SendBuffer } from '../../../src/connection/send-buffer.ts'

function write(buffer: SendBuffer, text: string): void {
  buffer.used += buffer.bytes.write(text, buffer.used, 'latin1')
}

test('what was written is taken once, at every length around that of the views that are kept', () => {
  const buffer = new SendBuffer()
  for (const length of [1, 2, 4095, 4096, 4097, SEND_BUFFER_BYTES]) {
    for (const letter of ['a', 'b']) {
      write(buffer, letter.repeat(length))
      expect(Buffer.from(buffer.take()).toString()).toBe(letter.repeat(length))
      expect(buffer.used).toBe(0)
    }
  }
})

test('a copy stays what it was, and so does what was taken from memory that was left to it', () => {
  const buffer = new SendBuffer()
  write(buffer, 'first')
  const copy = buffer.takeCopy()
  write(buffer, 'second')
  const taken = buffer.take()
  buffer.replace()
  write(buffer, 'third!')
  expect(Buffer.from(copy).toString()).toBe('first')
  expect(Buffer.from(taken).toString()).toBe('second')
  expect(Buffer.from(buffer.take()).toString()).toBe('third!')
})

test('a reply that was written beyond the end is noticed before it is sent', () => {
  for (const take of ['take', 'takeCopy'] as const) {
    const buffer = new SendBuffer()
    buffer.used = SEND_BUFFER_BYTES + 1
    expect(() => buffer[take]()).toThrow('assertion failed')
  }
})
