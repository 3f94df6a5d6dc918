import { expect, test } from 'vitest'
import { HELLO_BYTES_MAX, helloBytes } from '../../../../src/server/net/tls-hello.ts'

/** A record of the handshake type that begins a ClientHello. */
function record(length: number, start: readonly number[] = [0x16, 3, 1]): Buffer {
  return Buffer.from([...start, length >> 8, length & 0xff, 1, ...Array(3).fill(0)])
}

test('a record that begins a ClientHello says how long it is', () => {
  expect(helloBytes(record(512))).toBe(517)
  expect(helloBytes(record(1))).toBe(6)
  expect(helloBytes(record(16 * 1024))).toBe(16 * 1024 + 5)
  expect(HELLO_BYTES_MAX).toBeGreaterThanOrEqual(16 * 1024 + 5)
})

test('each beginning of one may be one', () => {
  const whole = record(512)
  for (let length = 1; length < 5; length++) {
    expect(helloBytes(whole.subarray(0, length)), String(length)).toBe(5)
  }
})

test.each([
  ['text', Buffer.from('get a\r\n')],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
  ['a request of the binary dialect', Buffer.from([0x80, 0x0b, 0, 0, 0, 0])],
  ['an SSLv2 hello', Buffer.from([0x80, 0x2e, 1, 3, 1, 0])],
  ['an alert', record(2, [0x15, 3, 3])],
  ['application data', record(20, [0x17, 3, 3])],
  ['another major version', record(512, [0x16, 2, 0])],
  ['a version that is yet to come', record(512, [0x16, 3, 5])],
  ['an empty record', record(0)],
  ['a record that is too long', record(16 * 1024 + 1)],
  ['a ServerHello', Buffer.from([0x16, 3, 3, 0, 4, 2])],
  ['a single wrong byte', Buffer.from([0x17])],
])('%s is none', (_, bytes) => {
  expect(helloBytes(bytes)).toBe(-1)
})
