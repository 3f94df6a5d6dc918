/**
 * How one worker's event loop and its memory do: how late its timer comes, how long it waits and works,
 * what its heap holds, and, where times of requests are taken, what the collector takes. In a lane of
 * shared memory of its own (observe/shared-lanes.ts), which is not added to those of others:
 *
 *   | lag: a histogram | active s, idle s | heap: used, total, external | collections, s: minor, major, ... |
 *
 * The lag is that of the worker's one timer, which comes ten times a second: what it is late, some read that
 * came just then has waited as well. A timer of Node has whole milliseconds, so that a loop with nothing to
 * do may be told of as late by one.
 */
import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import type { HistogramSample, MetricFamily, ValueSample } from '../../observe/metric-family.ts'
import { HISTOGRAM_SLOTS, histogramSample, observe } from '../../observe/power-histogram.ts'
import { createSharedLanes, type SharedLanes, sharedLane } from '../../observe/shared-lanes.ts'

const LAG = 0
const ACTIVE = HISTOGRAM_SLOTS
const IDLE: number = ACTIVE + 1
const HEAP_USED: number = ACTIVE + 2
const HEAP_TOTAL: number = ACTIVE + 3
const HEAP_EXTERNAL: number = ACTIVE + 4
const COLLECTIONS: number = ACTIVE + 5
const COLLECTION_SLOTS = 2

/** As `perf_hooks.constants` numbers them; 2 is a minor one of another kind. */
const COLLECTION_KINDS: ReadonlyMap<number, string> = new Map([
  [1, 'minor'],
  [4, 'major'],
  [8, 'incremental'],
  [16, 'weak_callbacks'],
])
const KIND_BITS: readonly number[] = [...COLLECTION_KINDS.keys()]
const MINOR_MARK_SWEEP = 2

const SLOT_COUNT: number = COLLECTIONS + COLLECTION_KINDS.size * COLLECTION_SLOTS

/** Looking at the heap takes a microsecond or two, so it is done this often. */
const LOOK_MS = 1000

/** Such an entry has it; the typings do not. */
type CollectionEntry = PerformanceEntry & { readonly detail: { readonly kind: number } }

export function createLoopMemory(workerCount: number): SharedLanes {
  return createSharedLanes(workerCount, SLOT_COUNT)
}

export class LoopMeasures {
  private readonly lane: Float64Array
  private readonly periodMs: number
  private tickMs = Number.NaN
  private lookMs = Number.NEGATIVE_INFINITY
  private endCollections: () => void = () => undefined

  constructor(memory: SharedLanes, workerIndex: number, periodMs: number) {
    this.lane = sharedLane(memory, workerIndex)
    this.periodMs = periodMs
  }

  /** To be called by the timer that is to come every `periodMs`, first of all. */
  tick(nowMs: number): void {
    const { lane, tickMs, periodMs } = this
    this.tickMs = nowMs
    if (tickMs > 0) observe(lane, LAG, Math.max(0, nowMs - tickMs - periodMs) * 1000, 1)
    if (nowMs - this.lookMs < LOOK_MS) return
    this.lookMs = nowMs
    const { active, idle } = performance.eventLoopUtilization()
    lane[ACTIVE] = active / 1000
    lane[IDLE] = idle / 1000
    const heap = getHeapStatistics()
    lane[HEAP_USED] = heap.used_heap_size
    lane[HEAP_TOTAL] = heap.total_heap_size
    lane[HEAP_EXTERNAL] = heap.external_memory
  }

  /** Counts collections from now on. */
  watchCollections(): void {
    const observer = new PerformanceObserver((list) => {
      for (const { duration, detail } of list.getEntries() as CollectionEntry[]) {
        this.collected(detail.kind, duration)
      }
    })
    observer.observe({ entryTypes: ['gc'] })
    this.endCollections = () => observer.disconnect()
  }

  collected(kind: number, durationMs: number): void {
    const place = KIND_BITS.indexOf(kind === MINOR_MARK_SWEEP ? 1 : kind)
    if (place < 0) return
    const at = COLLECTIONS + place * COLLECTION_SLOTS
    this.lane[at]!++
    this.lane[at + 1]! += durationMs / 1000
  }

  end(): void {
    this.endCollections()
  }
}

const VALUES = [
  ['event_loop_active_seconds', 'counter', ACTIVE, 'In which the event loop of a worker worked.'],
  ['event_loop_idle_seconds', 'counter', IDLE, 'In which the event loop of a worker waited.'],
  ['heap_used_bytes', 'gauge', HEAP_USED, 'Of JavaScript objects, by worker.'],
  ['heap_total_bytes', 'gauge', HEAP_TOTAL, 'Reserved for JavaScript objects, by worker.'],
  ['heap_external_bytes', 'gauge', HEAP_EXTERNAL, 'Buffers of JavaScript objects, by worker.'],
] as const

const COLLECTION_VALUES = [
  ['gc_collections', 0, 'Collections of garbage, by worker and kind.'],
  ['gc_seconds', 1, 'That collections of garbage took, by worker and kind.'],
] as const

export function loopFamilies(memory: SharedLanes): MetricFamily[] {
  const workers = Array.from({ length: memory.laneCount }, (_, index) => ({
    worker: String(index),
    lane: sharedLane(memory, index),
  }))
  return [
    {
      name: 'event_loop_lag_seconds',
      kind: 'histogram',
      help: 'How late the timer of a worker came.',
      samples: (): HistogramSample[] =>
        workers.flatMap(({ worker, lane }) => histogramSample(lane, LAG, { worker }) ?? []),
    },
    ...VALUES.map(
      ([name, kind, slot, help]): MetricFamily => ({
        name,
        kind,
        help,
        samples: () =>
          workers.map(({ worker, lane }) => ({ labels: { worker }, value: lane[slot]! })),
      }),
    ),
    ...COLLECTION_VALUES.map(
      ([name, offset, help]): MetricFamily => ({
        name,
        kind: 'counter',
        help,
        samples: () =>
          workers.flatMap(({ worker, lane }) =>
            [...COLLECTION_KINDS.values()].map((kind, place): ValueSample => {
              const at = COLLECTIONS + place * COLLECTION_SLOTS
              return { labels: { worker, kind }, value: lane[at + offset]! }
            }),
          ),
      }),
    ),
  ]
}
