/** The tables of SASLprep: of every code point what the saslprep package's own module says, and shared between threads. */
import { createRequire } from 'node:module'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { expect, test } from 'vitest'
import {
  CodePoints,
  type CodePointTables,
  LEFT_TO_RIGHT,
  REFUSED,
  RIGHT_TO_LEFT,
  readTables,
  TO_NOTHING,
  TO_SPACE,
} from '../../../src/credential/code-points.ts'

const CODE_POINTS = 0x110000

interface Bitfield {
  get(index: number): boolean
}

const require = createRequire(import.meta.url)
const tables = require('saslprep/lib/memory-code-points.js') as Record<string, Bitfield>
const FLAGS: Readonly<Record<string, number>> = {
  unassigned_code_points: REFUSED,
  commonly_mapped_to_nothing: TO_NOTHING,
  non_ASCII_space_characters: TO_SPACE,
  prohibited_characters: REFUSED,
  bidirectional_r_al: RIGHT_TO_LEFT,
  bidirectional_l: LEFT_TO_RIGHT,
}

function flagsByPackage(codePoint: number): number {
  let flags = 0
  for (const [name, flag] of Object.entries(FLAGS)) {
    if (tables[name]?.get(codePoint) === true) flags |= flag
  }
  return flags
}

test('every code point has the flags of the package', () => {
  expect(Object.keys(tables).sort()).toEqual(Object.keys(FLAGS).sort())
  const codePoints = new CodePoints(readTables())
  const others: number[] = []
  for (let codePoint = 0; codePoint < CODE_POINTS; codePoint++) {
    if (codePoints.flagsOf(codePoint) !== flagsByPackage(codePoint)) others.push(codePoint)
  }
  expect(others).toEqual([])
})

test('another thread is given the same memory', () => {
  const read = readTables()
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(read)
  const received = receiveMessageOnPort(port2) as { readonly message: CodePointTables }
  port1.close()
  read.blocks[1] = 0xffff
  read.pages[0] = 0xff
  expect([received.message.blocks[1], received.message.pages[0]]).toEqual([0xffff, 0xff])
})
