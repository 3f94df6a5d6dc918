/** The meta decoder: flags, their values, and what is wrong with them. */

import { expect, test } from 'vitest'
import { decodeBase64Key } from '../../../src/protocol/meta/base64.ts'
import {
  FLAG_C,
  FLAG_K,
  FLAG_N,
  FLAG_Q,
  FLAG_T,
  FLAG_V,
} from '../../../src/protocol/meta/decode.ts'
import {
  DECODED,
  INCOMPLETE,
  OVERSIZE,
  Request,
  WRONG_LINE,
} from '../../../src/protocol/request.ts'
import { decodeLine } from '../../../src/protocol/text/decode.ts'
import { EXPIRY_IN_THE_PAST } from '../../../src/protocol/text/number.ts'
import { PROBLEM_LINES } from '../../../src/protocol/text/problems.ts'
import { scanLine } from '../../../src/protocol/text/scan.ts'
import {
  VERB_META_ARITHMETIC,
  VERB_META_DEBUG,
  VERB_META_DELETE,
  VERB_META_GET,
  VERB_META_NOOP,
  VERB_META_SET,
} from '../../../src/protocol/verbs.ts'

function decode(text: string): { result: number; request: Request } {
  const bytes = Buffer.from(`##${text}`, 'latin1')
  const request = new Request()
  if (!scanLine(bytes, 2, bytes.length, request)) return { result: INCOMPLETE, request }
  return { result: decodeLine(bytes, 2, bytes.length, 100, 100, request), request }
}

test.each([
  ['mg k\r\n', VERB_META_GET],
  ['ms k 2\r\nhi\r\n', VERB_META_SET],
  ['md k\r\n', VERB_META_DELETE],
  ['ma k\r\n', VERB_META_ARITHMETIC],
  ['me k\r\n', VERB_META_DEBUG],
  ['mn\r\n', VERB_META_NOOP],
])('%j is its verb, and the frame is all of it', (text, verb) => {
  const { result, request } = decode(text)
  expect(result).toBe(DECODED)
  expect(request.verb).toBe(verb)
  expect(request.frameBytes).toBe(text.length)
})

test('flags are sets of letters, and numbers stand behind theirs', () => {
  const { result, request } = decode(
    'mg key v q k T30 N-1 C18446744073709551615 E281474976710655\r\n',
  )
  expect(result).toBe(DECODED)
  expect(request.lowerFlags).toBe(FLAG_V | FLAG_Q | FLAG_K)
  expect(request.upperFlags & (FLAG_T | FLAG_N | FLAG_C)).toBe(FLAG_T | FLAG_N | FLAG_C)
  expect(request).toMatchObject({
    quiet: true,
    expiry: 30,
    vivifyExpiry: EXPIRY_IN_THE_PAST,
    casHigh: 0xffffffff,
    casLow: 0xffffffff,
    newCasHigh: 0xffff,
    newCasLow: 0xffffffff,
  })
})

test('what a request does not say is what the command assumes, whatever came before', () => {
  const { request } = decode('ma k\r\n')
  expect(request).toMatchObject({ deltaHigh: 0, deltaLow: 1, initialLow: 0, mode: 0, expiry: 0 })
})

test('a base64 key is decoded aside and the line is left as it was', () => {
  const { result, request } = decode('mg Zm9vAA== b\r\n')
  expect(result).toBe(DECODED)
  expect(request.hasBinaryKey).toBe(true)
  expect(Buffer.from(request.binaryKey.subarray(0, request.keyLength))).toEqual(
    Buffer.from('foo\0'),
  )
})

const FORMAT = 'CLIENT_ERROR bad command line format\r\n'
const TOKEN = 'CLIENT_ERROR bad token in command line format\r\n'

test.each([
  ['mg\r\n', FORMAT],
  ['mx k\r\n', 'ERROR\r\n'],
  ['ms k\r\n', FORMAT],
  ['ms k x\r\n', FORMAT],
  ['ms k S2\r\n', FORMAT],
  [`mg ${'k'.repeat(251)}\r\n`, FORMAT],
  ['mg k v v\r\n', 'CLIENT_ERROR duplicate flag\r\n'],
  ['mg k !\r\n', 'CLIENT_ERROR invalid flag\r\n'],
  ['mg k \xff\r\n', 'CLIENT_ERROR duplicate flag\r\n'],
  ['mg k y\r\n', 'CLIENT_ERROR invalid flag\r\n'],
  ['mg k Tx\r\n', TOKEN],
  ['mg k T\r\n', TOKEN],
  ['mg k N R1\r\n', TOKEN],
  ['md k Cx\r\n', TOKEN],
  ['mg k E18446744073709551616\r\n', TOKEN],
  ['ms k 2 F-1\r\nhi\r\n', FORMAT],
  ['ms k 2 MX\r\nhi\r\n', 'CLIENT_ERROR invalid mode for ms M token\r\n'],
  ['ms k 2 M\r\nhi\r\n', 'CLIENT_ERROR invalid mode for ms M token\r\n'],
  ['ma k MX\r\n', 'CLIENT_ERROR invalid mode for ma M token\r\n'],
  ['ma k Dx\r\n', 'CLIENT_ERROR invalid or duplicate flag\r\n'],
  ['mg k? b\r\n', 'CLIENT_ERROR error decoding key\r\n'],
  [`mg k O${'o'.repeat(32)}\r\n`, 'CLIENT_ERROR opaque token too long\r\n'],
  [`mg k ${'v '.repeat(19)}\r\n`, 'CLIENT_ERROR options flags are too long\r\n'],
  ['ms k 2\r\nhello\r\n', 'CLIENT_ERROR bad data chunk\r\n'],
])('%j is answered with its error, which q does not hide', (text, answer) => {
  const { result, request } = decode(text)
  expect(result).toBe(WRONG_LINE)
  expect(request.quiet).toBe(false)
  expect(Buffer.from(PROBLEM_LINES[request.problem] ?? []).toString()).toBe(answer)
})

test('a wrong ms skips its block, and one that is too large as well', () => {
  expect(decode('ms k 2 y\r\n').request.frameBytes).toBe('ms k 2 y\r\n'.length + 4)
  const { result, request } = decode('ms k 101\r\n')
  expect(result).toBe(OVERSIZE)
  expect(request.frameBytes).toBe('ms k 101\r\n'.length + 103)
})

test('base64 is decoded as everywhere, and refused where it is none', () => {
  const target = new Uint8Array(256)
  for (let length = 1; length < 60; length++) {
    const bytes = Buffer.from(
      Array.from({ length }, (_, index) => (index * 37 + length * 11) & 255),
    )
    const encoded = Buffer.from(bytes.toString('base64'))
    expect(decodeBase64Key(encoded, 0, encoded.length, target)).toBe(length)
    expect(Buffer.from(target.subarray(0, length))).toEqual(bytes)
  }
  for (const wrong of ['', 'a', 'ab', 'abc', 'a===', '====', 'ab=c', 'ab!d', 'abcd=', 'ab c']) {
    const bytes = Buffer.from(wrong)
    expect(decodeBase64Key(bytes, 0, bytes.length, target)).toBe(0)
  }
})
