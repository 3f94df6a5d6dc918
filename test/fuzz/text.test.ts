/**
 * The text dialect in process, over a transport of the test's own: conversations made of the
 * transcripts, mutated, are fed whole and cut anywhere, with turns of a few requests and a reader
 * that falls behind. Both must give the same answers, whatever the bytes are; nothing may throw, and
 * no more may be held than the limits allow.
 *
 * SEED= repeats a run, FUZZ_CONVERSATIONS= makes it longer.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { RowSource, StatRows } from '../../src/command/operations/rows.ts'
import { checkIntegrity } from '../../src/storage/integrity.ts'
import { openManualConnection } from '../support/manual-connection.ts'
import { createManualServer } from '../support/manual-server.ts'

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
const CONVERSATIONS = Number(process.env.FUZZ_CONVERSATIONS ?? 800)
const VALUE_BYTES_MAX = 5000
/** The longest line of keys, and what may be read at once. */
const HELD_BYTES_MAX = 2 * (8 * 1024 * 1024 + 65_536)

interface Random {
  below(limit: number): number
  pick<Value>(values: readonly Value[]): Value
}

/** mulberry32. */
function randomOf(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    below: (limit) => next() % limit,
    pick: (values) => values[next() % values.length] as never,
  }
}

interface Outcome {
  readonly output: string
  readonly isOpen: boolean
  readonly heldBytesMax: number
}

/** Feeds `input` in pieces of the lengths that `cut` says to a server of its own. */
function converse(input: Buffer, cut: (left: number) => number, turn: number): Outcome {
  const server = createManualServer({
    memoryBytes: 1024 * 1024,
    itemBytesMax: VALUE_BYTES_MAX * 2,
    valueBytesMax: VALUE_BYTES_MAX,
    requestsPerTurnMax: turn,
    stats: (group) => (group === '' ? oneRow() : undefined),
  })
  const { connection, transport, deferred } = openManualConnection(server, server.text)
  let heldBytesMax = 0
  /** As the event loop would: turns that were given away, and replies that left. */
  const settle = (): void => {
    for (;;) {
      const next = deferred.shift()
      if (next !== undefined) {
        next.continueServing()
      } else if (transport.unsentBytes > 0) {
        transport.unsentBytes = 0
        connection.onDrained()
      } else {
        return
      }
      heldBytesMax = Math.max(heldBytesMax, connection.bufferedBytes)
    }
  }
  for (let offset = 0; offset < input.length && transport.isOpen; ) {
    const length = cut(input.length - offset)
    // The read buffer is somebody else's again afterwards.
    const readBuffer = Buffer.from(input.subarray(offset, offset + length))
    connection.receive(readBuffer, length)
    readBuffer.fill(0xee)
    offset += length
    settle()
  }
  expect(checkIntegrity(server.memory)).toEqual([])
  return { output: transport.output.toString('latin1'), isOpen: transport.isOpen, heldBytesMax }
}

function oneRow(): RowSource {
  const steps: StatRows[] = [[], [['one', '1']], []]
  return { next: () => steps.shift() }
}

/** What the transcripts send, without what only makes sense in their course. */
function seedLines(): string[] {
  const folder = join(import.meta.dirname, '..', 'transcripts', 'cases')
  const lines = readdirSync(folder)
    .filter((name) => name !== 'binary.txt')
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter(
      (line) => /^>-? /.test(line) && !/\*\d{4,}\}|^> (quit|watch|lru_crawler|stats)/.test(line),
    )
  return lines.map((line) => {
    const text = line
      .replace(/^>-? /, '')
      .replaceAll('~', 'k')
      .replace(/\{(\S)\*(\d+)\}/g, (_, letter: string, count: string) =>
        letter.repeat(Number(count)),
      )
      .replace(/\{\w+\}/g, '3')
      .replace(/\\(x[0-9a-f]{2}|.)/gi, (_, sequence: string) =>
        sequence.length === 3
          ? String.fromCharCode(Number.parseInt(sequence.slice(1), 16))
          : ({ r: '\r', n: '\n', t: '\t', '0': '\0', s: ' ' }[sequence] ?? sequence),
      )
    return line.startsWith('>-') ? text : `${text}\r\n`
  })
}

/** Above 2048 bytes it matters whether a line arrives in one piece, in memcached as well as here. */
const LINES = seedLines().filter(({ length }) => length <= 400)
const EXTRA = ['quit\r\n', 'stats\r\n', 'stats cachedump 1 3\r\n']
/** Refused behind other commands in one piece, and only then: so it comes first. */
const FIRST = ['lru_crawler metadump all\r\n', 'lru_crawler mgdump all\r\n']
const DIGITS = ['0', '-1', '1', '4294967295', '4294967296', '99999999999999999999', 'x', '']

function mutate(line: string, random: Random): string {
  switch (random.below(8)) {
    case 0: {
      const at = random.below(line.length + 1)
      return line.slice(0, at) + String.fromCharCode(random.below(256)) + line.slice(at)
    }
    case 1: {
      const at = random.below(line.length + 1)
      return line.slice(0, at) + line.slice(at + 1 + random.below(3))
    }
    case 2:
      return line.replace(/\d+/, random.pick(DIGITS))
    case 3:
      return line + random.pick(LINES).slice(0, random.below(40))
    case 4:
      return line.replace(/ /, '  ')
    case 5:
      return line.replace('\r\n', '\n')
    default:
      return line
  }
}

function conversation(random: Random): Buffer {
  const parts: string[] = []
  const count = 1 + random.below(40)
  const sane = random.below(3) === 0
  if (random.below(10) === 0) parts.push(random.pick(FIRST))
  for (let index = 0; index < count; index++) {
    const at = random.below(LINES.length)
    // Neighbours belong together: a line and its block.
    for (const line of LINES.slice(at, at + 1 + random.below(4))) {
      parts.push(sane ? line : mutate(line, random))
    }
    if (random.below(30) === 0) parts.push(random.pick(EXTRA))
    if (random.below(30) === 0) {
      const keys = Array.from({ length: random.below(300) }, (_, key) => `k${key % 9}`)
      parts.push(`get ${keys.join(' ')}\r\n`)
    }
  }
  return Buffer.from(parts.join(''), 'latin1')
}

test(`cut anywhere, a conversation has the answers that it has in one piece (SEED=${SEED})`, () => {
  for (let index = 0; index < CONVERSATIONS; index++) {
    const random = randomOf(SEED + index)
    const input = conversation(random)
    const whole = converse(input, (left) => Math.min(left, 65_536), 1_000_000)
    const most = random.pick([1, 3, 40, 1000])
    const cut = converse(
      input,
      (left) => Math.min(left, 1 + random.below(most)),
      1 + random.below(9),
    )
    const which = `conversation ${index} of SEED=${SEED}: ${JSON.stringify(input.toString('latin1')).slice(0, 4000)}`
    expect(cut.output, which).toBe(whole.output)
    expect(cut.isOpen, which).toBe(whole.isOpen)
    expect(Math.max(cut.heldBytesMax, whole.heldBytesMax), which).toBeLessThan(HELD_BYTES_MAX)
  }
})

test('bytes that are nothing at all are answered with errors or the end', () => {
  for (let index = 0; index < 300; index++) {
    const random = randomOf(SEED ^ index)
    const length = random.below(5000)
    const input = Buffer.from(Array.from({ length }, () => random.below(256)))
    const { output, heldBytesMax } = converse(input, (left) => Math.min(left, 700), 5)
    for (const line of output.split('\r\n')) expect(line).toMatch(/^(CLIENT_|SERVER_)?(ERROR|$)/)
    expect(heldBytesMax).toBeLessThan(8192)
  }
})
