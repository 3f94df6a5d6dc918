/**
 * One thread of arriving-threads.test.ts: values that arrive in pieces, some of which are given up, among reads, deletes, flushes and
 * small writes that have segments emptied. Every byte of a value is its mark.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { randomBelow } from '../support/random-below.js'

const { dist, memory, workerIndex, seed, steps } = workerData
const { Store } = await import(`${dist}/store.js`)
const { HIT, STORED } = await import(`${dist}/result.js`)
const { WriteOrder } = await import(`${dist}/write-order.js`)

const NOW = 1_700_000_000
const HOT_KEYS = 10
const FILL_KEYS = 2000
const VALUE_BYTES_MIN = 64 * 1024
const VALUE_BYTES_RANGE = 60_000
const PIECE_BYTES = 30_000
const FILL_BYTES = 3000
const UNDER_WAY_MAX = 4

const store = new Store(memory, workerIndex)
const order = new WriteOrder()
const below = randomBelow(seed + workerIndex * 7919)
const source = Buffer.alloc(VALUE_BYTES_MIN + VALUE_BYTES_RANGE)
const target = Buffer.alloc(source.length)
const expected = Buffer.alloc(source.length)
const underWay = []
const counts = { begun: 0, refused: 0, stored: 0, abandoned: 0, hits: 0, wrong: 0, flushes: 0 }

const hotKey = () => Buffer.from(`key ${below(HOT_KEYS)}`)
const take = (key, valueLength, received) => {
  order.setKey(key, 0, key.length)
  order.valueLength = valueLength
  order.received = received
  order.nowSeconds = NOW
}

function begin() {
  const key = hotKey()
  const valueLength = VALUE_BYTES_MIN + below(VALUE_BYTES_RANGE)
  take(key, valueLength, undefined)
  order.expiry = below(3) === 0 ? NOW + 50 : 0
  const value = store.beginArriving(order)
  if (value === undefined) {
    counts.refused++
    return
  }
  counts.begun++
  underWay.push({ key, value, mark: below(256) })
}

function arrive({ value, mark }) {
  const length = Math.min(value.missingBytes, PIECE_BYTES)
  if (length === 0) return
  if (below(2) === 0) {
    // As a read does that goes to where the value stays: as much as fits, with the last part of it missing.
    const room = value.room(length)
    const readBytes = 1 + below(room.length)
    room.fill(mark, 0, readBytes)
    store.appendLarge(value, undefined, 0, readBytes, NOW)
    return
  }
  source.fill(mark, 0, length)
  store.appendLarge(value, source, 0, length, NOW)
}

function end(at) {
  const [{ key, value }] = underWay.splice(at, 1)
  if (value.missingBytes > 0) {
    value.abandon()
    counts.abandoned++
    return
  }
  take(key, value.valueLength, value)
  if (store.write(order) === STORED) counts.stored++
}

function read() {
  const key = hotKey()
  if (store.lookup(key, 0, key.length, NOW) !== HIT) return
  const { valueBytes } = store
  store.copyValue(target, 0)
  store.markRead(NOW)
  store.release()
  counts.hits++
  expected.fill(target[0], 0, valueBytes)
  if (target.compare(expected, 0, valueBytes, 0, valueBytes) !== 0) counts.wrong++
}

function fill() {
  for (let count = 0; count < 20; count++) {
    const key = Buffer.from(`fill ${below(FILL_KEYS)}`)
    take(key, FILL_BYTES, undefined)
    order.setValue(source, 0, FILL_BYTES)
    store.write(order)
  }
  store.maintain(NOW, 200)
}

function flush() {
  store.flush(NOW, NOW)
  counts.flushes++
}

function remove() {
  const key = hotKey()
  store.remove(key, 0, key.length, 0, 0, NOW)
}

for (let step = 0; step < steps; step++) {
  const dice = below(16)
  const at = below(Math.max(underWay.length, 1))
  const value = underWay[at]
  if (dice < 4) {
    if (underWay.length < UNDER_WAY_MAX) begin()
  } else if (dice < 9) {
    if (value !== undefined) arrive(value)
  } else if (dice < 11) {
    if (value !== undefined && (value.value.missingBytes === 0 || below(4) === 0)) end(at)
  } else if (dice < 13) read()
  else if (dice < 15) fill()
  else if (below(300) === 0) flush()
  else remove()
}
for (const { value } of underWay) value.abandon()
parentPort.postMessage(counts)
