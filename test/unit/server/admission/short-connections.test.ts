/**
 * Connections that come and go die young: nothing that was there long before, and is garbage by now, keeps
 * them for the collections of young objects, which know nothing of what is garbage among the old. Else a
 * thousand short connections a second are megabytes of old objects a second, and a mark-compact.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { NO_SLOT } from '../../../../src/base/slots.ts'
import type { Connection } from '../../../../src/connection/connection.ts'
import { COUNTER_NAMES } from '../../../../src/observe/counters.ts'
import { Admission } from '../../../../src/server/admission/admission.ts'
import { WorkerTable } from '../../../../src/server/admission/worker-table.ts'
import { createWorkerTableMemory } from '../../../../src/server/admission/worker-table-memory.ts'
import { ManualNewcomer } from '../../../support/manual-newcomer.ts'

const LONG_COUNT = 200
const SHORT_COUNT = 2000
const AT_A_TIME = 10
/** Nobody is there for two of them. */
const COLLECT_EVERY = 5 * AT_A_TIME
const WORDS = 500

class Client {
  readonly gate = { isOpen: false }
  slot: number = NO_SLOT
  lastActivityMs = 0
  /** Numbers lie in the array itself: the client is as large as a real one with its buffers. */
  readonly memory: number[] = new Array(WORDS).fill(0.5)
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')!
    .space_used_size
}

test('connections that come and go do not grow old', () => {
  let served: Connection | undefined
  const admission: Admission = new Admission({
    connectionsMax: 1000,
    strangersMax: 1000,
    waitMs: 10_000,
    workerTable: new WorkerTable(createWorkerTableMemory(1, 0, 1000), 0),
    lane: new Float64Array(COUNTER_NAMES.length),
    serve: () => {
      served = new Client() as unknown as Connection
      return served
    },
    turnAway: () => undefined,
    onCrowd: () => undefined,
  })
  const open = (): Connection => {
    admission.accept(new ManualNewcomer('192.0.2.1'), 0)
    return served as Connection
  }
  const long = Array.from({ length: LONG_COUNT }, open)
  for (let count = 0; count < 4; count++) collect({ type: 'minor' })
  const short: Connection[] = []
  const come = (): void => {
    short.push(open())
    if (short.length > AT_A_TIME) admission.closed(short.shift()!, 0)
  }
  for (let count = 0; count < AT_A_TIME; count++) come()
  for (const connection of long) admission.closed(connection, 0)
  const before = oldBytes()
  for (let count = 0; count < SHORT_COUNT; count++) {
    come()
    if (count % COLLECT_EVERY === 0) collect({ type: 'minor' })
  }
  expect(oldBytes() - before).toBeLessThan((SHORT_COUNT * WORDS * 8) / 4)
})
