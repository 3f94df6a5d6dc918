/**
 * The near cache, and each race that copies of what others change are known for: the test is the node, and says what it
 * says when it says it.
 */

import { describe, expect, test } from 'vitest'
import {
  BARREN_MS,
  COPY_BYTES_MAX,
  HOT_READS,
  READS_A_CHANGE,
  WORTH_HITS,
} from '../../../src/command/remote/near-cache.ts'
import { createStripeMemory } from '../../../src/command/remote/write-stripes.ts'
import { FLAG_L as FLAG_LAST_ACCESS, FLAG_T, FLAG_V } from '../../../src/protocol/meta/decode.ts'
import {
  VERB_DELETE,
  VERB_GET_AND_TOUCH,
  VERB_META_GET,
  VERB_SET,
} from '../../../src/protocol/verbs.ts'
import { CONFIRMED_MS } from '../../../src/remote/generation.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import {
  itemReply,
  NEAR_TTL_MS,
  NearThread,
  STORE_TIMEOUT_MS,
  type ThreadOptions,
  TRACKS,
} from '../../support/manual-node.ts'

const KEY = 'hot'
const ENGINE_KEY = 'mc:default:1:hot'
const TRACKED = ['CLIENT CACHING YES', `GET ${ENGINE_KEY}`, `PTTL ${ENGINE_KEY}`]
const UNTRACKED = [`GET ${ENGINE_KEY}`]
const STALE = 1
const OK = '+OK\r\n'
/** After which a connection that was lost is made anew. */
const RECONNECT_MS = 100

async function start(options: Partial<ThreadOptions> = {}): Promise<NearThread> {
  const clock = options.clock ?? new ManualClock()
  const stripes = options.stripes ?? createStripeMemory(1)
  return await NearThread.start({ ...options, clock, stripes })
}

/** Two threads of one gate, each with a connection of its own. */
async function startTwo(): Promise<[NearThread, NearThread, ManualClock]> {
  const clock = new ManualClock()
  const stripes = createStripeMemory(1)
  return [await start({ clock, stripes }), await start({ clock, stripes }), clock]
}

/** True: it is answered by the copy, and the node is asked nothing. */
function isKept(thread: NearThread, value: string): boolean {
  const answer = thread.get(KEY)
  const asked = thread.node.asked()
  if (asked.length === 0) {
    expect(answer()).toBe(value)
    return true
  }
  return false
}

test('what is read often is read from the node once, and has its flags', async () => {
  const thread = await start()
  for (let reads = 1; reads < HOT_READS; reads++) {
    const answer = thread.get(KEY)
    expect(thread.node.asked()).toEqual(UNTRACKED)
    thread.node.say(itemReply('one'))
    expect(answer()).toBe('one')
  }
  const answer = thread.get(KEY)
  expect(thread.node.asked()).toEqual(TRACKED)
  thread.node.say(`${OK}${itemReply('one')}:-1\r\n`)
  expect(answer()).toBe('one')
  for (let reads = 0; reads < 3; reads++) expect(isKept(thread, 'one')).toBe(true)
  expect([thread.count('near_hits'), thread.count('near_misses')]).toEqual([3, HOT_READS])
  expect(thread.count('near_entries')).toBe(1)
})

test('what is read seldom gets no copy: reads of the past count for less', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  for (let rounds = 0; rounds < 20; rounds++) {
    for (let reads = 0; reads < HOT_READS / 2 - 1; reads++) {
      thread.get(KEY)
      expect(thread.node.asked()).toEqual(UNTRACKED)
      thread.node.say(itemReply('one'))
    }
    thread.near.tick()
  }
  expect(thread.count('near_entries')).toBe(0)
})

test('while one read is under way to be kept, no other is', async () => {
  const thread = await start()
  const first = thread.heat(KEY, itemReply('one'))
  const second = thread.get(KEY)
  expect(thread.node.asked()).toEqual(UNTRACKED)
  thread.node.say(`${OK}${itemReply('one')}:-1\r\n${itemReply('one')}`)
  expect([first(), second()]).toEqual(['one', 'one'])
  expect(isKept(thread, 'one')).toBe(true)
})

test('a read is answered before the time that the item has left is known', async () => {
  const thread = await start()
  const answer = thread.heat(KEY, itemReply('one'))
  thread.node.say(`${OK}${itemReply('one')}`)
  expect(answer()).toBe('one')
  expect(isKept(thread, 'one')).toBe(false)
})

test('a change that the node tells of drops the copy', async () => {
  const thread = await start()
  thread.keep(KEY, 'one')
  thread.node.tell('mc:default:1:other')
  expect(isKept(thread, 'one')).toBe(true)
  thread.node.tell(ENGINE_KEY)
  expect(isKept(thread, 'one')).toBe(false)
  expect(thread.count('near_invalidations')).toBe(1)
  expect(thread.count('near_entries')).toBe(0)
})

test.each([
  ['the reply', (value: string) => [OK, `${itemReply(value)}:-1\r\n`]],
  ['the time that is left', (value: string) => [`${OK}${itemReply(value)}`, ':-1\r\n']],
  ['the word that it tracks', (value: string) => ['', `${OK}${itemReply(value)}:-1\r\n`]],
])('what the node tells of before %s keeps it from being kept', async (_, replyOf) => {
  const thread = await start()
  const answer = thread.heat(KEY, itemReply('one'))
  const [before = '', after = ''] = replyOf('one')
  if (before !== '') thread.node.say(before)
  thread.node.tell(ENGINE_KEY)
  thread.node.say(after)
  expect(answer()).toBe('one')
  expect(isKept(thread, 'one')).toBe(false)
})

test('a connection that is lost takes its copies with it, and another one tracks anew', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  thread.keep(KEY, 'one')
  thread.node.end()
  clock.pass(RECONNECT_MS)
  const answer = thread.get(KEY)
  // Its greeting was not answered when the read was sent.
  expect(thread.node.asked()).toEqual(UNTRACKED)
  thread.node.say(itemReply('two'))
  expect(answer()).toBe('two')
  expect(thread.count('near_drops')).toBe(1)
  thread.keep(KEY, 'two')
  expect(isKept(thread, 'two')).toBe(true)
})

test('a read that is lost with its connection is not kept, and its key gets a copy later', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  const answer = thread.heat(KEY, itemReply('one'))
  thread.node.say(`${OK}${itemReply('one')}`)
  expect(answer()).toBe('one')
  thread.node.end()
  clock.pass(RECONNECT_MS)
  thread.confirm()
  thread.keep(KEY, 'two')
  expect(isKept(thread, 'two')).toBe(true)
})

test('all copies of a connection go when the node has forgotten all keys', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  thread.keep(KEY, 'one')
  thread.node.tell()
  expect(isKept(thread, 'one')).toBe(false)
  thread.node.say(`${OK}_\r\n:-2\r\n`)
  expect(thread.count('near_drops')).toBe(1)
  clock.passBusily(NEAR_TTL_MS)
  thread.confirm()
  const answer = thread.heat(KEY, itemReply('one'))
  thread.node.say(`${OK}${itemReply('one')}`)
  thread.node.tell()
  thread.node.say(':-1\r\n')
  expect(answer()).toBe('one')
  expect(isKept(thread, 'one')).toBe(false)
})

test.each(['MOVED', 'ASK'])(
  '%s for any key: what that connection tracked is over',
  async (word) => {
    const thread = await start()
    thread.keep(KEY, 'one')
    thread.get('elsewhere')
    thread.node.asked()
    thread.node.say(`-${word} 1 192.0.2.1:2\r\n`)
    expect(isKept(thread, 'one')).toBe(false)
  },
)

test('a read that was to be kept and has moved is not kept, whoever answers it', async () => {
  const thread = await start()
  const answer = thread.heat(KEY, itemReply('one'))
  thread.node.say(`${OK}-MOVED 1 192.0.2.1:2\r\n-MOVED 1 192.0.2.1:2\r\n`)
  for (const sent of thread.strays) sent.answer('no item')
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  expect(answer()).toBeDefined()
  expect(thread.count('near_entries')).toBe(0)
})

test('where the node refuses to track the next read, nothing is kept any more', async () => {
  const thread = await start()
  thread.heat(KEY, itemReply('one'))
  thread.node.say(`-ERR tracking is off\r\n${itemReply('one')}:-1\r\n`)
  expect(isKept(thread, 'one')).toBe(false)
  thread.node.say(itemReply('one'))
  thread.get(KEY)
  expect(thread.node.asked()).toEqual(UNTRACKED)
})

test.each([
  ['HELLO', '-NOPROTO unsupported protocol version'],
  ['CLIENT TRACKING', '-NOPERM no permissions'],
] as const)('a node that refuses %s serves, and nothing of it is kept', async (word, refusal) => {
  const thread = await start({ greets: { ...TRACKS, [word]: `${refusal}\r\n` } })
  for (let reads = 0; reads < 3 * HOT_READS; reads++) {
    const answer = thread.get(KEY)
    expect(thread.node.asked()).toEqual(UNTRACKED)
    thread.node.say(itemReply('one'))
    expect(answer()).toBe('one')
  }
  expect(thread.refusals).toEqual([refusal.slice(1)])
})

test('a node that ends connections over being asked to track is asked no more, and serves', async () => {
  const clock = new ManualClock()
  const thread = await NearThread.create({
    clock,
    stripes: createStripeMemory(1),
    greets: { HELLO: undefined, 'CLIENT TRACKING': undefined },
  })
  for (let attempt = 0; attempt < 2; attempt++) {
    thread.get(KEY)
    expect(thread.node.isClosed).toBe(true)
    clock.pass(STORE_TIMEOUT_MS)
  }
  thread.confirm()
  const answer = thread.get(KEY)
  expect(thread.node.asked()).toEqual(UNTRACKED)
  thread.node.say(itemReply('one'))
  expect(answer()).toBe('one')
})

test('no copy is shown for longer than it may be, counted from when it was read', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  const answer = thread.heat(KEY, itemReply('one'))
  clock.pass(NEAR_TTL_MS / 2)
  thread.node.say(`${OK}${itemReply('one')}:-1\r\n`)
  expect(answer()).toBe('one')
  clock.passBusily(NEAR_TTL_MS / 2 - 1)
  thread.confirm()
  expect(isKept(thread, 'one')).toBe(true)
  clock.passBusily(1)
  expect(isKept(thread, 'one')).toBe(false)
})

test('no copy is shown for longer than its item has', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  thread.keep(KEY, 'one', 100)
  clock.passBusily(99)
  expect(isKept(thread, 'one')).toBe(true)
  clock.passBusily(1)
  expect(isKept(thread, 'one')).toBe(false)
})

test('an item that is over before its time is asked for is not kept', async () => {
  const thread = await start()
  thread.keep(KEY, 'one', -2)
  expect(isKept(thread, 'one')).toBe(false)
})

test.each([
  ['what is not there', '_\r\n'],
  ['a stale item', itemReply('one', STALE)],
  ['what no gate has stored', '$3\r\nabc\r\n'],
  ['an item that is too large', itemReply('x'.repeat(COPY_BYTES_MAX))],
])('%s is not kept, and not asked for so each time', async (_, reply) => {
  const thread = await start()
  thread.heat(KEY, itemReply('one'))
  thread.node.say(`${OK}${reply}:-1\r\n`)
  thread.get(KEY)
  expect(thread.node.asked()).toEqual(UNTRACKED)
})

test('what is read more often than it changes gets the next copy at once', async () => {
  const thread = await start()
  thread.keep(KEY, 'one')
  const reads = Math.max(WORTH_HITS, READS_A_CHANGE)
  for (let count = 0; count < reads; count++) expect(isKept(thread, 'one')).toBe(true)
  thread.node.tell(ENGINE_KEY)
  thread.get(KEY)
  expect(thread.node.asked()).toEqual(TRACKED)
})

/** So many reads go to the node, none of them to be kept. */
function readUnkept(thread: NearThread, count: number): void {
  for (let reads = 0; reads < count; reads++) {
    thread.get(KEY)
    expect(thread.node.asked()).toEqual(UNTRACKED)
    thread.node.say(itemReply('one'))
  }
}

function set(thread: NearThread): () => unknown {
  return thread.execute(VERB_SET, KEY, (request) => {
    request.valueLength = 3
  })
}

test.each([
  ['the same thread', (one: NearThread, _: NearThread) => one],
  ['another thread', (_: NearThread, other: NearThread) => other],
])('what %s changes gets no copy unless it is read much more often', async (_, writerOf) => {
  const [thread, other] = await startTwo()
  const writer = writerOf(thread, other)
  for (let rounds = 1; rounds <= 5; rounds++) {
    set(writer)
    writer.node.asked()
    writer.node.say('+OK\r\n')
    readUnkept(thread, READS_A_CHANGE - 1)
  }
  readUnkept(thread, 4)
  thread.get(KEY)
  expect(thread.node.asked()).toEqual(TRACKED)
})

test('changes of the past count for less', async () => {
  const thread = await start()
  for (let rounds = 1; rounds <= 3; rounds++) {
    set(thread)
    thread.node.asked()
    thread.node.say('+OK\r\n')
  }
  thread.near.tick()
  readUnkept(thread, READS_A_CHANGE - 1)
  thread.get(KEY)
  expect(thread.node.asked()).toEqual(TRACKED)
})

test('what changes as often as it is read gets no copy for a while', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  thread.keep(KEY, 'one')
  thread.node.tell(ENGINE_KEY)
  readUnkept(thread, 2 * READS_A_CHANGE)
  clock.passBusily(BARREN_MS)
  thread.confirm()
  thread.get(KEY)
  expect(thread.node.asked()).toEqual(TRACKED)
})

describe('what a thread of the gate changes', () => {
  test('is shown old by none from when it is sent, nor kept before it is answered', async () => {
    const [one, other, clock] = await startTwo()
    for (const thread of [one, other]) thread.keep(KEY, 'old')
    const answer = set(one)
    expect(one.node.asked()).toHaveLength(1)
    // Their nodes have told them of nothing.
    for (const thread of [one, other]) {
      thread.get(KEY)
      expect(thread.node.asked()).toEqual(UNTRACKED)
    }
    one.node.say('+OK\r\n')
    expect(answer()).toBe('OK')
    other.node.say(itemReply('old'))
    clock.passBusily(BARREN_MS)
    other.confirm()
    other.keep(KEY, 'www')
    expect(isKept(other, 'www')).toBe(true)
  })

  test('keeps a read that was sent before from being kept', async () => {
    const [one, other] = await startTwo()
    const read = other.heat(KEY, itemReply('old'))
    const answer = set(one)
    one.node.asked()
    one.node.say('+OK\r\n')
    expect(answer()).toBe('OK')
    other.node.say(`${OK}${itemReply('old')}:-1\r\n`)
    expect(read()).toBe('old')
    expect(isKept(other, 'old')).toBe(false)
  })

  test('is not kept by a read between its begin and its end', async () => {
    const [one, other] = await startTwo()
    for (let reads = 0; reads < HOT_READS; reads++) {
      other.get(KEY)
      if (other.node.asked().length === 1) other.node.say(itemReply('old'))
    }
    const pending = set(one)
    other.get(KEY)
    expect(other.node.asked()).toEqual(UNTRACKED)
    expect(pending()).toBeUndefined()
  })

  test.each([
    ['touches', VERB_GET_AND_TOUCH, 0],
    ['deletes', VERB_DELETE, 0],
    ['looks closer, and may', VERB_META_GET, FLAG_T],
  ])('%s: an end that fails lets copies be made again', async (_, verb, upperFlags) => {
    const clock = new ManualClock()
    const stripes = createStripeMemory(1)
    const [one, other] = [await start({ clock, stripes }), await start({ clock, stripes })]
    other.keep(KEY, 'old')
    const answer = one.execute(verb, KEY, (request) => {
      request.upperFlags = upperFlags
    })
    expect(isKept(other, 'old')).toBe(false)
    other.node.say(itemReply('old'))
    clock.pass(STORE_TIMEOUT_MS + 60)
    expect(answer()).toMatch(/outcome/)
    other.confirm()
    other.keep(KEY, 'new')
    expect(isKept(other, 'new')).toBe(true)
  })
})

test('a plain mg is answered by a copy, and one that looks closer is not', async () => {
  const thread = await start()
  thread.keep(KEY, 'one')
  const mg = (lowerFlags: number): (() => unknown) =>
    thread.execute(VERB_META_GET, KEY, (request) => {
      request.lowerFlags = lowerFlags
    })
  expect(mg(FLAG_V)()).toBe('one')
  expect(thread.node.asked()).toEqual([])
  mg(FLAG_V | FLAG_LAST_ACCESS)
  expect(thread.node.asked()).toHaveLength(1)
})

test('behind a flush of the namespace no copy from before it is shown', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  thread.keep(KEY, 'one')
  thread.confirm(2)
  thread.get(KEY)
  expect(thread.node.asked()).toContain('GET mc:default:2:hot')
})

test('without a look at the generation lately, no copy is shown', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  thread.keep(KEY, 'one')
  clock.passBusily(CONFIRMED_MS + 1)
  const answer = thread.get(KEY)
  expect(thread.node.asked()[0]).toMatch(/^FCALL/)
  expect(answer()).toBeUndefined()
})

test('copies take no more memory than they may, whatever is read', async () => {
  const bytesMax = 64 * 1024
  const thread = await start({ bytesMax })
  for (let key = 0; key < 300; key++) {
    thread.keep(`key-${key}`, 'x'.repeat(1 + ((key * 997) % 3000)))
    expect(thread.count('near_bytes')).toBeLessThanOrEqual(bytesMax)
  }
  expect(thread.count('near_entries')).toBeGreaterThan(10)
  expect(thread.count('near_entries')).toBeLessThan(64)
})

test('what is shown no more gives its memory back', async () => {
  const clock = new ManualClock()
  const thread = await start({ clock })
  for (let key = 0; key < 50; key++) thread.keep(`key-${key}`, 'value')
  expect(thread.count('near_bytes')).toBeGreaterThan(0)
  clock.passBusily(NEAR_TTL_MS)
  thread.near.tick()
  expect([thread.count('near_bytes'), thread.count('near_entries')]).toEqual([0, 0])
})
