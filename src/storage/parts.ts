/**
 * What one worker's Store is made of beneath its operations: its views of the memory, the index, its
 * end of the log, and what makes room. Made once, and shared by the classes that carry the operations
 * out.
 */
import { counterLanes } from './counters.ts'
import { type Geometry, memorySharesOf, type StoreMemory } from './geometry.ts'
import { GhostTable } from './ghost.ts'
import { Groups } from './group.ts'
import { HashIndex } from './hash-index.ts'
import { Heap } from './heap.ts'
import { Log } from './log.ts'
import { MemoryView } from './memory-view.ts'
import { SegmentPool } from './pool.ts'
import { Reclaimer } from './reclaimer.ts'
import { RecordFate } from './record-fate.ts'

export interface StoreParts {
  readonly memory: StoreMemory
  readonly geometry: Geometry
  /**
   * False for a store of one worker: nobody else is there to lock out or draws a CAS, and the two
   * atomic operations of a lock were a twentieth of a pipelined get in a CPU profile of the worker.
   */
  readonly isShared: boolean
  readonly view: MemoryView
  readonly control: Int32Array
  readonly pool: SegmentPool
  readonly index: HashIndex
  readonly log: Log
  readonly groups: Groups
  readonly ghost: GhostTable
  readonly fates: RecordFate
  readonly reclaimer: Reclaimer
  readonly counters: Float64Array
}

export function createParts(memory: StoreMemory, workerIndex: number): StoreParts {
  const { geometry } = memory
  const view = new MemoryView(memory)
  const heap = new Heap(memory)
  const pool = new SegmentPool(view, heap)
  const index = new HashIndex(view, pool)
  const log = new Log(view, pool, workerIndex)
  const groups = new Groups(memorySharesOf(geometry, geometry.memoryBytes))
  const ghost = new GhostTable(geometry, view.control)
  const fates = new RecordFate(memory, view, pool, index, log, groups, ghost, workerIndex)
  return {
    memory,
    geometry,
    isShared: geometry.workerCount > 1,
    view,
    control: view.control,
    pool,
    index,
    log,
    groups,
    ghost,
    fates,
    reclaimer: new Reclaimer(memory, view, pool, log, fates, workerIndex),
    counters: counterLanes(memory, workerIndex),
  }
}
