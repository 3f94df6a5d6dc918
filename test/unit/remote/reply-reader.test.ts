/** Replies of a node, whole, cut at any place, and as no node writes them. */
import { describe, expect, test } from 'vitest'
import {
  DEPTH_MAX,
  ELEMENTS_MAX,
  REPLY_BYTES_MAX,
  REPLY_LINE_BYTES_MAX,
  ReplyError,
  ReplyReader,
} from '../../../src/remote/reply-reader.ts'

/** What came, strings as text and errors as `!message`; `isGood`: no read was refused. */
function readPieces(pieces: readonly Buffer[]): { replies: unknown[]; isGood: boolean } {
  const replies: unknown[] = []
  const reader = new ReplyReader({
    take(reply) {
      replies.push(plain(reply))
      return true
    },
  })
  // As in a server, all is read into one buffer, which the next piece overwrites.
  const shared = Buffer.alloc(Math.max(1, ...pieces.map(({ length }) => length)))
  const isGood = pieces.every((piece) => {
    shared.fill('#')
    piece.copy(shared)
    return reader.read(shared, piece.length)
  })
  return { replies, isGood }
}

const readText = (text: string): ReturnType<typeof readPieces> =>
  readPieces([Buffer.from(text, 'latin1')])

function plain(reply: unknown): unknown {
  if (Array.isArray(reply)) return reply.map(plain)
  if (reply instanceof ReplyError) return `!${reply.message}`
  return Buffer.isBuffer(reply) ? { bytes: reply.toString('latin1') } : reply
}

/** With what is around it, as long as a reply may be. */
const LONGEST = REPLY_BYTES_MAX - '$67174400\r\n\r\n'.length
const LONG = 'x\r\n$0\0'.repeat(500)
const STREAM = [
  '+OK\r\n',
  '$5\r\nva\r\ne\r\n',
  '$0\r\n\r\n',
  '$-1\r\n',
  '*-1\r\n',
  ':-1234567890123\r\n',
  '-MOVED 1 192.0.2.1:1\r\n',
  '*0\r\n',
  `*4\r\n$1\r\nH\r\n:1\r\n*2\r\n$-1\r\n+in\r\n$${LONG.length}\r\n${LONG}\r\n`,
  '+\r\n',
].join('')
const REPLIES = [
  'OK',
  { bytes: 'va\r\ne' },
  { bytes: '' },
  null,
  null,
  -1234567890123,
  '!MOVED 1 192.0.2.1:1',
  [],
  [{ bytes: 'H' }, 1, [null, 'in'], { bytes: LONG }],
  '',
]

describe('replies', () => {
  const bytes = Buffer.from(STREAM, 'latin1')

  test('are read as they come in one piece', () => {
    expect(readPieces([bytes])).toEqual({ replies: REPLIES, isGood: true })
  })

  test('are read byte by byte', () => {
    const pieces = Array.from(bytes, (byte) => Buffer.from([byte]))
    expect(readPieces(pieces)).toEqual({ replies: REPLIES, isGood: true })
  })

  test('are read cut in two at any place', () => {
    for (let at = 1; at < bytes.length; at++) {
      const { replies, isGood } = readPieces([bytes.subarray(0, at), bytes.subarray(at)])
      expect(isGood && replies.length === REPLIES.length).toBe(true)
      if (at % 97 === 0) expect(replies).toEqual(REPLIES)
    }
  })

  test('are given no sooner than they are whole', () => {
    for (let end = 0; end < 9; end++)
      expect(readText('$3\r\nabc\r\n'.slice(0, end)).replies).toEqual([])
  })

  test('keep their bytes when the buffer that they came in is used again', () => {
    const strings: unknown[] = []
    const reader = new ReplyReader({ take: (reply) => strings.push(reply) > 0 })
    const shared = Buffer.from('$3\r\nabc\r\n')
    reader.read(shared, shared.length)
    shared.fill('#')
    expect(strings).toEqual([Buffer.from('abc')])
  })
})

test.each([
  ['an unknown type', '~1\r\n+a\r\n'],
  ['a null that says more', '_0\r\n'],
  ['a map of a negative length', '%-1\r\n'],
  ['a map beyond the bound', `%${ELEMENTS_MAX / 2 + 1}\r\n`],
  ['a push within a list', '*1\r\n>1\r\n+a\r\n'],
  ['a push of nothing', '>-1\r\n'],
  ['a push to who wants none', '>1\r\n+a\r\n'],
  ['no type', '\r\n'],
  ['no number', '$\r\n'],
  ['a sign alone', ':-\r\n'],
  ['letters for a number', '$1x\r\n'],
  ['a number of twenty digits', ':12345678901234567890\r\n'],
  ['a string of a negative length', '$-2\r\n'],
  ['a list of a negative length', '*-2\r\n'],
  ['a string that is longer than said', '$3\r\nabcd\r\n'],
  ['a string that is shorter than said', '$3\r\nab\r\n+OK\r\n'],
  ['a carriage return alone', '+O\rK\r\n'],
  ['a string beyond the bound', `$${REPLY_BYTES_MAX}\r\n`],
  ["the engine's longest string", `$${512 * 1024 * 1024}\r\n`],
  [
    'a list whose strings are beyond it together',
    `*2\r\n$4\r\nmore\r\n$${REPLY_BYTES_MAX - 24}\r\n`,
  ],
  ['a list beyond the bound', `*${ELEMENTS_MAX + 1}\r\n`],
  ['a list of too many in its lists', `*2\r\n*1\r\n+a\r\n*${ELEMENTS_MAX}\r\n`],
  ['lists too deep', `${'*1\r\n'.repeat(DEPTH_MAX + 1)}+a\r\n`],
  ['a line without an end', `+${'x'.repeat(REPLY_LINE_BYTES_MAX)}`],
])('%s is no reply', (_, text) => {
  expect(readText(text)).toEqual({ replies: [], isGood: false })
})

test('a line, a list and lists in lists at their bounds are read', () => {
  const line = 'x'.repeat(REPLY_LINE_BYTES_MAX - 1)
  const list = `*${ELEMENTS_MAX}\r\n${':1\r\n'.repeat(ELEMENTS_MAX)}`
  const deep = `${'*1\r\n'.repeat(DEPTH_MAX)}+a\r\n`
  const { replies, isGood } = readText(`+${line}\r\n${list}${deep}`)
  expect(isGood).toBe(true)
  expect(replies).toHaveLength(3)
})

test('a map is a list, and what is pushed between replies is apart from them, cut at any place', () => {
  const text =
    '_\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n%1\r\n+proto\r\n:3\r\n>2\r\n+invalidate\r\n_\r\n:1\r\n'
  for (let cut = 1; cut < text.length; cut++) {
    const said: unknown[] = []
    const reader = new ReplyReader({
      take: (reply) => said.push(plain(reply)) > 0,
      push: (push) => said.push({ push: plain(push) }) > 0,
    })
    for (const piece of [text.slice(0, cut), text.slice(cut)]) {
      const bytes = Buffer.from(piece, 'latin1')
      expect(reader.read(bytes, bytes.length)).toBe(true)
    }
    expect(said).toEqual([
      null,
      { push: ['invalidate', [{ bytes: 'k' }]] },
      ['proto', 3],
      { push: ['invalidate', null] },
      1,
    ])
  }
})

test('a claim of the longest string takes no memory before its bytes come', () => {
  const before = process.memoryUsage().arrayBuffers
  const readers = Array.from({ length: 64 }, () => new ReplyReader({ take: () => true }))
  for (const reader of readers) {
    const head = Buffer.from(`$${LONGEST}\r\nabc`)
    expect(reader.read(head, head.length)).toBe(true)
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(LONGEST)
})

test('nothing is read behind a reply that nobody takes', () => {
  const replies: unknown[] = []
  const reader = new ReplyReader({ take: (reply) => replies.push(reply) < 2 })
  const bytes = Buffer.from('+1\r\n+2\r\n+3\r\n')
  expect(reader.read(bytes, bytes.length)).toBe(false)
  expect(replies).toEqual(['1', '2'])
})
