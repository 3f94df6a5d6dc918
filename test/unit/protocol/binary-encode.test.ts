import { expect, test } from 'vitest'
import {
  BINARY_RESPONSE_BYTES_MAX,
  writeBinaryResponse,
  writeBinaryStat,
} from '../../../src/protocol/binary/encode.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_INVALID,
  OUTCOME_NO_MEMORY,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  OUTCOME_UNKNOWN_COMMAND,
  Request,
} from '../../../src/protocol/request.ts'
import { VERB_DELETE, VERB_GET, VERB_GET_AND_TOUCH, VERB_SET } from '../../../src/protocol/verbs.ts'
import { parseResponses } from '../../support/binary-frames.ts'

const RESULT = {
  flags: 0xcafe0001,
  casHigh: 0x01020304,
  casLow: 0xf5060708,
  valueBytes: 0,
  numberHigh: 0xffffffff,
  numberLow: 0x80000000,
}
const INPUT = Buffer.from('..the-key..')

function respond(
  fields: Partial<Request>,
  outcome: number,
  result: Partial<typeof RESULT> = {},
): Buffer {
  const request = Object.assign(new Request(), {
    opaque: 0x89abcdef,
    keyOffset: 2,
    keyLength: 7,
    ...fields,
  })
  const bytes = Buffer.alloc(BINARY_RESPONSE_BYTES_MAX + 10)
  const end = writeBinaryResponse(bytes, 5, request, outcome, { ...RESULT, ...result }, INPUT)
  return bytes.subarray(5, end)
}

function only(bytes: Buffer) {
  const { frames, rest } = parseResponses(bytes)
  expect(rest).toHaveLength(0)
  expect(frames).toHaveLength(1)
  return frames[0]!
}

test('a hit carries flags and CAS, and counts the value that the caller appends', () => {
  const bytes = respond({ verb: VERB_GET, opcode: 0x00 }, OUTCOME_HIT, { valueBytes: 3 })
  const frame = only(Buffer.concat([bytes, Buffer.from('abc')]))
  expect(frame).toMatchObject({ magic: 0x81, status: 0, opaque: 0x89abcdef })
  expect(frame.cas).toBe(0x01020304f5060708n)
  expect(frame.extras.readUInt32BE()).toBe(0xcafe0001)
  expect(frame.key).toHaveLength(0)
  expect(frame.value.toString()).toBe('abc')
})

test('a hit that wants the key carries it between flags and value', () => {
  const bytes = respond({ verb: VERB_GET, wantsKey: true }, OUTCOME_HIT, { valueBytes: 1 })
  const frame = only(Buffer.concat([bytes, Buffer.from('v')]))
  expect(frame.key.toString()).toBe('the-key')
  expect(frame.value.toString()).toBe('v')
})

test('a missed GETK says which key was missed', () => {
  const frame = only(respond({ verb: VERB_GET, wantsKey: true }, OUTCOME_NOT_FOUND))
  expect(frame).toMatchObject({ status: 0x01, cas: 0n })
  expect(frame.key.toString()).toBe('the-key')
  expect(frame.value).toHaveLength(0)
})

test('a number is eight big-endian bytes', () => {
  const frame = only(respond({ opcode: 0x05 }, OUTCOME_NUMBER))
  expect(frame.value.readBigUInt64BE()).toBe(0xffffffff80000000n)
})

test('a touch carries the flags and no value', () => {
  const frame = only(respond({ opcode: 0x1c }, OUTCOME_TOUCHED))
  expect(frame.extras.readUInt32BE()).toBe(0xcafe0001)
  expect(frame.value).toHaveLength(0)
})

test.each([
  [OUTCOME_NOT_FOUND, 0x01, 'Not found'],
  [OUTCOME_EXISTS, 0x02, 'Data exists for key.'],
  [OUTCOME_TOO_LARGE, 0x03, 'Too large.'],
  [OUTCOME_INVALID, 0x04, 'Invalid arguments'],
  [OUTCOME_NOT_STORED, 0x05, 'Not stored.'],
  [OUTCOME_NON_NUMERIC, 0x06, 'Non-numeric server-side value for incr or decr'],
  [OUTCOME_REFUSED, 0x20, 'Auth failure.'],
  [OUTCOME_UNKNOWN_COMMAND, 0x81, 'Unknown command'],
  [OUTCOME_NO_MEMORY, 0x82, 'Out of memory allocating item'],
])('outcome %i is status %i with its text, quiet or not', (outcome, status, text) => {
  for (const quiet of [false, true]) {
    const frame = only(respond({ verb: VERB_SET, quiet }, outcome))
    expect(frame).toMatchObject({ status, cas: 0n, opaque: 0x89abcdef })
    expect(frame.value.toString()).toBe(text)
    expect(frame.extras).toHaveLength(0)
    expect(frame.key).toHaveLength(0)
  }
})

test('quiet hides the success of a mutation and the miss of a get, and nothing else', () => {
  expect(respond({ verb: VERB_SET, quiet: true }, OUTCOME_OK)).toHaveLength(0)
  expect(respond({ verb: VERB_DELETE, quiet: true }, OUTCOME_OK)).toHaveLength(0)
  expect(respond({ quiet: true }, OUTCOME_NUMBER)).toHaveLength(0)
  expect(respond({ verb: VERB_GET, quiet: true }, OUTCOME_NOT_FOUND)).toHaveLength(0)
  expect(respond({ verb: VERB_GET_AND_TOUCH, quiet: true }, OUTCOME_NOT_FOUND)).toHaveLength(0)
  expect(respond({ verb: VERB_DELETE, quiet: true }, OUTCOME_NOT_FOUND)).not.toHaveLength(0)
  expect(respond({ verb: VERB_GET, quiet: true }, OUTCOME_HIT)).not.toHaveLength(0)
})

test('no response without a value needs more room than the dialect reserves', () => {
  const longest = respond(
    { verb: VERB_GET, wantsKey: true, keyOffset: 0, keyLength: 250 },
    OUTCOME_HIT,
    { valueBytes: 0 },
  )
  expect(longest.length).toBeLessThanOrEqual(BINARY_RESPONSE_BYTES_MAX)
})

test('a statistic has its name as key and its value as value', () => {
  const bytes = Buffer.alloc(200)
  const request = Object.assign(new Request(), { opcode: 0x10, opaque: 1 })
  const end = writeBinaryStat(bytes, 0, request, Buffer.from('pid'), Buffer.from('42'))
  const frame = only(bytes.subarray(0, end))
  expect(frame.key.toString()).toBe('pid')
  expect(frame.value.toString()).toBe('42')
})
