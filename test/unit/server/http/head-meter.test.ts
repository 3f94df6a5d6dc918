/** The bytes of heads, in pieces of any size. */
import { expect, test } from 'vitest'
import { HeadMeter, TOO_LONG, UNFINISHED } from '../../../../src/server/http/head-meter.ts'

const MAX = 64
const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** How many bytes are taken before one is too many; all of them where none is. */
function takenOf(text: string, pieceBytes: number): number {
  const { taken } = read(text, pieceBytes)
  return taken
}

/** The same, and where each head ends. */
function read(text: string, pieceBytes: number): { taken: number; ends: number[] } {
  const meter = new HeadMeter(MAX)
  const bytes = Buffer.from(text)
  const ends: number[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes)
    for (let offset = 0; offset < piece.length; ) {
      const end = meter.take(piece, offset)
      if (end === TOO_LONG) return { taken: at, ends }
      if (end === UNFINISHED) break
      ends.push(at + end)
      offset = end
    }
  }
  return { taken: bytes.length, ends }
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

test.each([1, 2, 5, 27, 1000])(
  'a head ends where its empty line does, %i at a time',
  (pieceBytes) => {
    const bare = HEAD.replaceAll('\r', '')
    const heads = [HEAD, bare, `\r\n${HEAD}`, HEAD]
    let end = 0
    const ends = heads.map((head) => (end += head.length))
    expect(read(`${heads.join('')}GET`, pieceBytes).ends).toEqual(ends)
  },
)
