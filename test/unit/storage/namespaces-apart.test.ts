/**
 * What a namespace is told and what its probes cost depends on nothing that another one does: the same
 * requests, beside others who are idle, who have the same keys, and who flood, flush and take back what they lent, get the
 * same answers for the same work. Work is counted (how often each block of the sources runs), not timed.
 */
import { Session } from 'node:inspector'
import { setFlagsFromString } from 'node:v8'
import { expect, onTestFinished, test } from 'vitest'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { checkHeapIntegrity } from '../../../src/storage/heap-integrity.ts'
import { LendingRing } from '../../../src/storage/lending.ts'
import { addNamespace } from '../../../src/storage/namespaces.ts'
import { Client } from './client.ts'
import { type Random, randomOf, seedOfRun } from './model.ts'

// What is inlined is not counted.
for (const flag of ['--no-opt', '--no-maglev', '--no-sparkplug']) setFlagsFromString(flag)

const KIB = 1024
const UNIT = 256 * KIB
const KEYS = 100
const STEPS = 400
const VALUE_BYTES_MAX = 8000

/** What somebody else does between two requests. */
type Neighbour = (other: Client, random: Random) => void

const NEIGHBOURS: Readonly<Record<string, Neighbour>> = {
  'is idle': () => undefined,
  'has the same keys': (other, random) => {
    other.write(keyOf(random), Buffer.alloc(random.below(VALUE_BYTES_MAX), 'o'))
    if (random.below(4) === 0) other.touch(keyOf(random), other.now + 1)
    if (random.below(4) === 0) other.remove(keyOf(random))
  },
  'borrows all there is': (other, random) => {
    for (let left = random.below(8); left > 0; left--) {
      other.write(`flood ${random.below(100_000)}`, Buffer.alloc(random.below(60_000), 'o'))
    }
  },
  'flushes and is maintained': (other, random) => {
    other.write(keyOf(random), Buffer.alloc(random.below(60_000), 'o'))
    if (random.below(50) === 0) other.store.flush(0, other.now)
    if (random.below(10) === 0) other.store.maintain(other.now, random.below(200))
  },
}

function keyOf(random: Random): string {
  return `key ${random.below(KEYS)}`
}

/** Counts how often each block of the store's sources runs, as V8 does it for code coverage. */
class WorkMeter {
  readonly #session = new Session()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  close(): void {
    this.#session.disconnect()
  }

  of(work: () => void): string {
    this.#take()
    work()
    return this.#take()
  }

  /** What has run since the last time. The answer is there before `post` returns. */
  #take(): string {
    let blocks = ''
    this.#session.post('Profiler.takePreciseCoverage', (_, { result }) => {
      blocks = result
        .filter(({ url }) => url.includes('/src/storage/'))
        .flatMap(({ url, functions }) =>
          functions.map(({ functionName, ranges }) => {
            const counts = ranges.map(({ startOffset, count }) => `${startOffset}:${count}`)
            return [url.slice(url.indexOf('/src/')), functionName, ...counts].join(' ')
          }),
        )
        .filter((line) => /:[1-9]/.test(line))
        .toSorted()
        .join('\n')
    })
    return blocks
  }
}

/** One request, and what came of it. */
function request(client: Client, random: Random): string {
  const key = keyOf(random)
  switch (random.below(10)) {
    case 0:
    case 1:
      return `write ${client.write(key, Buffer.alloc(random.below(VALUE_BYTES_MAX), 'm'))} ${client.cas}`
    case 2:
      return `remove ${client.remove(key)}`
    case 3:
      return `touch ${client.touch(key, client.now + 1000)}`
    case 4:
      return `count ${client.count(key, 3n)}`
    default:
      return `find ${JSON.stringify(client.find(key, true))}`
  }
}

/** Answers, and the work of asking for all keys in the end. */
function history(
  neighbour: Neighbour,
  seed: number,
  meter: WorkMeter,
): { answers: string[]; work: string } {
  const first = createStoreMemory({
    memoryBytes: 16 * UNIT,
    memoryBytesMax: 16 * UNIT,
    itemBytesMax: 64 * KIB,
    evicts: true,
    workerCount: 1,
    seed: [11, 22],
    quotaBytesMin: 6 * UNIT,
  })
  const memories = [1, 2].map((namespace) =>
    addNamespace(first, { namespace, quotaBytes: 6 * UNIT, seed: [namespace, 7] }),
  )
  const ring = new LendingRing()
  const [, own, other] = [first, ...memories].map((memory) => {
    const client = new Client({}, memory, 0)
    client.store.joinLending(ring)
    return client
  })
  const [random, otherRandom] = [randomOf(seed), randomOf(seed + 1)]
  const answers = []
  for (let step = 0; step < STEPS; step++) {
    neighbour(other!, otherRandom)
    answers.push(request(own!, random))
  }
  expect(checkHeapIntegrity([first, ...memories])).toEqual([])
  const work = meter.of(() => {
    for (let index = 0; index < 2 * KEYS; index++) own!.has(`key ${index}`)
  })
  return { answers, work }
}

test('answers and the work of probes are the same, whatever others hold and do', () => {
  const seed = seedOfRun()
  const [[, idle], ...others] = Object.entries(NEIGHBOURS) as [
    [string, Neighbour],
    ...[string, Neighbour][],
  ]
  const meter = new WorkMeter()
  onTestFinished(() => meter.close())
  const alone = history(idle, seed, meter)
  expect(alone.work).toMatch(new RegExp(`store.ts lookup \\d+:${2 * KEYS}`))
  for (const [name, neighbour] of others) {
    const beside = history(neighbour, seed, meter)
    const index = beside.answers.findIndex((line, at) => line !== alone.answers[at])
    expect(beside.answers[index], `beside one who ${name}, request ${index}`).toBe(
      alone.answers[index],
    )
    expect(beside.work, `beside one who ${name}`).toBe(alone.work)
  }
})
