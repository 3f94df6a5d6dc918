import { expect, test } from 'vitest'
import {
  HELLO_BYTES_MAX,
  HELLO_START_BYTES,
  helloBytes,
} from '../../../../src/server/net/tls-hello.ts'

const HANDSHAKE = [0x16, 3, 1]

/** A record, with as much of its content as is given. */
function record(length: number, content: readonly number[], start = HANDSHAKE): Buffer {
  return Buffer.from([...start, length >> 8, length & 0xff, ...content])
}

/** The header of a ClientHello of so many bytes, without it. */
function header(length: number): number[] {
  return [1, length >> 16, (length >> 8) & 0xff, length & 0xff]
}

/** A hello of so many bytes beside its header, in records of so many. */
function hello(length: number, perRecord = length + 4): Buffer {
  const message = [...header(length), ...Array<number>(length).fill(7)]
  const records: Buffer[] = []
  for (let start = 0; start < message.length; start += perRecord) {
    const content = message.slice(start, start + perRecord)
    records.push(record(content.length, content))
  }
  return Buffer.concat(records)
}

test('a record that begins a ClientHello says how long it is', () => {
  expect(helloBytes(record(512, header(508)))).toBe(517)
  expect(helloBytes(record(1, [1]))).toBe(11)
  expect(helloBytes(record(16 * 1024, header(16 * 1024 - 4)))).toBe(16 * 1024 + 5)
  expect(HELLO_BYTES_MAX).toBeGreaterThanOrEqual(16 * 1024 + 5)
})

test('what comes in the same record behind it is read with it', () => {
  expect(helloBytes(record(600, header(508)))).toBe(605)
  expect(helloBytes(Buffer.concat([hello(300), hello(300)]))).toBe(309)
})

test.each([1, 2, 3, 4, 5, 100, 511])(
  'in records of %d bytes it is here with the last of them, and not before',
  (perRecord) => {
    const whole = hello(508, perRecord)
    expect(helloBytes(whole)).toBe(whole.length)
    for (let length = 1; length < whole.length; length++) {
      const wanted = helloBytes(whole.subarray(0, length))
      expect(wanted > length && wanted <= Math.max(whole.length, 5), String(length)).toBe(true)
    }
  },
)

test('each beginning of one may be one', () => {
  for (let length = 1; length < 5; length++) {
    expect(helloBytes(hello(508).subarray(0, length)), String(length)).toBe(5)
  }
})

test('a length that no hello has is known when it has come', () => {
  const longest = 16 * 1024 - 4
  expect(helloBytes(record(4, header(longest)))).toBe(14)
  for (const length of [longest + 1, 131_396, 0xff_ff_ff]) {
    const bytes = record(4, header(length))
    expect(bytes).toHaveLength(HELLO_START_BYTES)
    expect(helloBytes(bytes)).toBe(-1)
    expect(helloBytes(bytes.subarray(0, -1))).toBe(HELLO_START_BYTES)
  }
})

test.each([
  ['text', Buffer.from('get a\r\n')],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
  ['a request of the binary dialect', Buffer.from([0x80, 0x0b, 0, 0, 0, 0])],
  ['an SSLv2 hello', Buffer.from([0x80, 0x2e, 1, 3, 1, 0])],
  ['an alert', record(2, [1, 0], [0x15, 3, 3])],
  ['application data', record(20, header(16), [0x17, 3, 3])],
  ['another major version', record(512, header(508), [0x16, 2, 0])],
  ['a version that is yet to come', record(512, header(508), [0x16, 3, 5])],
  ['an empty record', record(0, header(508))],
  ['a record that is too long', record(16 * 1024 + 1, header(508))],
  ['a ServerHello', record(4, [2])],
  ['a single wrong byte', Buffer.from([0x17])],
  ['one that goes on with an alert', Buffer.concat([record(2, [1, 0]), Buffer.from([0x15])])],
  ['one that goes on with an empty record', Buffer.concat([record(2, [1, 0]), record(0, [])])],
  [
    'one that goes on with another version',
    Buffer.concat([record(2, [1, 0]), record(2, [1], [0x16, 4, 0])]),
  ],
])('%s is none', (_, bytes) => {
  expect(helloBytes(bytes)).toBe(-1)
})
