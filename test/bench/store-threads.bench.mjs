/**
 * CPU of one store operation where one thread has the store, where it has locks and nobody else is there, and where two
 * threads ask for the same keys: what locks cost, and what it costs that their cache lines go from core to core. Run
 * after `npm run build:modules`: `node test/bench/store-threads.bench.mjs [build ...]`; several builds take turns.
 * KEYS= how many keys (10,000, of 20 bytes; values have 100), GETS= gets to a set (10; 0: no sets), ROUNDS= (15), OPERATIONS= of a round (200,000). CPU
 * time is the threads' own (`schedstat`), so other work on the machine moves it little.
 */
import { readFileSync } from 'node:fs'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { loadStore } from './store-build.mjs'

const NOW = 1_700_000_000
const KEY_BYTES = 20
const VALUE_BYTES = 100
const VALUE_OFFSET = 4 + KEY_BYTES
const OPERATIONS = Number(process.env.OPERATIONS ?? 200_000)
const WARM_OPERATIONS = 2 * OPERATIONS

/** Nanoseconds that this thread has run, as of the kernel's last tick or switch: a round must be longer than a tick. */
function threadNanoseconds() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0])
}

async function work({ dist, memory, workerIndex, keys, gets }) {
  const { Store, WriteOrder, HIT } = await loadStore(dist)
  const store = new Store(memory, workerIndex)
  const order = new WriteOrder()
  const buffer = Buffer.allocUnsafeSlow(1024).fill('k')
  const target = Buffer.allocUnsafeSlow(1024)
  const writeKey = (number) => {
    let rest = number
    for (let at = 11; at >= 4; at--) {
      buffer[at] = 48 + (rest % 10)
      rest = Math.floor(rest / 10)
    }
  }
  const set = (number) => {
    writeKey(number)
    order.setKey(buffer, 4, KEY_BYTES)
    order.setValue(buffer, VALUE_OFFSET, VALUE_BYTES)
    order.nowSeconds = NOW
    store.write(order)
  }
  const get = (number) => {
    writeKey(number)
    if (store.lookup(buffer, 4, KEY_BYTES, NOW) !== HIT) throw new Error('a key was lost')
    store.copyValue(target, 0)
    store.markRead(NOW)
    store.release()
  }
  if (workerIndex === 0) for (let number = 0; number < keys; number++) set(number)
  let state = 12_345 + workerIndex
  const run = (operations) => {
    for (let left = operations; left > 0; left--) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      const number = Math.floor((state / 2 ** 32) * keys)
      if (gets > 0 && left % (gets + 1) === 0) set(number)
      else get(number)
    }
  }
  parentPort.on('message', (operations) => {
    const start = threadNanoseconds()
    run(operations)
    parentPort.postMessage((threadNanoseconds() - start) / operations)
  })
  parentPort.postMessage('ready')
}

const next = (worker) => new Promise((tell) => worker.once('message', tell))

function ask(worker, operations) {
  worker.postMessage(operations)
  return next(worker)
}

async function startBuild(dist, keys, gets) {
  const { createStoreMemory } = await loadStore(dist)
  const start = async (workerCount) => {
    const memory = createStoreMemory({
      memoryBytes: 256 * 2 ** 20,
      itemBytesMax: 2 ** 20,
      evicts: true,
      workerCount,
      seed: [1, 2],
    })
    const workers = []
    for (let workerIndex = 0; workerIndex < workerCount; workerIndex++) {
      const data = { dist, memory, workerIndex, keys, gets }
      const worker = new Worker(new URL(import.meta.url), { workerData: data })
      await next(worker)
      workers.push(worker)
    }
    for (const worker of workers) await ask(worker, WARM_OPERATIONS)
    return workers
  }
  const [single, pair] = [await start(1), await start(2)]
  return { dist, single, pair, figures: { one: [], locked: [], two: [] } }
}

async function measure({ single, pair, figures }) {
  figures.one.push(await ask(single[0], OPERATIONS))
  figures.locked.push(await ask(pair[0], OPERATIONS))
  const [first, second] = await Promise.all(pair.map((worker) => ask(worker, OPERATIONS)))
  figures.two.push((first + second) / 2)
}

const median = (values) => [...values].sort((left, right) => left - right)[values.length >> 1]

async function main() {
  const dists = process.argv.length > 2 ? process.argv.slice(2) : ['.modules']
  const keys = Number(process.env.KEYS ?? 10_000)
  const gets = Number(process.env.GETS ?? 10)
  const rounds = Number(process.env.ROUNDS ?? 15)
  const builds = []
  for (const dist of dists) builds.push(await startBuild(dist, keys, gets))
  for (let round = 0; round < rounds; round++) for (const build of builds) await measure(build)
  for (const { dist, single, pair, figures } of builds) {
    const { one, locked, two } = figures
    const ratio = (values) => median(values.map((value, round) => value / one[round])).toFixed(2)
    console.log(
      `${dist}: one thread ${median(one).toFixed(0)} ns, with locks ${median(locked).toFixed(0)}`,
      `(${ratio(locked)}), two threads ${median(two).toFixed(0)} (${ratio(two)})`,
    )
    for (const worker of [...single, ...pair]) await worker.terminate()
  }
}

if (isMainThread) await main()
else await work(workerData)
