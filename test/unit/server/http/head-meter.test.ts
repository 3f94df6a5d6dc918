/** The bytes of heads, in pieces of any size. */
import { expect, test } from 'vitest'
import { HeadMeter } from '../../../../src/server/http/head-meter.ts'

const MAX = 64
const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** How many bytes are taken before one is too many; all of them where none is. */
function takenOf(text: string, pieceBytes: number): number {
  const meter = new HeadMeter(MAX)
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (!meter.take(bytes.subarray(at, at + pieceBytes))) return at
  }
  return bytes.length
}

test.each([1, 3, 1000])(
  'heads that follow each other are each of their own length, %i at a time',
  (pieceBytes) => {
    const bare = HEAD.replaceAll('\r', '')
    for (const text of [HEAD.repeat(50), bare.repeat(50), `${HEAD}\r\n\r\n${HEAD}`]) {
      expect(takenOf(text, pieceBytes)).toBe(text.length)
    }
  },
)

test.each([
  ['blanks in a line', `GET / HTTP/1.1\r\na:${' '.repeat(MAX)}`],
  ['line ends before a request', '\r\n'.repeat(MAX)],
  ['line feeds before a request', '\n'.repeat(MAX + 1)],
  ['many short lines', `GET / HTTP/1.1\r\n${'a:\r\n'.repeat(MAX)}\r\n`],
  ['carriage returns in a line', `GET / HTTP/1.1\r\na:${'\r'.repeat(MAX)}`],
])('%s count as all else', (_, text) => {
  expect(takenOf(text, 1)).toBe(MAX)
  expect(takenOf(HEAD + text, 1)).toBe(HEAD.length + MAX)
})

test('a head may have as many bytes as it may', () => {
  const exact = `GET /${'x'.repeat(MAX - 16)} HTTP/1.1\n\n`
  expect(exact).toHaveLength(MAX)
  expect(takenOf(exact.repeat(3), 7)).toBe(3 * MAX)
  expect(takenOf(`x${exact}`, 1)).toBe(MAX)
})
