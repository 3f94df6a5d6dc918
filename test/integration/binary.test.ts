/**
 * Every opcode of the binary dialect over a real socket. The same cases run against saslcached and
 * against Debian's memcached, so that each expectation is known to be memcached's and not ours.
 *
 * Where the two differ on purpose, the case says so by name:
 * - bodies of unknown opcodes and bytes behind the key of TOUCH and GAT are skipped, where memcached
 *   reads them as the next request;
 * - VERBOSITY answers an empty body, as the specification has it;
 * - a refused body of any announced length is answered at once and the connection ends cleanly, where
 *   memcached waits for some and resets on others;
 * - `stats conns` exists in this dialect too.
 * The reference is whatever release Debian has. It has other names in STAT than the release whose list
 * we follow, so there the two are compared in the order of the names that they share.
 * - the VERSION text names us behind the release whose behaviour this is.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { type ResponseFrame, requestFrame, storeFrame, words } from '../support/binary-frames.ts'
import { missingPrerequisite } from '../support/program.ts'
import {
  MEMCACHED,
  type ServerKind,
  type ServerOptions,
  startMemcached,
  startSaslcached,
  type TestServer,
} from '../support/server.ts'

const GET = 0x00
const SET = 0x01
const ADD = 0x02
const REPLACE = 0x03
const DELETE = 0x04
const INCREMENT = 0x05
const DECREMENT = 0x06
const QUIT = 0x07
const FLUSH = 0x08
const GETQ = 0x09
const NOOP = 0x0a
const VERSION = 0x0b
const GETK = 0x0c
const GETKQ = 0x0d
const APPEND = 0x0e
const PREPEND = 0x0f
const STAT = 0x10
const SETQ = 0x11
const ADDQ = 0x12
const REPLACEQ = 0x13
const DELETEQ = 0x14
const INCREMENTQ = 0x15
const DECREMENTQ = 0x16
const QUITQ = 0x17
const FLUSHQ = 0x18
const APPENDQ = 0x19
const PREPENDQ = 0x1a
const VERBOSITY = 0x1b
const TOUCH = 0x1c
const GAT = 0x1d
const GATQ = 0x1e
const SASL_LIST = 0x20
const SASL_AUTH = 0x21
const SASL_STEP = 0x22
const GATK = 0x23
const GATKQ = 0x24

const OK = 0x00
const NOT_FOUND = 0x01
const EXISTS = 0x02
const TOO_LARGE = 0x03
const INVALID = 0x04
const NOT_STORED = 0x05
const NON_NUMERIC = 0x06
const REFUSED = 0x20
const UNKNOWN_COMMAND = 0x81

const TEXT: Readonly<Record<number, string>> = {
  [NOT_FOUND]: 'Not found',
  [EXISTS]: 'Data exists for key.',
  [TOO_LARGE]: 'Too large.',
  [INVALID]: 'Invalid arguments',
  [NOT_STORED]: 'Not stored.',
  [NON_NUMERIC]: 'Non-numeric server-side value for incr or decr',
  [REFUSED]: 'Auth failure.',
  [UNKNOWN_COMMAND]: 'Unknown command',
}

const NEVER_CREATE = 0xffffffff
const RELATIVE_SECONDS_MAX = 30 * 24 * 60 * 60
const OPAQUE = 0xfeed1234
const EXPIRY_DEADLINE_MS = 60_000

type Start = (options?: ServerOptions) => Promise<TestServer>

const missingMemcached = missingPrerequisite([MEMCACHED])
const SERVERS: [ServerKind, Start][] = [['saslcached', startSaslcached]]
if (missingMemcached === undefined) SERVERS.push(['memcached', startMemcached])
else console.warn(`the reference: ${missingMemcached}`)

/** Extras of INCREMENT and DECREMENT. */
function counterExtras(delta: bigint, initial: bigint, expiry: number): Buffer {
  const extras = Buffer.alloc(20)
  extras.writeBigUInt64BE(delta, 0)
  extras.writeBigUInt64BE(initial, 8)
  extras.writeUInt32BE(expiry, 16)
  return extras
}

function counterFrame(
  opcode: number,
  key: string,
  options: { delta?: bigint; initial?: bigint; expiry?: number; cas?: bigint } = {},
): Buffer {
  const { delta = 1n, initial = 0n, expiry = NEVER_CREATE, cas } = options
  return requestFrame({ opcode, extras: counterExtras(delta, initial, expiry), key, cas })
}

function keyFrame(opcode: number, key: string, cas?: bigint): Buffer {
  return requestFrame({ opcode, key, cas, opaque: OPAQUE })
}

function touchFrame(opcode: number, key: string, expiry: number): Buffer {
  return requestFrame({ opcode, extras: words(expiry), key, opaque: OPAQUE })
}

/** Fails unless `frame` is the error reply that memcached sends, to the byte. */
function expectError(frame: ResponseFrame, opcode: number, status: number): void {
  expect({
    opcode: frame.opcode,
    status: frame.status,
    text: frame.value.toString(),
    extras: frame.extras.length,
    key: frame.key.length,
    cas: frame.cas,
  }).toEqual({ opcode, status, text: TEXT[status], extras: 0, key: 0, cas: 0n })
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000)
}

describe.each(SERVERS)('%s', (kind, start) => {
  let server: TestServer
  let keyCount = 0
  beforeAll(async () => {
    server = await start()
  })
  afterAll(async () => await server?.stop())

  /** A key that no other test has. */
  const freshKey = (): string => `key:${++keyCount}`

  const connect = async (to: TestServer = server): Promise<BinaryClient> => {
    const client = await BinaryClient.connect(to)
    onTestFinished(() => client.destroy())
    return client
  }

  const send = async (client: BinaryClient, bytes: Buffer): Promise<ResponseFrame> => {
    client.send(bytes)
    return await client.receive()
  }

  const store = async (client: BinaryClient, key: string, value: string, flags = 0) => {
    const stored = await send(client, storeFrame(SET, key, value, { flags }))
    expect(stored.status).toBe(OK)
    return stored.cas
  }

  /** The replies that `bytes` bring, known to be all because a NOOP behind them was answered. */
  const repliesTo = async (client: BinaryClient, bytes: Buffer): Promise<ResponseFrame[]> => {
    const end = 0x0ff5e7
    client.send(Buffer.concat([bytes, requestFrame({ opcode: NOOP, opaque: end })]))
    const replies: ResponseFrame[] = []
    for (;;) {
      const reply = await client.receive()
      if (reply.opcode === NOOP && reply.opaque === end) return replies
      replies.push(reply)
    }
  }

  const readValue = async (client: BinaryClient, key: string): Promise<string | undefined> => {
    const found = await send(client, keyFrame(GET, key))
    return found.status === OK ? found.value.toString() : undefined
  }

  const statsOf = async (client: BinaryClient, group = ''): Promise<[string, string][]> => {
    client.send(requestFrame({ opcode: STAT, key: group }))
    const rows: [string, string][] = []
    for (;;) {
      const { status, key, value } = await client.receive()
      expect(status).toBe(OK)
      if (key.length === 0) return rows
      rows.push([key.toString(), value.toString()])
    }
  }

  describe('the GET family', () => {
    test.each([
      ['GET', GET, false],
      ['GETQ', GETQ, false],
      ['GETK', GETK, true],
      ['GETKQ', GETKQ, true],
    ] as const)('%s answers flags, value and CAS of an item', async (_, opcode, wantsKey) => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'a value', 0xdeadbeef)
      const found = await send(client, keyFrame(opcode, key))
      expect(found).toEqual({
        magic: 0x81,
        opcode,
        status: OK,
        extras: words(0xdeadbeef),
        key: Buffer.from(wantsKey ? key : ''),
        value: Buffer.from('a value'),
        opaque: OPAQUE,
        cas,
      })
      expect(cas).not.toBe(0n)
    })

    test('an empty value is found', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, '')
      expect(await readValue(client, key)).toBe('')
    })

    test.each([
      ['GAT', GAT, false],
      ['GATQ', GATQ, false],
      ['GATK', GATK, true],
      ['GATKQ', GATKQ, true],
    ] as const)('%s answers flags, value and CAS of an item', async (_, opcode, wantsKey) => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'a value', 7)
      const found = await send(client, touchFrame(opcode, key, 100))
      expect(found.status).toBe(OK)
      expect(found.extras).toEqual(words(7))
      expect(found.key.toString()).toBe(wantsKey ? key : '')
      expect(found.value.toString()).toBe('a value')
      expect(found.opaque).toBe(OPAQUE)
      expect(found.cas).toBe(cas)
    })

    test('a miss of GET and GAT is Not found', async () => {
      const client = await connect()
      expectError(await send(client, keyFrame(GET, freshKey())), GET, NOT_FOUND)
      expectError(await send(client, touchFrame(GAT, freshKey(), 0)), GAT, NOT_FOUND)
    })

    test('a miss of GETK and GATK carries the key as its body', async () => {
      const client = await connect()
      for (const [opcode, frame] of [
        [GETK, keyFrame(GETK, 'missing')],
        [GATK, touchFrame(GATK, 'missing', 0)],
      ] as const) {
        const missed = await send(client, frame)
        expect(missed.opcode).toBe(opcode)
        expect(missed.status).toBe(NOT_FOUND)
        expect(missed.extras.length).toBe(0)
        expect(missed.key.toString()).toBe('missing')
        expect(missed.value.length).toBe(0)
      }
    })

    test('a quiet miss is silent', async () => {
      const client = await connect()
      const misses = [
        keyFrame(GETQ, freshKey()),
        keyFrame(GETKQ, freshKey()),
        touchFrame(GATQ, freshKey(), 0),
        touchFrame(GATKQ, freshKey(), 0),
      ]
      expect(await repliesTo(client, Buffer.concat(misses))).toEqual([])
    })
  })

  describe('SET, ADD, REPLACE', () => {
    test.each([
      ['SET', SET],
      ['ADD', ADD],
      ['REPLACE', REPLACE],
    ])('%s answers the CAS and nothing else', async (_, opcode) => {
      const client = await connect()
      const key = freshKey()
      if (opcode === REPLACE) await store(client, key, 'old')
      const stored = await send(client, storeFrame(opcode, key, 'new', { opaque: OPAQUE }))
      expect(stored).toMatchObject({ magic: 0x81, opcode, status: OK, opaque: OPAQUE })
      expect(stored.extras.length + stored.key.length + stored.value.length).toBe(0)
      const found = await send(client, keyFrame(GET, key))
      expect(found.value.toString()).toBe('new')
      expect(found.cas).toBe(stored.cas)
    })

    test('every change gives the item another CAS', async () => {
      const client = await connect()
      const key = freshKey()
      const first = await store(client, key, 'one')
      const second = await store(client, key, 'one')
      expect(second).not.toBe(first)
    })

    test.each([
      ['SET', SET],
      ['REPLACE', REPLACE],
    ])('%s with the CAS of the item stores', async (_, opcode) => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'old')
      expect((await send(client, storeFrame(opcode, key, 'new', { cas }))).status).toBe(OK)
      expect(await readValue(client, key)).toBe('new')
    })

    test.each([
      ['SET', SET],
      ['REPLACE', REPLACE],
      ['SETQ', SETQ],
      ['REPLACEQ', REPLACEQ],
    ])('%s with another CAS is refused and changes nothing', async (_, opcode) => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'old')
      for (const wrong of [cas + 1n, cas ^ (1n << 63n), 1n << 32n]) {
        expectError(
          await send(client, storeFrame(opcode, key, 'new', { cas: wrong })),
          opcode,
          EXISTS,
        )
      }
      expect(await readValue(client, key)).toBe('old')
    })

    test.each([
      ['SET', SET],
      ['ADD', ADD],
      ['REPLACE', REPLACE],
      ['SETQ', SETQ],
      ['ADDQ', ADDQ],
      ['REPLACEQ', REPLACEQ],
    ])('%s with a CAS and no item is Not found', async (_, opcode) => {
      const client = await connect()
      const key = freshKey()
      expectError(
        await send(client, storeFrame(opcode, key, 'new', { cas: 5n })),
        opcode,
        NOT_FOUND,
      )
      expect(await readValue(client, key)).toBeUndefined()
    })

    test('ADD of an existing key is refused, quiet or not', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, 'old')
      for (const opcode of [ADD, ADDQ]) {
        expectError(await send(client, storeFrame(opcode, key, 'new')), opcode, EXISTS)
      }
      expect(await readValue(client, key)).toBe('old')
    })

    test('REPLACE of a missing key is Not found, quiet or not', async () => {
      const client = await connect()
      for (const opcode of [REPLACE, REPLACEQ]) {
        expectError(await send(client, storeFrame(opcode, freshKey(), 'new')), opcode, NOT_FOUND)
      }
    })

    test('quiet success is silent and takes effect', async () => {
      const client = await connect()
      const [set, add, replace] = [freshKey(), freshKey(), freshKey()]
      await store(client, replace, 'old')
      const frames = [
        storeFrame(SETQ, set, 's'),
        storeFrame(ADDQ, add, 'a'),
        storeFrame(REPLACEQ, replace, 'r'),
      ]
      expect(await repliesTo(client, Buffer.concat(frames))).toEqual([])
      expect(await readValue(client, set)).toBe('s')
      expect(await readValue(client, add)).toBe('a')
      expect(await readValue(client, replace)).toBe('r')
    })

    test('a key of 250 bytes and keys of any bytes are stored', async () => {
      const client = await connect()
      for (const key of [
        Buffer.alloc(250, 'k'),
        Buffer.from([0]),
        Buffer.from(' \r\n\0\xff', 'latin1'),
        Buffer.from('schlüssel-鍵'),
      ]) {
        const stored = await client.request({ opcode: SET, extras: words(0, 0), key, value: 'v' })
        expect(stored.status).toBe(OK)
        const found = await client.request({ opcode: GETK, key })
        expect(found.key).toEqual(key)
        expect(found.value.toString()).toBe('v')
      }
    })

    test.each([
      ['SET', SET],
      ['SETQ', SETQ],
    ])(
      '%s of a value that is too large is refused, and the old item is gone',
      async (_, opcode) => {
        const client = await connect()
        const key = freshKey()
        await store(client, key, 'old')
        const tooLarge = Buffer.alloc(1024 * 1024 + 1, 'x')
        const frame = storeFrame(opcode, key, tooLarge)
        const replies = await repliesTo(client, frame)
        expect(replies.length).toBe(1)
        expectError(replies[0] as ResponseFrame, opcode, TOO_LARGE)
        expect(await readValue(client, key)).toBeUndefined()
      },
    )

    test.each([
      ['ADD', ADD],
      ['REPLACE', REPLACE],
      ['APPEND', APPEND],
      ['PREPEND', PREPEND],
    ])(
      '%s of a value that is too large is refused, the stream stays in step',
      async (_, opcode) => {
        const client = await connect()
        const key = freshKey()
        const tooLarge = Buffer.alloc(1024 * 1024 + 1, 'x')
        const extras = opcode === ADD || opcode === REPLACE ? words(0, 0) : undefined
        const replies = await repliesTo(
          client,
          requestFrame({ opcode, extras, key, value: tooLarge }),
        )
        expect(replies.map(({ status }) => status)).toEqual([TOO_LARGE])
        expect(replies[0]?.value.toString()).toBe(TEXT[TOO_LARGE])
      },
    )
  })

  describe('DELETE', () => {
    test('removes the item and answers nothing but success', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, 'old')
      const deleted = await send(client, keyFrame(DELETE, key))
      expect(deleted).toMatchObject({ opcode: DELETE, status: OK, opaque: OPAQUE, cas: 0n })
      expect(deleted.extras.length + deleted.key.length + deleted.value.length).toBe(0)
      expect(await readValue(client, key)).toBeUndefined()
    })

    test('of a missing key is Not found, quiet or not', async () => {
      const client = await connect()
      for (const opcode of [DELETE, DELETEQ]) {
        expectError(await send(client, keyFrame(opcode, freshKey())), opcode, NOT_FOUND)
      }
    })

    test('heeds the CAS', async () => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'old')
      expectError(await send(client, keyFrame(DELETE, key, cas + 1n)), DELETE, EXISTS)
      expect(await readValue(client, key)).toBe('old')
      expect((await send(client, keyFrame(DELETE, key, cas))).status).toBe(OK)
      expect(await readValue(client, key)).toBeUndefined()
    })

    test('quiet success is silent and takes effect', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, 'old')
      expect(await repliesTo(client, keyFrame(DELETEQ, key))).toEqual([])
      expect(await readValue(client, key)).toBeUndefined()
    })
  })

  describe('INCREMENT and DECREMENT', () => {
    const numberOf = (frame: ResponseFrame): bigint => {
      expect(frame.status).toBe(OK)
      expect(frame.extras.length + frame.key.length).toBe(0)
      expect(frame.value.length).toBe(8)
      return frame.value.readBigUInt64BE()
    }

    test('make a missing item from the initial value, with flags 0', async () => {
      const client = await connect()
      for (const opcode of [INCREMENT, DECREMENT]) {
        const key = freshKey()
        const made = await send(
          client,
          counterFrame(opcode, key, { delta: 5n, initial: 10n, expiry: 0 }),
        )
        expect(numberOf(made)).toBe(10n)
        expect(made.cas).not.toBe(0n)
        const found = await send(client, keyFrame(GET, key))
        expect(found.value.toString()).toBe('10')
        expect(found.extras).toEqual(words(0))
        expect(found.cas).toBe(made.cas)
      }
    })

    test('make none when the expiry is 0xffffffff', async () => {
      const client = await connect()
      for (const opcode of [INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ]) {
        expectError(await send(client, counterFrame(opcode, freshKey())), opcode, NOT_FOUND)
      }
    })

    test('count on what is there and change the CAS', async () => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, '99')
      const up = await send(client, counterFrame(INCREMENT, key, { delta: 3n }))
      expect(numberOf(up)).toBe(102n)
      expect(up.cas).not.toBe(cas)
      expect(await readValue(client, key)).toBe('102')
      expect(numberOf(await send(client, counterFrame(DECREMENT, key, { delta: 2n })))).toBe(100n)
    })

    test('a shorter result of DECREMENT keeps the length of the item', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, '10')
      expect(numberOf(await send(client, counterFrame(DECREMENT, key)))).toBe(9n)
      // The reference does so most of the time, but not in every run.
      expect(await readValue(client, key)).toMatch(kind === 'memcached' ? /^9 ?$/ : /^9 $/)
      expect(numberOf(await send(client, counterFrame(INCREMENT, key)))).toBe(10n)
    })

    test('INCREMENT wraps at 2^64 and DECREMENT stops at 0', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, '18446744073709551615')
      expect(numberOf(await send(client, counterFrame(INCREMENT, key, { delta: 3n })))).toBe(2n)
      expect(numberOf(await send(client, counterFrame(DECREMENT, key, { delta: 3n })))).toBe(0n)
    })

    test('64-bit deltas and initial values are exact', async () => {
      const client = await connect()
      const key = freshKey()
      const initial = 0x0123456789abcdefn
      const delta = 0x8000000080000001n
      await send(client, counterFrame(INCREMENT, key, { initial, expiry: 0 }))
      const up = numberOf(await send(client, counterFrame(INCREMENT, key, { delta })))
      expect(up).toBe(initial + delta)
      expect(await readValue(client, key)).toBe(String(initial + delta))
      expect(numberOf(await send(client, counterFrame(DECREMENT, key, { delta })))).toBe(initial)
    })

    test.each(['abc', '', '-1', '1a', '18446744073709551616'])(
      'the value %j is no number',
      async (value) => {
        const client = await connect()
        const key = freshKey()
        await store(client, key, value)
        for (const opcode of [INCREMENT, DECREMENT, INCREMENTQ, DECREMENTQ]) {
          expectError(await send(client, counterFrame(opcode, key)), opcode, NON_NUMERIC)
        }
        expect(await readValue(client, key)).toBe(value)
      },
    )

    test('heed the CAS', async () => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, '5')
      expectError(
        await send(client, counterFrame(INCREMENT, key, { cas: cas + 1n })),
        INCREMENT,
        EXISTS,
      )
      expect(numberOf(await send(client, counterFrame(INCREMENT, key, { cas })))).toBe(6n)
    })

    test('keep the flags of the item', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, '9', 77)
      await send(client, counterFrame(INCREMENT, key))
      const found = await send(client, keyFrame(GET, key))
      expect(found.value.toString()).toBe('10')
      expect(found.extras).toEqual(words(77))
    })

    test('quiet success is silent and takes effect', async () => {
      const client = await connect()
      const key = freshKey()
      const frames = [
        counterFrame(INCREMENTQ, key, { initial: 7n, expiry: 0 }),
        counterFrame(INCREMENTQ, key, { delta: 5n }),
        counterFrame(DECREMENTQ, key, { delta: 2n }),
      ]
      expect(await repliesTo(client, Buffer.concat(frames))).toEqual([])
      expect(await readValue(client, key)).toBe('10')
    })
  })

  describe('APPEND and PREPEND', () => {
    test('add to the value, keep the flags and change the CAS', async () => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'b', 9)
      const appended = await client.request({ opcode: APPEND, key, value: 'c' })
      expect(appended).toMatchObject({ opcode: APPEND, status: OK })
      expect(appended.extras.length + appended.key.length + appended.value.length).toBe(0)
      expect(appended.cas).not.toBe(cas)
      const prepended = await client.request({ opcode: PREPEND, key, value: 'a' })
      expect(prepended.status).toBe(OK)
      const found = await send(client, keyFrame(GET, key))
      expect(found.value.toString()).toBe('abc')
      expect(found.extras).toEqual(words(9))
      expect(found.cas).toBe(prepended.cas)
    })

    test('to a missing key are Not stored, quiet or not', async () => {
      const client = await connect()
      for (const opcode of [APPEND, PREPEND, APPENDQ, PREPENDQ]) {
        const refused = await client.request({ opcode, key: freshKey(), value: 'x' })
        expectError(refused, opcode, NOT_STORED)
      }
    })

    test('heed the CAS', async () => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'b')
      for (const opcode of [APPEND, PREPEND, APPENDQ, PREPENDQ]) {
        const refused = await client.request({ opcode, key, value: 'x', cas: cas + 1n })
        expectError(refused, opcode, EXISTS)
      }
      expect((await client.request({ opcode: APPEND, key, value: 'c', cas })).status).toBe(OK)
      expect(await readValue(client, key)).toBe('bc')
    })

    test('quiet success is silent and takes effect', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, 'b')
      const frames = [
        requestFrame({ opcode: APPENDQ, key, value: 'c' }),
        requestFrame({ opcode: PREPENDQ, key, value: 'a' }),
      ]
      expect(await repliesTo(client, Buffer.concat(frames))).toEqual([])
      expect(await readValue(client, key)).toBe('abc')
    })

    test('beyond the largest item are refused, and the item stays as it was', async () => {
      const client = await connect()
      const key = freshKey()
      const half = 'x'.repeat(600 * 1024)
      await store(client, key, half)
      for (const opcode of [APPEND, PREPEND]) {
        const refused = await client.request({ opcode, key, value: half })
        expectError(refused, opcode, NOT_STORED)
      }
      expect((await readValue(client, key))?.length).toBe(half.length)
    })
  })

  describe('TOUCH', () => {
    test('answers the flags and the CAS, which it does not change', async () => {
      const client = await connect()
      const key = freshKey()
      const cas = await store(client, key, 'v', 5)
      const touched = await send(client, touchFrame(TOUCH, key, 100))
      expect(touched).toMatchObject({ opcode: TOUCH, status: OK, opaque: OPAQUE })
      expect(touched.extras).toEqual(words(5))
      expect(touched.key.length + touched.value.length).toBe(0)
      expect(touched.cas).toBe(cas)
      expect((await send(client, keyFrame(GET, key))).cas).toBe(cas)
    })

    test('of a missing key is Not found', async () => {
      const client = await connect()
      expectError(await send(client, touchFrame(TOUCH, freshKey(), 100)), TOUCH, NOT_FOUND)
    })
  })

  describe('expiry', () => {
    test('is relative up to 30 days and Unix time beyond', async () => {
      const client = await connect()
      const expiries: readonly [number, boolean][] = [
        [0, true],
        [100, true],
        [RELATIVE_SECONDS_MAX, true],
        [RELATIVE_SECONDS_MAX + 1, false],
        [unixSeconds() - 100, false],
        [unixSeconds() + 100, true],
        [0x7fffffff, true],
        [0x80000000, true],
        [0xffffffff, true],
      ]
      for (const [expiry, isKept] of expiries) {
        const key = freshKey()
        expect((await send(client, storeFrame(SET, key, 'v', { expiry }))).status).toBe(OK)
        expect([expiry, (await readValue(client, key)) !== undefined]).toEqual([expiry, isKept])
      }
    })

    test('in the past ends an item at once, by TOUCH and GAT too', async () => {
      const client = await connect()
      const past = unixSeconds() - 100
      const [touched, got] = [freshKey(), freshKey()]
      await store(client, touched, 'v')
      await store(client, got, 'v')
      expect((await send(client, touchFrame(TOUCH, touched, past))).status).toBe(OK)
      expect(await readValue(client, touched)).toBeUndefined()
      expect((await send(client, touchFrame(GAT, got, past))).value.toString()).toBe('v')
      expect(await readValue(client, got)).toBeUndefined()
    })

    test('comes to pass, however it was set', async () => {
      const client = await connect()
      const [long, short] = [100, 2]
      // Made and changed in one packet: a short expiry may be due before another could follow.
      const pair = async (first: Buffer, second: Buffer): Promise<ResponseFrame[]> =>
        await repliesTo(client, Buffer.concat([first, second]))
      const made: Record<string, (key: string, seconds: number) => Promise<ResponseFrame[]>> = {
        relative: async (key, seconds) =>
          await repliesTo(client, storeFrame(SET, key, 'v', { expiry: seconds })),
        absolute: async (key, seconds) =>
          await repliesTo(client, storeFrame(ADD, key, 'v', { expiry: unixSeconds() + seconds })),
        touched: async (key, seconds) =>
          await pair(storeFrame(SET, key, 'v'), touchFrame(TOUCH, key, seconds)),
        'got and touched': async (key, seconds) =>
          await pair(storeFrame(SET, key, 'v'), touchFrame(GAT, key, seconds)),
        counter: async (key, seconds) =>
          await repliesTo(client, counterFrame(INCREMENT, key, { initial: 1n, expiry: seconds })),
        appended: async (key, seconds) =>
          await pair(
            storeFrame(SET, key, 'v', { expiry: seconds }),
            requestFrame({ opcode: APPEND, key, value: 'w' }),
          ),
      }
      const prolonged = freshKey()
      await pair(
        storeFrame(SET, prolonged, 'v', { expiry: short }),
        touchFrame(TOUCH, prolonged, 0),
      )
      const keys = new Map<string, { kept: string; gone: string }>()
      const startedMs = performance.now()
      for (const [name, make] of Object.entries(made)) {
        const [kept, gone] = [freshKey(), freshKey()]
        for (const { status } of await make(kept, long)) expect([name, status]).toEqual([name, OK])
        for (const { status } of await make(gone, short)) expect([name, status]).toEqual([name, OK])
        keys.set(name, { kept, gone })
      }
      for (const [name, { kept, gone }] of keys) {
        while ((await readValue(client, gone)) !== undefined) {
          expect(performance.now() - startedMs, name).toBeLessThan(EXPIRY_DEADLINE_MS)
        }
        expect([name, (await readValue(client, kept)) !== undefined]).toEqual([name, true])
      }
      expect(await readValue(client, prolonged)).toBe('v')
    })
  })

  describe('FLUSH', () => {
    test.each([
      ['without extras', undefined],
      ['with expiry 0', words(0)],
    ])('%s empties the cache and leaves what is stored afterwards', async (_, extras) => {
      const client = await connect()
      const [before, after] = [freshKey(), freshKey()]
      await store(client, before, 'v')
      const flushed = await client.request({ opcode: FLUSH, extras, opaque: OPAQUE })
      expect(flushed).toMatchObject({ opcode: FLUSH, status: OK, opaque: OPAQUE, cas: 0n })
      expect(flushed.extras.length + flushed.key.length + flushed.value.length).toBe(0)
      expect(await readValue(client, before)).toBeUndefined()
      await store(client, after, 'v')
      expect(await readValue(client, after)).toBe('v')
    })

    test('quiet is silent and takes effect', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, 'v')
      expect(await repliesTo(client, requestFrame({ opcode: FLUSHQ }))).toEqual([])
      expect(await readValue(client, key)).toBeUndefined()
    })

    test('with an expiry acts that many seconds later', async () => {
      const client = await connect()
      const key = freshKey()
      await store(client, key, 'v')
      const startedMs = performance.now()
      expect((await client.request({ opcode: FLUSH, extras: words(100) })).status).toBe(OK)
      expect(await readValue(client, key)).toBe('v')
      expect((await client.request({ opcode: FLUSH, extras: words(2) })).status).toBe(OK)
      while ((await readValue(client, key)) !== undefined) {
        expect(performance.now() - startedMs).toBeLessThan(EXPIRY_DEADLINE_MS)
      }
      // Items of the second in which it acts may go as well; then it is over.
      let isOver = false
      while (!isOver) {
        const next = freshKey()
        await store(client, next, 'v')
        isOver = (await readValue(client, next)) === 'v'
        expect(performance.now() - startedMs).toBeLessThan(EXPIRY_DEADLINE_MS)
      }
    })

    test('is refused where -F forbids it, and the connection stays', async () => {
      const strict = await start({ flags: ['-F'] })
      onTestFinished(async () => await strict.stop())
      const client = await connect(strict)
      await store(client, 'kept', 'v')
      for (const opcode of [FLUSH, FLUSHQ]) {
        expectError(await client.request({ opcode }), opcode, REFUSED)
      }
      expect(await readValue(client, 'kept')).toBe('v')
    })
  })

  describe('NOOP, VERSION, VERBOSITY, QUIT', () => {
    test('NOOP answers an empty packet with its opaque', async () => {
      const client = await connect()
      const answered = await client.request({ opcode: NOOP, opaque: OPAQUE })
      expect(answered).toEqual({
        magic: 0x81,
        opcode: NOOP,
        status: OK,
        extras: Buffer.alloc(0),
        key: Buffer.alloc(0),
        value: Buffer.alloc(0),
        opaque: OPAQUE,
        cas: 0n,
      })
    })

    test('VERSION begins with the release of memcached', async () => {
      const client = await connect()
      const { status, value, cas } = await client.request({ opcode: VERSION })
      expect({ status, cas }).toEqual({ status: OK, cas: 0n })
      expect(value.toString()).toMatch(/^1\.6\.\d+/)
    })

    test('QUIT answers, then closes; what came before is answered first', async () => {
      const client = await connect()
      client.send(
        Buffer.concat([
          requestFrame({ opcode: NOOP, opaque: 1 }),
          requestFrame({ opcode: QUIT, opaque: 2 }),
          requestFrame({ opcode: NOOP, opaque: 3 }),
        ]),
      )
      const replies = await client.closed()
      expect(replies.map(({ opcode, status, opaque }) => [opcode, status, opaque])).toEqual([
        [NOOP, OK, 1],
        [QUIT, OK, 2],
      ])
    })

    test('QUITQ closes without an answer', async () => {
      const client = await connect()
      client.send(Buffer.concat([requestFrame({ opcode: NOOP }), requestFrame({ opcode: QUITQ })]))
      expect((await client.closed()).map(({ opcode }) => opcode)).toEqual([NOOP])
    })
  })

  describe('a server without authentication', () => {
    test.each([
      ['LIST', SASL_LIST, undefined],
      ['AUTH', SASL_AUTH, 'PLAIN'],
      ['STEP', SASL_STEP, 'PLAIN'],
    ])('answers SASL %s with Unknown command and goes on', async (_, opcode, key) => {
      const client = await connect()
      expectError(await client.request({ opcode, key }), opcode, UNKNOWN_COMMAND)
      expect((await client.request({ opcode: NOOP })).status).toBe(OK)
    })
  })

  describe('wrong frames', () => {
    const refusals: [string, Parameters<typeof requestFrame>[0]][] = [
      ['GET with extras', { opcode: GET, extras: words(1), key: 'k' }],
      ['GET without a key', { opcode: GET }],
      ['GET with a value', { opcode: GET, key: 'k', value: 'v' }],
      ['GETKQ with extras', { opcode: GETKQ, extras: words(1), key: 'k' }],
      ['SET without extras', { opcode: SET, key: 'k', value: 'v' }],
      ['SET with half its extras', { opcode: SET, extras: words(1), key: 'k', value: 'v' }],
      ['SET without a key', { opcode: SET, extras: words(0, 0), value: 'v' }],
      ['ADDQ with too long extras', { opcode: ADDQ, extras: words(0, 0, 0), key: 'k' }],
      ['DELETE with extras', { opcode: DELETE, extras: words(1), key: 'k' }],
      ['DELETE without a key', { opcode: DELETE }],
      ['DELETE with a value', { opcode: DELETE, key: 'k', value: 'v' }],
      ['INCREMENT without extras', { opcode: INCREMENT, key: 'k' }],
      ['INCREMENT without a key', { opcode: INCREMENT, extras: counterExtras(1n, 1n, 0) }],
      [
        'INCREMENT with a value',
        { opcode: INCREMENT, extras: counterExtras(1n, 1n, 0), key: 'k', value: 'v' },
      ],
      ['APPEND with extras', { opcode: APPEND, extras: words(0, 0), key: 'k', value: 'v' }],
      ['APPEND without a key', { opcode: APPEND, value: 'v' }],
      ['STAT with extras', { opcode: STAT, extras: words(0) }],
      ['NOOP with a body', { opcode: NOOP, value: 'v' }],
      ['NOOP with extras', { opcode: NOOP, extras: words(0) }],
      ['VERSION with a key', { opcode: VERSION, key: 'k' }],
      ['QUIT with a body', { opcode: QUIT, value: 'v' }],
      ['FLUSH with a key', { opcode: FLUSH, key: 'k' }],
      ['FLUSH with long extras', { opcode: FLUSH, extras: words(0, 0) }],
      ['TOUCH without extras', { opcode: TOUCH, key: 'k' }],
      ['TOUCH without a key', { opcode: TOUCH, extras: words(0) }],
      ['GAT without extras', { opcode: GAT, key: 'k' }],
      ['GATKQ without a key', { opcode: GATKQ, extras: words(0) }],
      ['a key of 251 bytes', { opcode: GET, key: 'k'.repeat(251) }],
      ['SET with a key of 251 bytes', { opcode: SET, extras: words(0, 0), key: 'k'.repeat(251) }],
    ]
    if (kind === 'saslcached') {
      refusals.push(
        ['a key of 65535 bytes', { opcode: GET, key: 'k'.repeat(65535) }],
        [
          'a body beyond 1 GiB',
          { opcode: SET, extras: words(0, 0), key: 'k', bodyLength: 0x40000001 },
        ],
        ['a body of 4 GiB', { opcode: APPEND, key: 'k', bodyLength: 0xffffffff }],
      )
    }
    test.each(refusals)('%s: Invalid arguments, then close', async (_, fields) => {
      const client = await connect()
      client.send(requestFrame({ opcode: NOOP, opaque: 1 }))
      client.send(requestFrame({ ...fields, opaque: 2 }))
      const [noop, refused, ...more] = await client.closed()
      expect(noop).toMatchObject({ opcode: NOOP, status: OK, opaque: 1 })
      expectError(refused as ResponseFrame, fields.opcode, INVALID)
      expect(refused?.opaque).toBe(2)
      expect(more).toEqual([])
    })

    test.each([
      ['key longer than the body', { opcode: GET, key: 'key', bodyLength: 2 }],
      ['extras longer than the body', { opcode: SET, extras: words(0, 0), bodyLength: 4 }],
      [
        'key and extras together longer than the body',
        { opcode: SET, extras: words(0, 0), key: 'key', bodyLength: 10 },
      ],
      ['a key and no body', { opcode: NOOP, key: 'k', bodyLength: 0 }],
      ['the same for an unknown opcode', { opcode: 0xee, key: 'k'.repeat(9), bodyLength: 1 }],
    ])('%s: Unknown command, then close', async (_, fields) => {
      const client = await connect()
      client.send(requestFrame({ ...fields, opaque: 2 }))
      const replies = await client.closed()
      expect(replies.length).toBe(1)
      expectError(replies[0] as ResponseFrame, fields.opcode, UNKNOWN_COMMAND)
      expect(replies[0]?.opaque).toBe(2)
    })

    test('another magic behind good requests closes without a reply to it', async () => {
      for (const magic of [0x81, 0x00, 0x67]) {
        const client = await connect()
        client.send(
          Buffer.concat([
            requestFrame({ opcode: NOOP, opaque: 1 }),
            requestFrame({ opcode: NOOP, magic, opaque: 2 }),
          ]),
        )
        expect((await client.closed()).map(({ opaque }) => opaque)).toEqual([1])
        expect(client.unframed.length).toBe(0)
      }
    })

    test('every opcode that the dialect does not have is an Unknown command', async () => {
      const client = await connect()
      const unknown = [0x1f]
      for (let opcode = 0x25; opcode < 0x100; opcode++) {
        // 0x30 to 0x3c are memcached's reserved range commands, 0x40 and up its unused ones.
        unknown.push(opcode)
      }
      client.send(Buffer.concat(unknown.map((opcode) => requestFrame({ opcode }))))
      for (const opcode of unknown) expectError(await client.receive(), opcode, UNKNOWN_COMMAND)
      expect((await client.request({ opcode: NOOP })).status).toBe(OK)
    })

    test('data type and reserved bytes are ignored', async () => {
      const client = await connect()
      const frame = requestFrame({ opcode: NOOP, opaque: 3 })
      frame[5] = 0xff
      frame.writeUInt16BE(0xffff, 6)
      expect(await send(client, frame)).toMatchObject({ opcode: NOOP, status: OK, opaque: 3 })
    })
  })

  test('-C answers a CAS of 0 everywhere', async () => {
    const plain = await start({ flags: ['-C'] })
    onTestFinished(async () => await plain.stop())
    const client = await connect(plain)
    expect(await store(client, 'k', '1')).toBe(0n)
    expect((await send(client, keyFrame(GET, 'k'))).cas).toBe(0n)
    expect((await send(client, counterFrame(INCREMENT, 'k'))).cas).toBe(0n)
    expect((await send(client, touchFrame(TOUCH, 'k', 0))).cas).toBe(0n)
    expect((await client.request({ opcode: APPEND, key: 'k', value: '1' })).cas).toBe(0n)
  })

  describe('STAT', () => {
    test('an unknown group is Not found', async () => {
      const client = await connect()
      expectError(await send(client, keyFrame(STAT, 'no such group')), STAT, NOT_FOUND)
      expect((await client.request({ opcode: NOOP })).status).toBe(OK)
    })

    test('every packet carries opcode and opaque, and an empty one ends them', async () => {
      const client = await connect()
      const replies = await repliesTo(client, requestFrame({ opcode: STAT, opaque: OPAQUE }))
      expect(replies.length).toBeGreaterThan(90)
      for (const { opcode, status, opaque, extras, cas } of replies) {
        expect({ opcode, status, opaque, extras: extras.length, cas }).toEqual({
          opcode: STAT,
          status: OK,
          opaque: OPAQUE,
          extras: 0,
          cas: 0n,
        })
      }
      const last = replies.pop()
      expect(last?.key.length).toBe(0)
      expect(last?.value.length).toBe(0)
      expect(replies.every(({ key }) => key.length > 0)).toBe(true)
    })

    test('the general group has the names of memcached in their order', async () => {
      const client = await connect()
      const names = (await statsOf(client)).map(([name]) => name)
      if (kind === 'saslcached') expect(names).toEqual(GENERAL_NAMES)
      // Each release of the reference has a few names of its own and lacks a few others.
      const shared = GENERAL_NAMES.filter((name) => names.includes(name))
      expect(names.filter((name) => GENERAL_NAMES.includes(name))).toEqual(shared)
      expect(shared.length).toBeGreaterThan(80)
    })

    test('idle_kicks stands between auth_errors and bytes_read with an idle timeout', async () => {
      const timed = await start({ flags: ['-o', 'idle_timeout=60'] })
      onTestFinished(async () => await timed.stop())
      const names = (await statsOf(await connect(timed))).map(([name]) => name)
      const at = names.indexOf('idle_kicks')
      expect(names.slice(at - 1, at + 2)).toEqual(['auth_errors', 'idle_kicks', 'bytes_read'])
    })

    test('counts what was done', async () => {
      const counting = await start()
      onTestFinished(async () => await counting.stop())
      const client = await connect(counting)
      const cas = await store(client, 'a', '1')
      const done = [
        storeFrame(SET, 'a', '2', { cas }),
        storeFrame(SET, 'a', '2', { cas: cas + 1000n }),
        storeFrame(SET, 'missing', '2', { cas: 7n }),
        storeFrame(ADD, 'a', '2'),
        keyFrame(GET, 'a'),
        keyFrame(GETK, 'a'),
        keyFrame(GET, 'missing'),
        keyFrame(GETQ, 'missing'),
        counterFrame(INCREMENT, 'a'),
        counterFrame(INCREMENT, 'missing'),
        counterFrame(DECREMENT, 'a'),
        counterFrame(DECREMENT, 'missing'),
        touchFrame(TOUCH, 'a', 0),
        touchFrame(TOUCH, 'missing', 0),
        touchFrame(GAT, 'a', 0),
        touchFrame(GAT, 'missing', 0),
        storeFrame(SET, 'expired', 'v', { expiry: 1 + RELATIVE_SECONDS_MAX }),
        keyFrame(GET, 'expired'),
        keyFrame(DELETE, 'missing'),
        storeFrame(SET, 'large', Buffer.alloc(2 * 1024 * 1024)),
        storeFrame(SET, 'gone', 'v'),
        keyFrame(DELETE, 'gone'),
        requestFrame({ opcode: FLUSH }),
        keyFrame(GET, 'a'),
        storeFrame(SET, 'left', 'v'),
      ]
      await repliesTo(client, Buffer.concat(done))
      const askedAt = unixSeconds()
      const all = Object.fromEntries(await statsOf(client))
      const answeredAt = unixSeconds()
      const counted = Object.fromEntries(
        Object.keys(COUNTED).map((name) => [name, Number(all[name])]),
      )
      // The reference counts oversize values in its text dialect only.
      const storeTooLarge = kind === 'memcached' ? 0 : 1
      expect(counted).toEqual({ ...COUNTED, store_too_large: storeTooLarge })
      expect(Number(all.pid)).toBe(counting.pid)
      expect(Number(all.time)).toBeGreaterThanOrEqual(askedAt - 2)
      expect(Number(all.time)).toBeLessThanOrEqual(answeredAt + 2)
      expect(Number(all.bytes_read)).toBeGreaterThan(2 * 1024 * 1024)
      expect(Number(all.bytes_written)).toBeGreaterThan(500)
      expect(Number(all.limit_maxbytes)).toBe(64 * 1024 * 1024)
    })

    test('reset answers the end packet alone and sets the counters back', async () => {
      const counting = await start()
      onTestFinished(async () => await counting.stop())
      const client = await connect(counting)
      await store(client, 'a', '1')
      await readValue(client, 'a')
      await readValue(client, 'missing')
      expect(await statsOf(client, 'reset')).toEqual([])
      const all = Object.fromEntries(await statsOf(client))
      for (const name of ['cmd_get', 'cmd_set', 'get_hits', 'get_misses', 'total_items']) {
        expect([name, all[name]]).toEqual([name, '0'])
      }
      expect(all.curr_items).toBe('1')
      expect(Number(all.curr_connections)).toBeGreaterThanOrEqual(1)
    })

    test('settings tells the effective limits', async () => {
      const set = await start({ flags: ['-m', '100', '-c', '77', '-I', '2m', '-F'] })
      onTestFinished(async () => await set.stop())
      const settings = Object.fromEntries(await statsOf(await connect(set), 'settings'))
      expect(settings).toMatchObject({
        maxbytes: String(100 * 1024 * 1024),
        maxconns: '77',
        item_size_max: String(2 * 1024 * 1024),
        flush_enabled: 'no',
        cas_enabled: 'yes',
        evictions: 'on',
        udpport: '0',
        auth_enabled_sasl: 'no',
        auth_enabled_ascii: 'no',
        domain_socket: 'NULL',
        verbosity: kind === 'memcached' ? '1' : '0',
      })
    })

    test('items and slabs are what memcached-tool reads', async () => {
      const filled = await start()
      onTestFinished(async () => await filled.stop())
      const client = await connect(filled)
      expect(await statsOf(client, 'items')).toEqual([])
      await store(client, 'a', 'x'.repeat(100))
      const items = Object.fromEntries(await statsOf(client, 'items'))
      const [first] = Object.keys(items)
      const slab = /^items:(\d+):number$/.exec(first ?? '')?.[1]
      expect(slab).toBeDefined()
      expect(items[`items:${slab}:number`]).toBe('1')
      for (const name of ['age', 'evicted', 'evicted_time', 'outofmemory', 'reclaimed']) {
        expect(items, name).toHaveProperty([`items:${slab}:${name}`])
      }
      const slabs = Object.fromEntries(await statsOf(client, 'slabs'))
      for (const name of [
        'chunk_size',
        'chunks_per_page',
        'total_pages',
        'total_chunks',
        'used_chunks',
        'free_chunks',
        'get_hits',
        'cmd_set',
        'delete_hits',
        'incr_hits',
        'decr_hits',
        'cas_hits',
        'cas_badval',
        'touch_hits',
      ]) {
        expect(slabs, name).toHaveProperty([`${slab}:${name}`])
      }
      expect(slabs.active_slabs).toBe('1')
      expect(Number(slabs.total_malloced)).toBeGreaterThan(0)
    })
  })
})

describe('saslcached, where it differs from memcached', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached()
  })
  afterAll(async () => await server?.stop())

  const connect = async (): Promise<BinaryClient> => {
    const client = await BinaryClient.connect(server)
    onTestFinished(() => client.destroy())
    return client
  }

  test('the body of an unknown opcode is skipped, whatever it looks like', async () => {
    const client = await connect()
    const trap = Buffer.concat([
      storeFrame(SET, 'smuggled', 'v', { opaque: 66 }),
      requestFrame({ opcode: QUIT, opaque: 66 }),
    ])
    client.send(requestFrame({ opcode: 0x77, value: trap }))
    expectError(await client.receive(), 0x77, UNKNOWN_COMMAND)
    expectError(await client.request({ opcode: GET, key: 'smuggled' }), GET, NOT_FOUND)
  })

  test.each([
    ['TOUCH', TOUCH],
    ['GAT', GAT],
    ['GATKQ', GATKQ],
  ])('bytes behind the key of %s are skipped', async (_, opcode) => {
    const client = await connect()
    await client.request({ opcode: SET, extras: words(0, 0), key: 'k', value: 'v' })
    const trap = requestFrame({ opcode: QUIT, opaque: 66 })
    client.send(requestFrame({ opcode, extras: words(0), key: 'k', value: trap }))
    expect(await client.receive()).toMatchObject({ opcode, status: OK })
    expect(await client.request({ opcode: NOOP, opaque: 5 })).toMatchObject({
      opcode: NOOP,
      opaque: 5,
    })
  })

  test('VERBOSITY answers an empty body and refuses a wrong one', async () => {
    const client = await connect()
    const set = await client.request({ opcode: VERBOSITY, extras: words(1), opaque: 9 })
    expect(set).toMatchObject({ opcode: VERBOSITY, status: OK, opaque: 9 })
    expect(set.extras.length + set.key.length + set.value.length).toBe(0)
    await server.waitForLog(({ event, verbosity }) => event === 'verbosity' && verbosity === 1)
    client.send(requestFrame({ opcode: VERBOSITY, key: 'k' }))
    expect((await client.closed()).map(({ status }) => status)).toEqual([INVALID])
  })

  test('VERSION says whose server it is', async () => {
    const client = await connect()
    const { value } = await client.request({ opcode: VERSION })
    expect(value.toString()).toMatch(/^1\.6\.45-saslcached-\d+\.\d+\.\d+/)
  })

  test('conns tells of this connection and of the listener, as the text dialect of memcached', async () => {
    const client = await connect()
    client.send(requestFrame({ opcode: STAT, key: 'conns' }))
    const facts = new Map<string, Record<string, string>>()
    for (;;) {
      const { key, value } = await client.receive()
      if (key.length === 0) break
      const [id = '', name = ''] = key.toString().split(':')
      facts.set(id, { ...facts.get(id), [name]: value.toString() })
    }
    const all = [...facts.values()]
    const listenAddress = `tcp:127.0.0.1:${server.port}`
    expect(all).toContainEqual({
      addr: listenAddress,
      listen_addr: listenAddress,
      state: 'conn_listening',
      secs_since_last_cmd: expect.stringMatching(/^\d+$/),
    })
    expect(all).toContainEqual({
      addr: `tcp:127.0.0.1:${client.socket.localPort}`,
      listen_addr: listenAddress,
      state: expect.stringMatching(/^conn_(read|parse_cmd)$/),
      // Whole seconds of two looks at the clock.
      secs_since_last_cmd: expect.stringMatching(/^\d$/),
    })
  })

  test('the groups auth and store have rows of their own', async () => {
    const client = await connect()
    for (const group of ['auth', 'store']) {
      client.send(requestFrame({ opcode: STAT, key: group }))
      const first = await client.receive()
      expect(first.status).toBe(OK)
      expect(first.key.length).toBeGreaterThan(0)
      while ((await client.receive()).key.length > 0);
    }
  })
})

/** The counters of the test "counts what was done": GAT counts as a touch alone. */
const COUNTED: Readonly<Record<string, number>> = {
  cmd_get: 6,
  cmd_set: 8,
  cmd_flush: 1,
  cmd_touch: 4,
  cmd_meta: 0,
  get_hits: 2,
  get_misses: 4,
  get_expired: 1,
  get_flushed: 1,
  delete_misses: 1,
  delete_hits: 1,
  incr_misses: 1,
  incr_hits: 1,
  decr_misses: 1,
  decr_hits: 1,
  cas_misses: 1,
  cas_hits: 1,
  cas_badval: 1,
  touch_hits: 2,
  touch_misses: 2,
  store_too_large: 0,
  store_no_memory: 0,
  auth_cmds: 0,
  auth_errors: 0,
  curr_items: 1,
}

const GENERAL_NAMES: readonly string[] = `
pid uptime time version libevent pointer_size rusage_user rusage_system max_connections
curr_connections total_connections rejected_connections connection_structures response_obj_oom
response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom
reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired
get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits
cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors bytes_read
bytes_written limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads
conn_yields hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues
slab_reassign_chunk_rescues slab_reassign_inline_reclaim slab_reassign_busy_items
slab_reassign_busy_deletes slab_reassign_busy_nomem slab_reassign_last_busy_status
slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts
lru_maintainer_juggles malloc_fails log_worker_dropped
log_worker_written log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids
round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched
evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked
lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped
`
  .trim()
  .split(/\s+/)

/**
 * The two servers side by side: the same random conversation, the same replies. CAS values differ
 * between servers, so each is compared by when it was seen first.
 */
const DIFFERENTIAL_SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 0xffffffff))
const DIFFERENTIAL_ROUNDS = 60
const DIFFERENTIAL_REQUESTS = 200

describe.runIf(missingMemcached === undefined)('both servers', () => {
  let pair: readonly TestServer[] = []
  beforeAll(async () => {
    pair = await Promise.all([startSaslcached(), startMemcached()])
  })
  afterAll(async () => {
    await Promise.all(pair.map(async (server) => await server.stop()))
  })

  // The reference does not answer alike every time: whether it counts in the item itself or in a new
  // one depends on what it is just sending. A difference of ours comes with the seed, each time.
  let attempt = 0
  test(`answer a random conversation alike (SEED=${DIFFERENTIAL_SEED})`, { retry: 2 }, async () => {
    const random = randomNumbers(DIFFERENTIAL_SEED)
    const firstRound = 1000 * attempt++
    for (let round = 0; round < DIFFERENTIAL_ROUNDS; round++) {
      const plan = randomPlan(random, firstRound + round)
      const [ours, theirs] = await Promise.all(pair.map((server) => converse(server, plan)))
      for (const [index, reply] of (ours ?? []).entries()) {
        expect(reply, `round ${round}, reply ${index}`).toEqual(theirs?.[index])
      }
      expect(ours?.length).toBe(theirs?.length)
    }
  })
})

/** A request of a plan; `casOf` is the index of the reply whose CAS it carries, or a wrong one. */
interface PlannedRequest {
  readonly fields: Parameters<typeof requestFrame>[0]
  readonly cas: 'none' | 'last' | 'wrong'
}

function randomPlan(random: () => number, round: number): PlannedRequest[] {
  const pick = <Value>(values: readonly Value[]): Value =>
    values[Math.floor(random() * values.length)] as Value
  const keys = Array.from({ length: 5 }, (_, index) => `round ${round} key ${index}`)
  const values = ['abc', '0', '9', '10', '18446744073709551615', 'x'.repeat(3000), '12 ']
  const expiries = [0, 0, 0, 100, 1_000_000, 2_592_000, 2_592_001, 0x7fffffff]
  return Array.from({ length: DIFFERENTIAL_REQUESTS }, (_, opaque): PlannedRequest => {
    const act = pick(['read', 'store', 'store', 'edit', 'delete', 'count', 'touch'] as const)
    // memcached reads "9 1", the shortened result of a DECREMENT appended to, as 9: not compared.
    const key = pick(act === 'edit' ? keys.slice(3) : act === 'count' ? keys.slice(0, 3) : keys)
    const cas = pick(['none', 'none', 'last', 'wrong'] as const)
    switch (act) {
      case 'read':
        return {
          fields: { opcode: pick([GET, GETQ, GETK, GETKQ]), key, opaque },
          cas: 'none',
        }
      case 'store': {
        const opcode = pick([SET, SET, SETQ, ADD, ADDQ, REPLACE, REPLACEQ])
        const extras = words(Math.floor(random() * 0x100000000), pick(expiries))
        return { fields: { opcode, extras, key, value: pick(values), opaque }, cas }
      }
      case 'edit': {
        const opcode = pick([APPEND, APPENDQ, PREPEND, PREPENDQ])
        return { fields: { opcode, key, value: pick(['1', 'z']), opaque }, cas }
      }
      case 'delete':
        return { fields: { opcode: pick([DELETE, DELETEQ]), key, opaque }, cas }
      case 'count': {
        const opcode = pick([INCREMENT, INCREMENTQ, DECREMENT, DECREMENTQ])
        const delta = pick([0n, 1n, 7n, 0xffffffffn, 0xffffffffffffffffn])
        const initial = pick([0n, 5n, 0xffffffffffffffffn])
        const extras = counterExtras(delta, initial, pick([...expiries, NEVER_CREATE]))
        return { fields: { opcode, extras, key, opaque }, cas }
      }
      default: {
        const opcode = pick([TOUCH, GAT, GATQ, GATK, GATKQ])
        return { fields: { opcode, extras: words(pick(expiries)), key, opaque }, cas: 'none' }
      }
    }
  })
}

/** Carries out a plan request by request; the replies with CAS values as numbers in order. */
async function converse(
  server: TestServer,
  plan: readonly PlannedRequest[],
): Promise<readonly unknown[]> {
  const client = await BinaryClient.connect(server)
  const replies: unknown[] = []
  const casNumbers = new Map<bigint, number>([[0n, 0]])
  const lastCas = new Map<string, bigint>()
  try {
    for (const { fields, cas } of plan) {
      const key = String(fields.key)
      const known = lastCas.get(key) ?? 1n
      const sent = cas === 'none' ? 0n : cas === 'last' ? known : known + (1n << 40n)
      const noop = requestFrame({ opcode: NOOP, opaque: 0xffffffff })
      client.send(Buffer.concat([requestFrame({ ...fields, cas: sent }), noop]))
      for (;;) {
        const reply = await client.receive()
        if (reply.opcode === NOOP) break
        if (reply.cas !== 0n) lastCas.set(key, reply.cas)
        if (!casNumbers.has(reply.cas)) casNumbers.set(reply.cas, casNumbers.size)
        replies.push({
          sent: { ...fields, cas },
          opcode: reply.opcode,
          opaque: reply.opaque,
          status: reply.status,
          extras: reply.extras.toString('hex'),
          key: reply.key.toString(),
          // Whether a shortened number is padded varies in the reference from run to run.
          value: reply.value.toString('latin1').trimEnd(),
          cas: casNumbers.get(reply.cas),
        })
      }
    }
  } finally {
    client.destroy()
  }
  return replies
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000
  }
}
