/**
 * Namespaces come, change and go: what is guaranteed to each (quotas.ts) follows what is wanted, and which quotas can be
 * is said here. Called from any thread, also from one that has no Store.
 *
 * Invariant: what a namespace gave up is only guaranteed to another when it was given up by agreement: a namespace that
 * is removed keeps its quota until its memory is back.
 */
import { assert } from '../base/assert.ts'
import { NAMESPACES_MAX } from '../base/namespaces-max.ts'
import { OVERFLOW_PAGES_WORD, PINNED_COUNT_WORD, PRIMARY_PAGES_WORD } from './control-block.ts'
import { memoryLimitOf } from './counters.ts'
import {
  createNamespaceMemory,
  limitBytesMinOf,
  memorySharesOf,
  type NamespaceOptions,
  quotaBytesMinOf,
  type StoreMemory,
} from './geometry.ts'
import { Heap } from './heap.ts'
import { MemoryView } from './memory-view.ts'
import { SegmentPool } from './pool.ts'
import { wholeMemoryLimitOf, withQuotas } from './quotas.ts'

/** A quota that is wanted. */
export interface Quota {
  readonly name: string
  readonly memoryBytes: number
}

/**
 * Why those quotas cannot be, one sentence each; empty if they can. Of a namespace that is there already the
 * index may have grown, so that its quota cannot be as low as that of a new one.
 */
export function quotaProblems(
  first: StoreMemory,
  quotas: readonly Quota[],
  existing: ReadonlyMap<string, StoreMemory> = new Map(),
): string[] {
  const problems: string[] = []
  if (quotas.length > NAMESPACES_MAX) {
    problems.push(`${quotas.length} namespaces: there may be ${NAMESPACES_MAX}`)
  }
  let sum = 0
  for (const { name, memoryBytes } of quotas) {
    const memory = existing.get(name)
    const least = memory === undefined ? quotaBytesMinOf(first) : leastQuotaOf(first, memory)
    if (memoryBytes < least) {
      problems.push(
        `namespace "${name}" has ${mebibytes(memoryBytes)}: it needs ${mebibytes(least)}`,
      )
    }
    sum += memoryBytes
  }
  const least = Math.min(limitBytesMinOf(first.geometry, indexPagesOf(first)), memoryLimitOf(first))
  const left = wholeMemoryLimitOf(first) - sum
  if (quotas.length > 0 && left < least) {
    problems.push(
      `the namespaces have ${mebibytes(sum)} of ${mebibytes(wholeMemoryLimitOf(first))}: ` +
        `${mebibytes(least)} must be left for users without a namespace`,
    )
  }
  return problems
}

/** Makes a namespace, of which quotaProblems() has said that it can be. */
export function addNamespace(first: StoreMemory, options: NamespaceOptions): StoreMemory {
  const { quotaBytes } = options
  const memory = createNamespaceMemory(first, options)
  const heap = new Heap(first)
  heap.countNamespaces(1)
  withQuotas(first, (quotas) => {
    // All of it is new to the heap.
    const { segmentCount } = memorySharesOf(memory.geometry, quotaBytes)
    heap.add(segmentCount, 0, 0)
    quotas.add(quotaBytes, segmentCount)
    quotas.guaranteeFirst(poolOf(first), memoryLimitOf(first) - quotaBytes)
  })
  // What is free is there for the new one at once.
  const { freeSegmentsGoal } = memorySharesOf(first.geometry, memoryLimitOf(first))
  poolOf(first).holdings.settle(freeSegmentsGoal)
  poolOf(first).holdings.payExcess(freeSegmentsGoal)
  poolOf(memory).holdings.settle(0)
  return memory
}

/** Gives a namespace another quota, of which quotaProblems() has said that it can be. */
export function setQuota(first: StoreMemory, memory: StoreMemory, quotaBytes: number): void {
  withQuotas(first, (quotas) => {
    const added = quotaBytes - memoryLimitOf(memory)
    const pool = poolOf(memory)
    const { segmentCount } = memorySharesOf(memory.geometry, quotaBytes)
    quotas.add(added, segmentCount - pool.holdings.segmentCount)
    quotas.guaranteeFirst(poolOf(first), memoryLimitOf(first) - added)
    pool.holdings.guarantee(segmentCount, quotaBytes)
  })
}

/** Whether replies are still being sent from the memory of a namespace (pins.ts). */
export function hasPins(memory: StoreMemory): boolean {
  return Atomics.load(new MemoryView(memory).control, PINNED_COUNT_WORD) > 0
}

/**
 * Ends a namespace whose store no worker has any more, and from which nothing is being sent: what it had goes to the
 * heap, and its quota to the first.
 */
export function dropNamespace(first: StoreMemory, memory: StoreMemory): void {
  assert(memory.geometry.namespace !== 0, 'namespace 0 stays')
  assert(!hasPins(memory), 'the memory of a namespace is given away while replies leave from it')
  // Before the first is told of its new quota: if it is alone again, all of that is its own at once.
  new Heap(first).countNamespaces(-1)
  withQuotas(first, (quotas) => {
    const quotaBytes = memoryLimitOf(memory)
    const pool = poolOf(memory)
    pool.holdings.dissolve()
    quotas.add(-quotaBytes, -pool.holdings.segmentCount)
    pool.holdings.guarantee(0, 0)
    quotas.guaranteeFirst(poolOf(first), memoryLimitOf(first) + quotaBytes)
  })
}

function poolOf(memory: StoreMemory): SegmentPool {
  return new SegmentPool(new MemoryView(memory), new Heap(memory))
}

/** What it has is enough, whatever its index has grown to. */
function leastQuotaOf(first: StoreMemory, memory: StoreMemory): number {
  const least = limitBytesMinOf(memory.geometry, indexPagesOf(memory))
  return Math.min(Math.max(quotaBytesMinOf(first), least), memoryLimitOf(memory))
}

function indexPagesOf({ control }: StoreMemory): number {
  const words = new Int32Array(control)
  return words[PRIMARY_PAGES_WORD]! + words[OVERFLOW_PAGES_WORD]!
}

function mebibytes(bytes: number): string {
  return `${Math.round((bytes / 2 ** 20) * 100) / 100} MiB`
}
