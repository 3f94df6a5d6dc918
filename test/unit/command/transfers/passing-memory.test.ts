import { expect, test } from 'vitest'
import { PassingMemory } from '../../../../src/command/transfers/passing-memory.ts'

const MIB = 1024 * 1024

test('what was put in pieces is there to be sent in one', () => {
  const memory = new PassingMemory(10)
  memory.put(Uint8Array.of(1, 2, 3), 0)
  memory.put(Uint8Array.of(4, 5), 3)
  memory.put(Uint8Array.of(9), 9)
  expect([...memory.first(5)]).toEqual([1, 2, 3, 4, 5])
  expect(memory.first(10)[9]).toBe(9)
})

test('a view of memory that is given back has no bytes left to show', () => {
  const memory = new PassingMemory(3 * MIB)
  const sent = memory.first(3 * MIB)
  expect(memory.shrink(2 * MIB)).toBe(2 * MIB)
  expect(memory.heldBytes).toBe(MIB)
  expect(sent.length).toBe(0)
  expect(memory.shrink(2 * MIB)).toBe(MIB)
  expect(memory.shrink(2 * MIB)).toBe(0)
  expect(memory.heldBytes).toBe(0)
  expect(sent.buffer.byteLength).toBe(0)
})
