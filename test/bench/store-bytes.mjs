/**
 * Where the bytes of -m are when a store is full of values of one length, by the item. Run after
 * `npm run build:modules`: `node test/bench/store-bytes.mjs [value bytes ...]`. STORE_DIST= names another build,
 * MIB= the memory (256). Keys are 20 bytes, and items have client flags, as those of `--set memory`.
 *
 * Its invariant: the parts add up to -m.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { loadStore } from './store-build.mjs'

const dist = resolve(process.env.STORE_DIST ?? '.modules')
const { createStoreMemory, readStoreCounters, STORED, Store, WriteOrder } = await loadStore(dist)
const layout = await import(pathToFileURL(`${dist}/src/storage/control-block.js`).href)

const MIB = 2 ** 20
const MEMORY_BYTES = Number(process.env.MIB ?? 256) * MIB
const KEY_BYTES = 20
const NOW = 1_700_000_000
/** Least memory of an item beside key and value: with it, every fill is more than fits. */
const OVERHEAD_BYTES_LEAST = 20
const FILL_FACTOR = 1.1
const MAINTAINED_EVERY = 25_000
const BUCKET_BYTES = 64
const GHOST_BUCKET_BYTES = 32

function fill(store, valueBytes) {
  const order = new WriteOrder()
  const key = Buffer.alloc(KEY_BYTES, 'k')
  const value = Buffer.alloc(valueBytes, 'v')
  const least = KEY_BYTES + valueBytes + OVERHEAD_BYTES_LEAST
  const count = Math.ceil((MEMORY_BYTES * FILL_FACTOR) / least)
  for (let number = 0; number < count; number++) {
    key.write(String(number).padStart(KEY_BYTES, '0'), 'latin1')
    order.setKey(key, 0, KEY_BYTES)
    order.setValue(value, 0, valueBytes)
    order.flags = 1
    order.nowSeconds = NOW
    if (store.write(order) !== STORED) throw new Error('a write was refused')
    if (number % MAINTAINED_EVERY === 0) store.maintain(NOW, 2000)
  }
}

/** Where the open segments of the only worker go on, and what is linked in them, by segment. */
function opensOf(words, { workersWord }) {
  const opens = new Map()
  for (let group = 0; group < layout.OPENS_MAX; group++) {
    const entry = workersWord + layout.WORKER_OPENS_WORD + group * layout.OPEN_WORDS
    const segment = words[entry + layout.OPEN_ID] - 1
    const offset = words[entry + layout.OPEN_OFFSET]
    if (segment >= 0) opens.set(segment, { offset, linked: words[entry + layout.OPEN_LINKED] })
  }
  return opens
}

/** Bytes of the memory by what they are. */
function partsOf({ geometry, control }, counters) {
  const words = new Int32Array(control)
  const { segmentBytes, segmentCount, segmentsWord, ghostBuckets } = geometry
  const opens = opensOf(words, geometry)
  const parts = { items: counters.bytes, index: 0, ghosts: ghostBuckets * GHOST_BUCKET_BYTES }
  Object.assign(parts, { free: 0, open: 0, emptied: 0, dead: 0, tails: 0 })
  for (let segment = 0; segment < segmentCount; segment++) {
    const record = segmentsWord + segment * layout.SEGMENT_WORDS
    const live = words[record + layout.SEGMENT_LIVE]
    const used = words[record + layout.SEGMENT_USED]
    switch (words[record + layout.SEGMENT_STATE]) {
      case layout.FREE_SEGMENT:
        parts.free += segmentBytes
        break
      case layout.PRIMARY_SEGMENT:
      case layout.OVERFLOW_SEGMENT:
        parts.index += segmentBytes
        break
      case layout.OPEN_SEGMENT: {
        const { offset, linked } = opens.get(segment)
        parts.open += segmentBytes - offset
        // While it is open, what died in it is counted below zero.
        parts.dead += offset - linked - live
        break
      }
      case layout.VICTIM_SEGMENT:
        parts.emptied += segmentBytes - live
        break
      default:
        parts.dead += used - live
        parts.tails += segmentBytes - used
    }
  }
  return parts
}

function measure(valueBytes) {
  const memory = createStoreMemory({
    memoryBytes: MEMORY_BYTES,
    itemBytesMax: MIB,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
  })
  fill(new Store(memory, 0), valueBytes)
  const counters = readStoreCounters(memory)
  const { items, bucketCount, evictions } = counters
  if (evictions === 0) throw new Error('the store is not full')
  const parts = partsOf(memory, counters)
  const sum = Object.values(parts).reduce((all, bytes) => all + bytes, 0)
  const { segmentBytes } = memory.geometry
  const unassigned = MEMORY_BYTES - sum
  if (unassigned < 0 || unassigned >= segmentBytes) throw new Error(`${unassigned} bytes are lost`)
  const each = (bytes) => (bytes / items).toFixed(2)
  console.log(
    `values of ${valueBytes} bytes: ${items} items, ${each(MEMORY_BYTES)} bytes each;`,
    `segments of ${segmentBytes / 1024} KiB, first buckets ${each(bucketCount * BUCKET_BYTES)}`,
  )
  console.log(
    ` ${Object.entries(parts)
      .map(([name, bytes]) => ` ${name} ${each(bytes)}`)
      .join('')}`,
  )
}

const sizes = process.argv.slice(2).map(Number)
for (const valueBytes of sizes.length > 0 ? sizes : [8, 100, 300, 1000]) measure(valueBytes)
