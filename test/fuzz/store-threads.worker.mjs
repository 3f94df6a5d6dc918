/**
 * One thread of store-threads.test.ts: on each message it carries out so many random requests on the
 * store that all threads share, and posts what it was answered, each with the ticks between which
 * that happened. The clock is shared, too, but each thread looks at it only now and then, as the
 * workers of a server do, so their seconds differ.
 */
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { readValue } from '../support/history/marked-value.js'
import {
  COUNTER_KEY,
  PLAIN_REQUEST,
  RequestSource,
  writeValueOf,
} from '../support/history/request-source.js'

const {
  dist,
  memory,
  workerIndex,
  source: options,
  shared,
  isCrowded,
  limitBytes,
  tenant,
} = workerData
const { Store } = await import(`${dist}/src/storage/store.js`)
const { EXISTS, HIT, NO_MEMORY, NON_NUMERIC, REMOVED, STORED, TOO_LARGE } = await import(
  `${dist}/src/storage/result.js`
)
const { WRITE_ADD, WRITE_APPEND, WRITE_PREPEND, WRITE_REPLACE, WRITE_SET, WriteOrder } =
  await import(`${dist}/src/storage/write-order.js`)

const TICK = 0
const NOW = 1
const READY = 2
/** Requests between two looks at the clock, on average. */
const LOOK_EVERY = 8
const SECOND_REQUESTS = 700
const MAINTAIN_EVERY = 100
const MOVE_LIMIT_EVERY = 150
const BURST_WRITES = 100
const EXPIRY_UNKNOWN = -1
const CAS_LOW_RANGE = 2 ** 32

const MODES = {
  set: WRITE_SET,
  add: WRITE_ADD,
  replace: WRITE_REPLACE,
  append: WRITE_APPEND,
  prepend: WRITE_PREPEND,
}

// All threads on one CPU, half of them with hardly any claim to it: those are stopped anywhere, also
// while they hold a lock, and for long.
if (isCrowded) {
  // Only here: it brings half of Node with it, into each of a hundred threads.
  const { spawnSync } = await import('node:child_process')
  const threadId = Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  spawnSync('taskset', ['-cp', '0', String(threadId)])
  if (workerIndex % 2 === 1) setPriority(threadId, 19)
}

/** The thread's own word to sleep on. */
const sleeper = new Int32Array(new SharedArrayBuffer(4))
const { add, load, wait } = Atomics
/** Atomic operations of the store between two stops, on average; 0 for none. */
let stopEvery = 0

// The store meets other threads at its atomic operations. Stopping after some of them, for longer than
// many operations of the others take, leaves locks held and decisions half made; that seldom
// happens by itself where threads have a CPU each, or long turns on one.
for (const name of ['add', 'compareExchange', 'exchange', 'load', 'store', 'sub']) {
  const original = Atomics[name]
  Atomics[name] = (...operands) => {
    const result = original(...operands)
    if (stopEvery !== 0 && Math.random() * stopEvery < 1) wait(sleeper, 0, 0, Math.random())
    return result
  }
}

const store = new Store(memory, workerIndex)
// Another namespace over the same memory, which is filled and flushed, so that memory moves to and fro.
const other = tenant === undefined ? undefined : new Store(tenant, workerIndex)
const otherOrder = new WriteOrder()
if (other !== undefined) {
  const { LendingRing } = await import(`${dist}/src/storage/lending.js`)
  const ring = new LendingRing()
  store.joinLending(ring)
  other.joinLending(ring)
}
const order = new WriteOrder()
const requests = new RequestSource(options)
const keyBytes = Buffer.alloc(256)
const input = Buffer.alloc(options.itemBytesMax + 4096)
const output = Buffer.alloc(options.itemBytesMax + 4096)
let operations = []
let now = load(shared, NOW)
let flushAt = 0

/** What was seen of the item by the request in hand. */
let seenBytes = -1
let seenFlags = 0
let seenExpiry = EXPIRY_UNKNOWN
let cas = 0
let answered = ''

function tick() {
  return add(shared, TICK, 1)
}

function casOfStore() {
  return store.casHigh * CAS_LOW_RANGE + store.casLow
}

/** get, gat and touch. */
function see(verb, keyLength, expiry) {
  const found =
    verb === 'get'
      ? store.lookup(keyBytes, 0, keyLength, now)
      : store.lookupToChange(keyBytes, 0, keyLength, expiry, 0, now)
  if (found !== HIT) return found
  seenFlags = store.flags
  seenExpiry = store.expiry
  cas = casOfStore()
  if (verb !== 'touch') {
    seenBytes = store.valueBytes
    store.copyValue(output, 3)
  }
  if (verb !== 'get') store.setExpiry(expiry)
  store.markRead(now)
  store.release()
  return found
}

function perform({ verb, valueBytes, flags, expiry, token, delta }, keyLength) {
  const casHigh = Math.floor(token / CAS_LOW_RANGE)
  const casLow = token % CAS_LOW_RANGE
  switch (verb) {
    case 'get':
    case 'gat':
    case 'touch':
      return see(verb, keyLength, expiry)
    case 'delete':
      return store.remove(keyBytes, 0, keyLength, casHigh, casLow, now)
    case 'flush':
      store.flush(expiry, now)
      return STORED
    case 'maintain':
      store.maintain(now, delta)
      return STORED
    case 'increment':
    case 'decrement': {
      const isUp = verb === 'increment'
      const result = store.arithmetic(isUp, keyBytes, 0, keyLength, 0, delta, casHigh, casLow, now)
      if (result === STORED) {
        cas = casOfStore()
        answered = String(store.numberHigh * 2 ** 32 + store.numberLow)
      }
      return result
    }
    default: {
      order.mode = MODES[verb]
      order.setKey(keyBytes, 0, keyLength)
      order.setValue(input, 5, valueBytes)
      order.flags = flags
      order.expiry = expiry
      order.casHigh = casHigh
      order.casLow = casLow
      order.nowSeconds = now
      const result = store.write(order)
      if (result === STORED) cas = casOfStore()
      return result
    }
  }
}

function resultName(result) {
  switch (result) {
    case HIT:
    case STORED:
    case REMOVED:
      return 'done'
    case EXISTS:
      return 'exists'
    case NON_NUMERIC:
      return 'not-numeric'
    case TOO_LARGE:
      return 'too-large'
    case NO_MEMORY:
      return 'no-memory'
    default:
      return 'missing'
  }
}

function record(request) {
  const keyLength = keyBytes.latin1Write(request.key)
  if (request.valueBytes > 0) writeValueOf(request, input, 5)
  seenBytes = -1
  seenFlags = 0
  seenExpiry = EXPIRY_UNKNOWN
  cas = 0
  answered = request.value
  const began = tick()
  const result = perform(request, keyLength)
  const ended = tick()
  if (seenBytes >= 0) answered = readValue(output, 3, seenBytes)
  requests.sawCas(request.key, cas)
  operations.push({
    process: workerIndex,
    key: request.key,
    verb: request.verb,
    result: resultName(result),
    began,
    ended,
    nowSeconds: now,
    value: answered,
    valueBytes: request.valueBytes,
    flags: seenBytes >= 0 ? seenFlags : request.flags,
    expiry: request.expiry,
    seenExpiry,
    token: request.token,
    cas,
    delta: request.verb === 'maintain' ? 0 : request.delta,
  })
}

/** What another namespace does is no part of the history, either. */
function burst() {
  if (requests.below(3) === 0) other.flush(0, now)
  for (let index = 0; index < BURST_WRITES; index++) {
    const length = keyBytes.latin1Write(`other ${requests.below(2000)}`)
    otherOrder.setKey(keyBytes, 0, length)
    otherOrder.setValue(input, 5, requests.below(8000))
    otherOrder.nowSeconds = now
    other.write(otherOrder)
  }
  other.maintain(now, 100)
}

function run(count) {
  for (let done = 0; done < count; done++) {
    if (workerIndex === 0 && done % SECOND_REQUESTS === 0) add(shared, NOW, 1)
    if (requests.below(LOOK_EVERY) === 0) now = load(shared, NOW)
    if (requests.below(MAINTAIN_EVERY) === 0) {
      record({ ...PLAIN_REQUEST, verb: 'maintain', delta: requests.below(100) })
    }
    // No answer depends on it, so it is no part of the history.
    if (limitBytes.length > 0 && requests.below(MOVE_LIMIT_EVERY) === 0) {
      store.setMemoryLimit(limitBytes[requests.below(limitBytes.length)])
    }
    if (other !== undefined && requests.below(MOVE_LIMIT_EVERY) === 0) burst()
    const request = requests.next(now)
    if (request.verb === 'flush') {
      // One that is not due yet and another one would leave open which of them happened.
      if (now <= flushAt) continue
      flushAt = request.expiry
    }
    record(request)
  }
}

/** Looks at every key once, in a second in which nobody has acted: what was delayed is due. */
function lookAtAll(keys) {
  now = add(shared, NOW, 10) + 10
  for (const key of keys) record({ ...PLAIN_REQUEST, key })
}

parentPort.on('message', ({ count, keys, startsCounter, stopEvery: every }) => {
  operations = []
  now = Math.max(now, load(shared, NOW))
  if (startsCounter) {
    record({ ...PLAIN_REQUEST, verb: 'add', key: COUNTER_KEY, value: '0', valueBytes: 1 })
  }
  if (keys === undefined) {
    // All begin at once, not each when the system first lets it run.
    add(shared, READY, -1)
    while (load(shared, READY) > 0) wait(sleeper, 0, 0, 0.05)
    stopEvery = every
    run(count)
    stopEvery = 0
  } else {
    lookAtAll(keys)
  }
  parentPort.postMessage(operations)
})
parentPort.postMessage([])
