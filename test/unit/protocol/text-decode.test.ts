/**
 * The text decoder: which bytes are which request, which are wrong and how much of them is skipped.
 */

import { expect, test } from 'vitest'
import {
  DECODED,
  INCOMPLETE,
  OVERSIZE,
  Request,
  TOKENS_MAX,
  WRONG_LINE,
  WRONG_MAGIC,
} from '../../../src/protocol/request.ts'
import { decodeLine, judgeUnfinishedLine } from '../../../src/protocol/text/decode.ts'
import { EXPIRY_IN_THE_PAST } from '../../../src/protocol/text/number.ts'
import { PROBLEM_LINES } from '../../../src/protocol/text/problems.ts'
import { nextKey, scanLine } from '../../../src/protocol/text/scan.ts'
import {
  VERB_ADD,
  VERB_CAS,
  VERB_DECREMENT,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_INCREMENT,
  VERB_OPERATE,
  VERB_QUIT,
  VERB_SASL_LIST,
  VERB_SASL_START,
  VERB_SASL_STEP,
  VERB_SET,
  VERB_STAT,
  VERB_TOUCH,
  VERB_VERBOSITY,
  VERB_VERSION,
} from '../../../src/protocol/verbs.ts'

const VALUE_MAX = 100
const SASL_MAX = 64

interface Decoded {
  readonly result: number
  readonly request: Request
  readonly bytes: Buffer
}

/** Decodes at an offset that is not 0, so that relative and absolute offsets cannot be mixed up. */
function decode(text: string): Decoded {
  const bytes = Buffer.from(`#######${text}`, 'latin1')
  const request = new Request()
  if (!scanLine(bytes, 7, bytes.length, request)) return { result: INCOMPLETE, request, bytes }
  const result = decodeLine(bytes, 7, bytes.length, VALUE_MAX, SASL_MAX, request)
  return { result, request, bytes }
}

function keyOf({ request, bytes }: Decoded): string {
  return bytes.toString('latin1', request.keyOffset, request.keyOffset + request.keyLength)
}

function blockOf({ request, bytes }: Decoded): string {
  return bytes.toString('latin1', request.valueOffset, request.valueOffset + request.valueLength)
}

function problemOf(text: string): string {
  const { result, request } = decode(text)
  expect(result).toBe(WRONG_LINE)
  return Buffer.from(PROBLEM_LINES[request.problem] ?? []).toString()
}

test('a set has key, flags, expiry, value and noreply', () => {
  const decoded = decode('set some:key 7 60 5 noreply\r\nab\r\nc\r\n')
  expect(decoded.result).toBe(DECODED)
  expect(decoded.request).toMatchObject({
    verb: VERB_SET,
    flags: 7,
    expiry: 60,
    quiet: true,
    frameBytes: 'set some:key 7 60 5 noreply\r\nab\r\nc\r\n'.length,
  })
  expect(keyOf(decoded)).toBe('some:key')
  expect(blockOf(decoded)).toBe('ab\r\nc')
})

test('a cas has its unique, up to 64 bits', () => {
  const { result, request } = decode('cas k 0 0 1 18446744073709551615\r\nx\r\n')
  expect(result).toBe(DECODED)
  expect(request).toMatchObject({ verb: VERB_CAS, casHigh: 0xffffffff, casLow: 0xffffffff })
})

test.each([
  ['get a\r\n', VERB_GET, false],
  ['gets a\r\n', VERB_GET, true],
  ['gat 5 a\r\n', VERB_GET_AND_TOUCH, false],
  ['gats 5 a\r\n', VERB_GET_AND_TOUCH, true],
])('%j knows whether the CAS is wanted', (text, verb, wantsCas) => {
  const { result, request } = decode(text)
  expect(result).toBe(DECODED)
  expect(request).toMatchObject({ verb, wantsCas })
})

test.each([
  ['get a\r\n', ['a']],
  ['get a\n', ['a']],
  ['gets  first   second third \r\n', ['first', 'second', 'third']],
  ['gat 5 a bb\r\n', ['a', 'bb']],
  [`get ${'k '.repeat(2 * TOKENS_MAX)}\r\n`, Array(2 * TOKENS_MAX).fill('k')],
  ['get a\r b\r\r\n', ['a\r', 'b\r']],
])('%j names one key after the other', (text, keys) => {
  const decoded = decode(text)
  expect(decoded.result).toBe(DECODED)
  const named: string[] = []
  do named.push(keyOf(decoded))
  while (nextKey(decoded.bytes, decoded.request))
  expect(named).toEqual(keys)
})

test.each([
  ['add k 0 0 0\r\n\r\n', VERB_ADD],
  ['delete k\r\n', VERB_DELETE],
  ['delete k 0\r\n', VERB_DELETE],
  ['incr k 5\r\n', VERB_INCREMENT],
  ['decr k 18446744073709551615\r\n', VERB_DECREMENT],
  ['touch k 10\r\n', VERB_TOUCH],
  ['flush_all\r\n', VERB_FLUSH],
  ['flush_all 10 noreply\r\n', VERB_FLUSH],
  ['stats items\r\n', VERB_STAT],
  ['version\r\n', VERB_VERSION],
  ['version whatever\r\n', VERB_VERSION],
  ['verbosity 1\r\n', VERB_VERBOSITY],
  ['quit\n', VERB_QUIT],
  ['watch fetchers\r\n', VERB_OPERATE],
  ['lru_crawler metadump all\r\n', VERB_OPERATE],
  ['sasl mech\r\n', VERB_SASL_LIST],
  ['sasl auth PLAIN 3\r\nabc\r\n', VERB_SASL_START],
  ['sasl auth 3\r\nabc\r\n', VERB_SASL_STEP],
])('%j is its verb, and the frame is all of it', (text, verb) => {
  const { result, request } = decode(text)
  expect(result).toBe(DECODED)
  expect(request.verb).toBe(verb)
  expect(request.frameBytes).toBe(text.length)
})

const FORMAT = 'CLIENT_ERROR bad command line format\r\n'
const LONG_KEY = 'k'.repeat(251)

test.each([
  ['foo bar\r\n', 'ERROR\r\n'],
  ['getx a\r\n', 'ERROR\r\n'],
  ['GET a\r\n', 'ERROR\r\n'],
  [' get a\r\n', 'ERROR\r\n'],
  ['    \r\n', 'ERROR\r\n'],
  ['\r\n', FORMAT],
  ['x\r\n', FORMAT],
  ['get\r\n', FORMAT],
  ['gat 5\r\n', FORMAT],
  [`get a ${LONG_KEY} b\r\n`, FORMAT],
  ['gat x a\r\n', 'CLIENT_ERROR invalid exptime argument\r\n'],
  ['set k 0 0\r\n', FORMAT],
  ['set k 0 0 -1\r\n', FORMAT],
  ['set k 0 0 1x\r\n', FORMAT],
  ['set k 0 0 2147483647\r\n', FORMAT],
  ['set k -1 0 1\r\nx\r\n', FORMAT],
  ['set k 4294967296 0 1\r\nx\r\n', FORMAT],
  ['set k 0 soon 1\r\nx\r\n', FORMAT],
  ['cas k 0 0 1\r\nx\r\n', FORMAT],
  ['cas k 0 0 1 x\r\nx\r\n', FORMAT],
  [`set ${LONG_KEY} 0 0 1\r\nx\r\n`, FORMAT],
  ['set k 0 0 3\r\nabcd\r\n', 'CLIENT_ERROR bad data chunk\r\n'],
  ['incr k\r\n', FORMAT],
  ['incr k -1\r\n', 'CLIENT_ERROR invalid numeric delta argument\r\n'],
  ['incr k 18446744073709551616\r\n', 'CLIENT_ERROR invalid numeric delta argument\r\n'],
  ['touch k\r\n', FORMAT],
  ['touch k x\r\n', 'CLIENT_ERROR invalid exptime argument\r\n'],
  ['flush_all x\r\n', 'CLIENT_ERROR invalid exptime argument\r\n'],
  ['verbosity\r\n', FORMAT],
  ['sasl\r\n', FORMAT],
  ['sasl auth\r\n', FORMAT],
  ['sasl auth PLAIN x\r\n', FORMAT],
])('%j is answered with its error', (text, answer) => {
  expect(problemOf(text)).toBe(answer)
})

test('a wrong storage line with a legal length skips its block', () => {
  const text = `set ${LONG_KEY} 0 0 5\r\nhello\r\n`
  expect(decode(text).request.frameBytes).toBe(text.length)
  // The answer does not wait for the block.
  const line = `set ${LONG_KEY} 0 0 5\r\n`
  expect(decode(line).result).toBe(WRONG_LINE)
  expect(decode(line).request.frameBytes).toBe(text.length)
})

test('a value above the limit is refused from its line alone, with key and frame known', () => {
  const decoded = decode('set key 0 0 101\r\n')
  expect(decoded.result).toBe(OVERSIZE)
  expect(decoded.request.frameBytes).toBe('set key 0 0 101\r\n'.length + 103)
  expect(keyOf(decoded)).toBe('key')
  expect(decode(`set key 0 0 100\r\n${'v'.repeat(100)}\r\n`).result).toBe(DECODED)
})

test('a SASL message above the limit is refused', () => {
  expect(decode('sasl auth PLAIN 60\r\n').result).toBe(OVERSIZE)
  expect(decode('sasl auth PLAIN 59\r\n').result).toBe(INCOMPLETE)
})

test('a negative expiry is in the past, and one after 2038 is kept', () => {
  expect(decode('touch k -1\r\n').request.expiry).toBe(EXPIRY_IN_THE_PAST)
  expect(decode('touch k 4000000000\r\n').request.expiry).toBe(4_000_000_000)
  expect(decode('flush_all -1\r\n').request.expiry).toBe(0)
})

test('a request that speaks HTTP is not answered', () => {
  expect(decode('GET / HTTP/1.1\r\n').result).toBe(WRONG_MAGIC)
  expect(decode('OPTIONS * HTTP/1.0\r\n').result).toBe(WRONG_MAGIC)
})

test('control bytes and NUL belong to the key', () => {
  const decoded = decode('delete a\0\t\rb\r\n')
  expect(decoded.result).toBe(DECODED)
  expect(keyOf(decoded)).toBe('a\0\t\rb')
})

test('cut anywhere, a request is incomplete and never another one', () => {
  const text = 'set key 1 2 10 noreply\r\n0123456789\r\n'
  const lineBytes = text.indexOf('\n') + 1
  for (let length = 0; length < text.length; length++) {
    const { result, request } = decode(text.slice(0, length))
    expect(result).toBe(INCOMPLETE)
    if (length >= lineBytes) expect(request.frameBytes).toBe(text.length)
  }
})

test('more tokens than are kept are counted, and the longest is known', () => {
  const keys = Array.from({ length: 1000 }, (_, index) => `key${index}`)
  const { result, request } = decode(`get ${keys.join('  ')} \r\n`)
  expect(result).toBe(DECODED)
  expect(request.tokenCount).toBe(1001)
  expect(request.tokenBytesMax).toBe(6)
})

test('a long line without an end is only waited for if it is a list of keys', () => {
  const judge = (text: string): number => {
    const bytes = Buffer.from(text)
    return judgeUnfinishedLine(bytes, 0, bytes.length, 10_000)
  }
  expect(judge('x'.repeat(2048))).toBe(INCOMPLETE)
  expect(judge('x'.repeat(2049))).toBe(WRONG_MAGIC)
  expect(judge(`get ${'k '.repeat(2000)}`)).toBe(INCOMPLETE)
  expect(judge(`gets ${'k '.repeat(2000)}`)).toBe(INCOMPLETE)
  expect(judge(`gat 5 ${'k '.repeat(2000)}`)).toBe(WRONG_MAGIC)
  expect(judge(`get ${'k '.repeat(5000)}`)).toBe(WRONG_MAGIC)
})
