/**
 * One thread of store-threads.test.ts: random operations on keys that all threads share. Every value
 * says what it must look like (all its bytes are the lowest byte of the flags, the other three are
 * its length), so a torn or mixed value shows at once. Posts what it counted.
 */
import { parentPort, workerData } from 'node:worker_threads'

const { dist, memory, workerIndex, seed, operations, keyCount } = workerData
const { Store, HIT, STORED, WRITE_ADD, WRITE_APPEND, WRITE_PREPEND, WRITE_REPLACE, WRITE_SET } =
  await import(`${dist}/src/storage/store.js`)

const store = new Store(memory, workerIndex)
const keyBytes = Buffer.alloc(64)
const source = Buffer.alloc(70_000)
const target = Buffer.alloc(80_000)
const counterKey = Buffer.from('counter')
const faults = []
let increments = 0
let appends = 0
let hits = 0
let now = 1_000_000
let state = seed
function below(bound) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 4294967296) * bound)
}

function checkValue(key) {
  const length = store.valueBytes
  const byte = store.flags & 255
  store.copyValue(target, 5)
  if (below(2) === 0) store.markRead(now)
  const flags = store.flags
  store.release()
  hits++
  if (flags >>> 8 !== length) faults.push(`${key}: ${length} bytes, flags say ${flags >>> 8}`)
  for (let index = 0; index < length; index++) {
    if (target[5 + index] !== byte) {
      faults.push(`${key}: byte ${index} of ${length} is ${target[5 + index]}, not ${byte}`)
      return
    }
  }
}

function lengthOf() {
  const kind = below(20)
  return kind === 0 ? below(60_000) : kind < 5 ? below(4000) : below(200)
}

for (let operation = 0; operation < operations && faults.length < 5; operation++) {
  if (operation % 5000 === 4999) now++
  const number = below(keyCount)
  const key = `key ${number}${'-'.repeat(number % 30)}`
  const keyLength = keyBytes.write(key)
  const kind = below(100)
  if (kind < 45) {
    if (store.lookup(keyBytes, 0, keyLength, now) === HIT) checkValue(key)
  } else if (kind < 75) {
    const length = lengthOf()
    const byte = below(256)
    source.fill(byte, 0, length)
    const mode = [WRITE_SET, WRITE_SET, WRITE_SET, WRITE_ADD, WRITE_REPLACE][below(5)]
    const expiry = below(3) === 0 ? now + 1 + below(4) : 0
    const flags = ((length << 8) | byte) >>> 0
    store.write(mode, keyBytes, 0, keyLength, source, 0, length, flags, expiry, 0, 0, now)
  } else if (kind < 80) {
    store.remove(keyBytes, 0, keyLength, 0, 0, now)
  } else if (kind < 90) {
    const result = store.arithmetic(true, counterKey, 0, 7, 0, 1, 0, 0, now)
    if (result !== STORED) faults.push(`increment: ${result}`)
    else increments++
  } else if (kind < 95) {
    // An item that all threads extend by one byte at a time, at either end.
    const appendLength = keyBytes.write('appended')
    source[0] = 0x61
    const mode = below(2) === 0 ? WRITE_APPEND : WRITE_PREPEND
    if (store.write(mode, keyBytes, 0, appendLength, source, 0, 1, 0, 0, 0, 0, now) === STORED) {
      appends++
    }
  } else if (kind < 97) {
    const expiry = below(2) === 0 ? 0 : now + below(4)
    const casHigh = below(4) === 0 ? 1 + below(2 ** 32 - 1) : 0
    if (store.lookupToChange(keyBytes, 0, keyLength, expiry, casHigh, now) === HIT) {
      store.setExpiry(expiry)
      if (casHigh !== 0) store.setCas(casHigh, 5)
      store.release()
    }
  } else {
    store.maintain(now, below(100))
  }
  // The two items that must not be evicted stay hot.
  if (operation % 16 === 0) {
    for (const [bytes, length] of [
      [counterKey, 7],
      [Buffer.from('appended'), 8],
    ]) {
      for (let read = 0; read < 3; read++) {
        if (store.lookup(bytes, 0, length, now) === HIT) {
          store.markRead(now)
          store.release()
        } else {
          faults.push(`${bytes} is gone`)
        }
      }
    }
  }
}
parentPort.postMessage({ faults, increments, appends, hits })
