/** The shared memory of what is counted with labels. */
import { LATENCY_SLOTS, VERB_SLOTS } from '../../connection/turn-counts.ts'
import { createSharedLanes, type SharedLanes } from '../../observe/shared-lanes.ts'
import { createUserMemory, type UserMemory } from '../../observe/user-counts.ts'
import { createEventMemory } from './event-counters.ts'
import { createLoopMemory } from './loop-measures.ts'

export interface MeasureMemory {
  readonly users: UserMemory
  /** Requests by dialect and verb, and how long they took; undefined: that is not asked for. */
  readonly requests: SharedLanes
  readonly latencies: SharedLanes | undefined
  readonly events: SharedLanes
  readonly loops: SharedLanes
}

export function createMeasureMemory(workerCount: number, takesTimes: boolean): MeasureMemory {
  return {
    users: createUserMemory(workerCount),
    requests: createSharedLanes(workerCount, VERB_SLOTS),
    latencies: takesTimes ? createSharedLanes(workerCount, LATENCY_SLOTS) : undefined,
    // Behind those of the workers is that of the main thread, which counts the logins over HTTP.
    events: createEventMemory(workerCount + 1),
    loops: createLoopMemory(workerCount),
  }
}
