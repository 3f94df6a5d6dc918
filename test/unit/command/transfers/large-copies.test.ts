/** Large values copied piece by piece: how a copy begins, is taken, begins anew, and is given back once. */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type CopyMemory, LargeCopies } from '../../../../src/command/transfers/large-copies.ts'
import { OUTCOME_HIT, OUTCOME_OK, Request } from '../../../../src/protocol/request.ts'
import { VERB_GET } from '../../../../src/protocol/verbs.ts'
import { WriteOrder } from '../../../../src/storage/write-order.ts'
import {
  createManualServer,
  MANUAL_NOW,
  type ManualServer,
} from '../../../support/manual-server.ts'

const MEBIBYTE = 1024 * 1024
const VALUE_BYTES = 3 * MEBIBYTE
const KEY = Buffer.from('large')
const CALLER = { isOpen: true, restriction: undefined, namespace: 0 }
/** The value, and room for a line end. */
const COPY_BYTES = VALUE_BYTES + 2

class Memory implements CopyMemory {
  isCrowded = false
  held = 0
  readonly heldFor: Map<number, number> = new Map()
  refusals = 0
  room: number

  constructor(room: number) {
    this.room = room
  }

  hasRoomFor(bytes: number): boolean {
    return this.held + bytes <= this.room
  }

  hold(bytes: number, namespace: number): void {
    this.held += bytes
    this.heldFor.set(namespace, (this.heldFor.get(namespace) ?? 0) + bytes)
  }

  letGo(bytes: number, namespace: number): void {
    this.hold(-bytes, namespace)
  }

  refuse(): void {
    this.refusals++
  }
}

function put({ store }: ManualServer, letter: string): void {
  const value = Buffer.alloc(VALUE_BYTES, letter)
  const order = new WriteOrder()
  order.setKey(KEY, 0, 5)
  order.setValue(value, 0, value.length)
  order.nowSeconds = MANUAL_NOW
  store.write(order)
}

interface Fixture {
  readonly server: ManualServer
  readonly memory: Memory
  readonly copies: LargeCopies
}

function fixture(room: number): Fixture {
  const server = createManualServer({ memoryBytes: 32 * MEBIBYTE, itemBytesMax: 8 * MEBIBYTE })
  put(server, 'a')
  const memory = new Memory(room)
  const { commands } = server
  const options = { valueBytesMax: 8 * MEBIBYTE, crowdedBytesMin: 128 * 1024, memory }
  return { server, memory, copies: new LargeCopies(commands, options) }
}

function get({ commands }: ManualServer): number {
  const request = new Request()
  request.verb = VERB_GET
  request.keyLength = KEY.length
  return commands.execute(request, KEY, CALLER)
}

test('a copy is complete after as many turns as it has pieces, and is taken for what was found', async () => {
  const { server, memory, copies } = fixture(10 * MEBIBYTE)
  const { commands } = server
  let read = copies.prepare(undefined, KEY, 0, 5, CALLER)
  let turns = 1
  for (; read?.isUnderWay; turns++) read = copies.prepare(read, KEY, 0, 5, CALLER)
  expect(turns).toBe(VALUE_BYTES / (512 * 1024))
  expect(memory.held).toBe(COPY_BYTES)
  expect(get(server)).toBe(OUTCOME_HIT)
  const copy = read?.take(commands)
  commands.result.release()
  expect(copy?.withEnd(Buffer.from('\r\n')).length).toBe(COPY_BYTES)
  // It is not the read's any more.
  read?.cancel()
  await nextTurn()
  expect(memory.held).toBe(COPY_BYTES)
  copy?.giveBack()
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  expect(memory.held).toBe(0)
})

test('an item that changes is copied anew, three times at most, and nothing stays held', async () => {
  const { server, memory, copies } = fixture(100 * MEBIBYTE)
  let read = copies.prepare(undefined, KEY, 0, 5, CALLER)
  for (const letter of 'bcd') {
    expect(read?.isUnderWay).toBe(true)
    put(server, letter)
    read = copies.prepare(read, KEY, 0, 5, CALLER)
  }
  expect(read).toBe(undefined)
  for (let turn = 0; turn < 10; turn++) await nextTurn()
  expect(memory.held).toBe(0)
})

test('a copy of what is not there any more is not taken', () => {
  const { server, copies } = fixture(10 * MEBIBYTE)
  let read = copies.prepare(undefined, KEY, 0, 5, CALLER)
  while (read?.isUnderWay) read = copies.prepare(read, KEY, 0, 5, CALLER)
  put(server, 'b')
  expect(get(server)).toBe(OUTCOME_HIT)
  expect(read?.take(server.commands)).toBe(undefined)
  server.commands.result.release()
})

test('without memory a read is refused, or waits for what is on its way back', async () => {
  const { memory, copies } = fixture(COPY_BYTES)
  const first = copies.prepare(undefined, KEY, 0, 5, CALLER)
  const second = copies.prepare(undefined, KEY, 0, 5, CALLER)
  expect([second?.isRefused, second?.isUnderWay, memory.refusals]).toEqual([true, false, 1])
  first?.cancel()
  const third = copies.prepare(undefined, KEY, 0, 5, CALLER)
  expect([third?.isRefused, third?.isUnderWay, memory.held]).toEqual([false, true, COPY_BYTES])
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  expect(memory.held).toBe(0)
  expect(copies.prepare(third, KEY, 0, 5, CALLER)).toBe(third)
  expect(memory.held).toBe(COPY_BYTES)
  third?.cancel()
  third?.cancel()
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  expect(memory.held).toBe(0)
})

test('a copy is held for the namespace of its reader, also on its way back', async () => {
  const { memory, copies } = fixture(COPY_BYTES)
  const read = copies.prepare(undefined, KEY, 0, 5, CALLER)
  expect(memory.heldFor).toEqual(new Map([[CALLER.namespace, COPY_BYTES]]))
  read?.cancel()
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  expect(memory.heldFor).toEqual(new Map([[CALLER.namespace, 0]]))
})

test('a stranger has nothing copied', () => {
  const { server, memory, copies } = fixture(10 * MEBIBYTE)
  expect(copies.prepare(undefined, KEY, 0, 5, { ...CALLER, isOpen: false })).toBe(undefined)
  expect(memory.held).toBe(0)
  expect(get(server)).not.toBe(OUTCOME_OK)
  server.commands.result.release()
})
