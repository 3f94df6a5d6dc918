/**
 * Nanoseconds of one store operation, at item counts that do and do not fit the caches. Run after
 * `npm run build:modules`: `node test/bench/store.bench.mjs [items ...]`. STORE_DIST= names another build.
 * Keys are 20 bytes, values VALUE= (100) bytes; at least OPERATIONS= (400,000) are measured; each figure is the lower
 * quartile of slices of 5000 operations, the better of three passes.
 */
import { loadStore } from './store-build.mjs'

const { createStoreMemory, HIT, readStoreCounters, STORED, Store, WriteOrder } = await loadStore(
  process.env.STORE_DIST ?? '.modules',
)

const VALUE_BYTES = Number(process.env.VALUE ?? 100)
const KEY_BYTES = 20
const OPERATIONS_LEAST = Number(process.env.OPERATIONS ?? 400_000)
const PASSES = 3
const SLICE = 5000
const NOW = 1_700_000_000

/** The lower quartile over short slices: on a busy machine the others measure its other work. */
function nanosecondsPer(count, action) {
  const slices = []
  for (let from = 0; from < count; from += SLICE) {
    const to = Math.min(count, from + SLICE)
    const start = process.hrtime.bigint()
    for (let index = from; index < to; index++) action(index)
    slices.push(Number(process.hrtime.bigint() - start) / (to - from))
  }
  slices.sort((left, right) => left - right)
  return slices[slices.length >> 2]
}

function bench(items, full) {
  const record = (24 + KEY_BYTES + VALUE_BYTES + 7) & ~7
  const memoryBytes = full
    ? Math.max(1 << 20, Math.ceil((items * record) / 2))
    : Math.max(1 << 20, Math.ceil(items * (record + 20) * 2.5 + (8 << 20)))
  const memory = createStoreMemory({
    memoryBytes,
    itemBytesMax: 1 << 20,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
  })
  const store = new Store(memory, 0)
  const writeOrder = new WriteOrder()
  const buffer = Buffer.allocUnsafeSlow(65536)
  const target = Buffer.allocUnsafeSlow(65536)
  const writeKey = (number) => {
    let rest = number
    for (let at = 11; at >= 4; at--) {
      buffer[at] = 48 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
  }
  buffer.fill(0x6b, 0, 128)
  const valueOffset = 4 + KEY_BYTES
  const operations = Math.max(items, OPERATIONS_LEAST)
  const order = new Uint32Array(operations)
  let state = 1
  for (let index = 0; index < operations; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    order[index] = state % items
  }
  const set = (number) => {
    writeKey(number)
    writeOrder.setKey(buffer, 4, KEY_BYTES)
    writeOrder.setValue(buffer, valueOffset, VALUE_BYTES)
    writeOrder.nowSeconds = NOW
    const result = store.write(writeOrder)
    if (result !== STORED) throw new Error(`set: ${result}`)
  }
  let hits = 0
  const get = (number) => {
    writeKey(number)
    if (store.lookup(buffer, 4, KEY_BYTES, NOW) === HIT) {
      store.copyValue(target, 28)
      store.markRead(NOW)
      store.release()
      hits++
    }
  }
  const figures = {}
  figures.keyOnly = nanosecondsPer(operations, (index) => writeKey(order[index]))
  figures.fill = nanosecondsPer(items, set)
  let slowest = 0
  for (let pass = 0; pass < PASSES; pass++) {
    const getTime = nanosecondsPer(operations, (index) => get(order[index]))
    figures.get = Math.min(figures.get ?? Infinity, getTime)
    const setTime = nanosecondsPer(operations, (index) => set(order[index]))
    figures.set = Math.min(figures.set ?? Infinity, setTime)
  }
  for (let index = 0; index < Math.min(200_000, operations); index++) {
    const start = process.hrtime.bigint()
    set(order[index])
    const took = Number(process.hrtime.bigint() - start)
    if (took > slowest) slowest = took
  }
  const counters = readStoreCounters(memory)
  const cells = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(0)}`)
  console.log(
    `${full ? 'full ' : ''}${items} items, ${(memoryBytes / 2 ** 20).toFixed(0)} MiB:`,
    cells.join('  '),
    `slowest set ${(slowest / 1000).toFixed(0)} us`,
    `hit ratio ${(hits / (PASSES * operations)).toFixed(3)} evicted ${counters.evictions}`,
    `index ${(counters.indexBytes / counters.items).toFixed(1)} B/item`,
  )
}

const sizes = process.argv.slice(2).map(Number)
for (const items of sizes.length > 0 ? sizes : [100_000, 4_000_000]) {
  bench(items, false)
  bench(items, true)
}
