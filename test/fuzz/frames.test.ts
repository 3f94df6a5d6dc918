/**
 * A fuzz campaign against the running server over real sockets: good frames of every kind, frames whose
 * header lies, mutated conversations and plain noise, before and after login, cut anywhere. All the
 * while a canary works on its own keys and must never see a wrong answer.
 *
 * FUZZ_FRAMES=5000000 makes it a long campaign; SEED= repeats one. Each session has random numbers of
 * its own, so that a session is the same whatever the others do.
 */
import { connect as connectSocket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { parseResponses, requestFrame, storeFrame, words } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'

const GET = 0x00
const SET = 0x01
const INCREMENT = 0x05
const NOOP = 0x0a
const VERSION = 0x0b
const STAT = 0x10
const SASL_LIST = 0x20
const SASL_AUTH = 0x21
const SASL_STEP = 0x22
const OK = 0x00

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 0xffffffff))
const FRAMES = Number(process.env.FUZZ_FRAMES ?? 200_000)
const ALICE = { name: 'alice', password: 'correct horse' }
const MEMORY_MIB = 16
const CONCURRENCY = 8
const FRAMES_PER_SESSION = 300
const CLOSE_DEADLINE_MS = 30_000
/** Beyond the item memory: buffers, garbage not yet collected, the log of refused logins. */
const GROWTH_BYTES_MAX = (MEMORY_MIB + 112) * 1024 * 1024
/** A frame takes 50 us at the very worst; the rest is a machine that does other things as well. */
const DEADLINE_MS = 600_000 + FRAMES / 5

interface Random {
  /** From 0 up to, not including, `limit`. */
  below(limit: number): number
  pick<Value>(values: readonly Value[]): Value
  bytes(length: number): Buffer
}

/** mulberry32. */
function randomOf(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    below: (limit) => Math.floor((next() / 0x100000000) * limit),
    pick: (values) => values[next() % values.length] as never,
    bytes: (length) => {
      const bytes = Buffer.alloc(length)
      for (let offset = 0; offset < length; offset++) bytes[offset] = next() >>> 24
      return bytes
    },
  }
}

const LOGIN = requestFrame({
  opcode: SASL_AUTH,
  key: 'PLAIN',
  value: `\0${ALICE.name}\0${ALICE.password}`,
})

/** A frame whose parts have lengths that its opcode may have, and any content. */
function soundFrame(random: Random, isLoggedIn: boolean): Buffer {
  if (!isLoggedIn) {
    return requestFrame({
      opcode: random.pick([SASL_LIST, VERSION, SASL_AUTH, SASL_STEP]),
      ...(random.below(2) === 0
        ? {}
        : {
            key: random.pick(['SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS', 'EXTERNAL']),
            value: random.bytes(random.below(21)),
          }),
    })
  }
  const key = `fuzz ${random.below(60)}`
  const opaque = random.below(0x100000000)
  const cas = random.below(4) === 0 ? BigInt(random.below(5000)) : 0n
  switch (random.below(8)) {
    case 0:
    case 1: {
      const opcode = random.pick([0x01, 0x02, 0x03, 0x11, 0x12, 0x13])
      const extras = random.bytes(8)
      // Mostly items that live on.
      if (random.below(4) > 0) extras.fill(0, 4)
      return requestFrame({
        opcode,
        extras,
        key,
        value: random.bytes(random.below(300)),
        opaque,
        cas,
      })
    }
    case 2:
      return requestFrame({ opcode: random.pick([0x00, 0x09, 0x0c, 0x0d]), key, opaque })
    case 3: {
      const opcode = random.pick([0x05, 0x06, 0x15, 0x16])
      return requestFrame({ opcode, extras: random.bytes(20), key, opaque, cas })
    }
    case 4: {
      const opcode = random.pick([0x0e, 0x0f, 0x19, 0x1a])
      return requestFrame({ opcode, key, value: random.bytes(random.below(12)), opaque, cas })
    }
    case 5: {
      const opcode = random.pick([0x1c, 0x1d, 0x1e, 0x23, 0x24])
      const value = random.bytes(random.pick([0, 0, 0, 5, 40]))
      return requestFrame({ opcode, extras: random.bytes(4), key, value, opaque })
    }
    case 6:
      return requestFrame({ opcode: random.pick([0x04, 0x14]), key, opaque, cas })
    default: {
      const opcode = random.pick([NOOP, VERSION, 0x08, 0x18, SASL_LIST, 0x1f, 0x50, 0xff, STAT])
      const value = opcode === 0x50 ? random.bytes(random.below(100)) : undefined
      const group = random.pick(['', 'items', 'settings', 'conns', 'nonsense'])
      const hasGroup = opcode === STAT && random.below(20) === 0
      return opcode === STAT && !hasGroup
        ? requestFrame({ opcode: NOOP, opaque })
        : requestFrame({ opcode, opaque, value, key: hasGroup ? group : undefined })
    }
  }
}

/** A header that says what it likes, and some bytes behind it. */
function lyingFrame(random: Random): Buffer {
  const lengths = [0, 1, 4, 8, 20, 23, 24, 250, 251, 255, 0x7fff, 0xffff]
  return requestFrame({
    magic: random.pick([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0x00, 0x67]),
    opcode: random.below(4) === 0 ? random.below(256) : random.below(0x25),
    keyLength: random.pick(lengths),
    extrasLength: random.pick([0, 0, 4, 8, 20, 255]),
    bodyLength: random.pick([
      ...lengths,
      0x10000,
      0x100000,
      0x100001,
      0x3fffffff,
      0x40000001,
      0xffffffff,
    ]),
    opaque: random.below(0x100000000),
    value: random.bytes(random.below(600)),
  })
}

function mutate(random: Random, bytes: Buffer): Buffer {
  const mutated = Buffer.from(bytes)
  for (let count = 1 + random.below(6); count > 0; count--) {
    const offset = random.below(mutated.length)
    mutated[offset] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)])
  }
  const from = random.below(mutated.length)
  switch (random.below(3)) {
    case 0:
      return mutated.subarray(0, from)
    case 1:
      return Buffer.concat([mutated.subarray(0, from), mutated.subarray(from + random.below(30))])
    default:
      return mutated
  }
}

const TEXT_LINES: readonly string[] = [
  'get a b c\r\n',
  'set a 0 0 5\r\nhello\r\n',
  'set alice 0 0 19\r\nalice correct horse\r\n',
  'mg a v t f\r\n',
  'ms a 5 T0\r\nhello\r\n',
  'stats\r\n',
  'version\n',
  'incr a 1 noreply\r\n',
]

interface Session {
  /** What is sent, in one go or in pieces. */
  readonly bytes: Buffer
  readonly frameCount: number
  /** Nothing in it closes the connection: all of it is answered, the last frame too. */
  readonly isSound: boolean
  readonly isBinary: boolean
}

const LAST_OPAQUE = 0xf1a17e11

function makeSession(random: Random): Session {
  const kind = random.pick(['sound', 'sound', 'sound', 'lies', 'mutated', 'noise', 'text'] as const)
  const isLoggedIn = random.below(5) > 0
  const frames: Buffer[] = isLoggedIn ? [LOGIN] : []
  if (kind === 'noise') {
    const bytes = Buffer.concat([...frames, random.bytes(1 + random.below(5000))])
    const frameCount = 1 + Math.floor(bytes.length / 24)
    return { bytes, frameCount, isSound: false, isBinary: isLoggedIn || bytes[0] === 0x80 }
  }
  if (kind === 'text') {
    const lines = Array.from({ length: 1 + random.below(20) }, () => random.pick(TEXT_LINES))
    const text = Buffer.from(lines.join(''), 'latin1')
    const bytes = random.below(2) === 0 ? text : mutate(random, text)
    return { bytes, frameCount: lines.length, isSound: false, isBinary: bytes[0] === 0x80 }
  }
  // Before login few frames are let through, and five refusals end it.
  const count = isLoggedIn ? 1 + random.below(FRAMES_PER_SESSION) : 1 + random.below(10)
  for (let index = 0; index < count; index++) frames.push(soundFrame(random, isLoggedIn))
  if (kind === 'sound') {
    if (isLoggedIn) frames.push(requestFrame({ opcode: NOOP, opaque: LAST_OPAQUE }))
    const bytes = Buffer.concat(frames)
    return { bytes, frameCount: frames.length, isSound: isLoggedIn, isBinary: true }
  }
  if (kind === 'lies') {
    for (let index = 1 + random.below(8); index > 0; index--) frames.push(lyingFrame(random))
    const bytes = Buffer.concat(frames)
    return { bytes, frameCount: frames.length, isSound: false, isBinary: bytes[0] === 0x80 }
  }
  const bytes = mutate(random, Buffer.concat(frames))
  return { bytes, frameCount: frames.length, isSound: false, isBinary: bytes[0] === 0x80 }
}

/** Plays one session; rejects if the server does not end it as it must. */
async function play(server: TestServer, random: Random, name: string): Promise<Session> {
  const session = makeSession(random)
  const socket = connectSocket({ host: server.host, port: server.port, noDelay: true })
  let received: Buffer = Buffer.alloc(0)
  let isLastAnswered = false
  let isReset = false
  let wrongMagic: number | undefined
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => {
    isReset = true
  })
  socket.on('data', (chunk) => {
    if (!session.isBinary) return
    const { frames, rest } = parseResponses(Buffer.concat([received, chunk]))
    received = rest
    for (const { magic, opcode, opaque } of frames) {
      if (magic !== 0x81) wrongMagic ??= magic
      if (opcode === NOOP && opaque === LAST_OPAQUE) isLastAnswered = true
    }
  })
  const leavesEarly = !session.isSound && random.below(6) === 0
  const pieces = random.pick([1, 1, 1, 2, 3, 10])
  let sent = 0
  for (let piece = 1; piece <= pieces && sent < session.bytes.length; piece++) {
    const left = session.bytes.length - sent
    const length = piece === pieces ? left : 1 + random.below(left)
    socket.write(session.bytes.subarray(sent, sent + length))
    sent += length
    if (piece < pieces) await delay(0)
  }
  if (leavesEarly) socket.destroy()
  else socket.end()
  const patience = new AbortController()
  const late = delay(CLOSE_DEADLINE_MS, 'late', { signal: patience.signal })
  late.catch(() => undefined)
  const end = await Promise.race([closed, late])
  patience.abort()
  socket.destroy()
  expect(end, `${name}: the server did not close the connection`).toBeUndefined()
  expect(wrongMagic, `${name}: a reply that is none`).toBeUndefined()
  if (session.isSound) {
    expect([isLastAnswered, isReset], `${name}: not all was answered`).toEqual([true, false])
  }
  if (session.isBinary && !isReset && !leavesEarly) {
    expect(received.length, `${name}: half a reply`).toBe(0)
  }
  return session
}

/** Works on keys of its own until told to stop; returns how many rounds were right. */
async function watchCanary(client: BinaryClient, isOver: () => boolean): Promise<number> {
  let rounds = 0
  const one = Buffer.alloc(20)
  one.writeBigUInt64BE(1n, 0)
  one.writeBigUInt64BE(0n, 8)
  while (!isOver()) {
    const key = `canary ${rounds % 50}`
    const value = `the song of round ${rounds}`.repeat(1 + (rounds % 30))
    client.send(storeFrame(SET, key, value, { flags: rounds }))
    client.send(requestFrame({ opcode: GET, key }))
    client.send(requestFrame({ opcode: INCREMENT, extras: one, key: 'canary rounds' }))
    const [stored, found, counted] = await client.receiveMany(3)
    expect(stored?.status).toBe(OK)
    expect(found?.value.toString()).toBe(value)
    expect(found?.extras).toEqual(words(rounds))
    expect(found?.cas).toBe(stored?.cas)
    expect(counted?.value.readBigUInt64BE()).toBe(BigInt(rounds))
    rounds++
  }
  return rounds
}

test(
  `${FRAMES} frames of all kinds do no harm (SEED=${SEED})`,
  async () => {
    const server = await startSaslcached({
      users: [ALICE],
      // The fuzzer finds FLUSH, and the canary's items are to stay.
      flags: ['-m', String(MEMORY_MIB), '-F', '-c', '200'],
    })
    onTestFinished(async () => await server.stop())
    const canary = await BinaryClient.connect(server)
    onTestFinished(() => canary.destroy())
    await canary.loginPlain(ALICE.name, ALICE.password)
    const before = server.residentBytes
    const startedMs = performance.now()

    let isOver = false
    const watch = watchCanary(canary, () => isOver)
    watch.catch(() => undefined)
    let frameCount = 0
    let sessionCount = 0
    let soundFrameCount = 0
    let highestBytes = before
    const worker = async (): Promise<void> => {
      while (frameCount < FRAMES && !isOver) {
        const index = sessionCount++
        const random = randomOf((SEED + Math.imul(index, 0x9e3779b1)) >>> 0)
        const session = await play(server, random, `session ${index} of SEED=${SEED}`)
        frameCount += session.frameCount
        if (session.isSound) soundFrameCount += session.frameCount
        if (index % 50 === 0) highestBytes = Math.max(highestBytes, server.residentBytes)
      }
    }
    try {
      await Promise.all(Array.from({ length: CONCURRENCY }, worker))
    } finally {
      isOver = true
    }
    const rounds = await watch
    const elapsedSeconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    const growthMib = ((highestBytes - before) / 1024 / 1024).toFixed(0)
    console.log(
      `SEED=${SEED}: ${frameCount} frames (${soundFrameCount} of them in sound sessions) in ` +
        `${sessionCount} sessions and ${elapsedSeconds} s; ${rounds} rounds of the canary; ` +
        `resident memory grew by ${growthMib} MiB at most`,
    )
    expect(rounds).toBeGreaterThan(100)
    expect(highestBytes - before).toBeLessThan(GROWTH_BYTES_MAX)
    expect(server.log().filter(({ level }) => level === 'fatal')).toEqual([])
  },
  DEADLINE_MS,
)
