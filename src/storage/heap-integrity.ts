/**
 * Checks of what the namespaces over one memory share: each segment has one owner, and the sums that the heap
 * keeps are those of the namespaces. Slow, for tests, while nobody uses the stores.
 */
import {
  DEMANDED_WORD,
  EXCESS_WORD,
  GUARANTEED_WORD,
  HEAP_DEMANDED_WORD,
  HEAP_EXCESS_WORD,
  HEAP_FREE_FIRST_WORD,
  HEAP_FRESH_WORD,
  HEAP_LOCK_WORD,
  HEAP_NAMESPACES_WORD,
  HEAP_NEXT_WORD,
  HEAP_QUOTA_LOCK_WORD,
  HEAP_UNASSIGNED_WORD,
  LIMIT_SEGMENTS_WORD,
  OWNED_COUNT_WORD,
} from './control-block.ts'
import type { StoreMemory } from './geometry.ts'
import { checkIntegrity, REPORTS_MAX } from './integrity.ts'

/** The same for all namespaces over one memory, and for the heap: every segment has one owner. */
export function checkHeapIntegrity(memories: readonly StoreMemory[]): string[] {
  const reports = memories.flatMap((memory) =>
    checkIntegrity(memory).map((report) => `namespace ${memory.geometry.namespace}: ${report}`),
  )
  const [first] = memories
  if (first === undefined) return reports
  const heap = new Int32Array(first.heap)
  const expect = (what: string, found: number, expected: number): void => {
    if (found !== expected) reports.push(`${what}: ${found}, should be ${expected}`)
  }
  for (const word of [HEAP_LOCK_WORD, HEAP_QUOTA_LOCK_WORD])
    expect('lock of the heap', heap[word]!, 0)
  expect('number of namespaces', heap[HEAP_NAMESPACES_WORD]!, memories.length)
  const owners = new Int32Array(first.geometry.segmentCount)
  for (let id = heap[HEAP_FREE_FIRST_WORD]!; id !== 0; id = heap[HEAP_NEXT_WORD + id - 1]!) {
    owners[id - 1]!++
    if (owners[id - 1]! > 1) return [...reports, `segment ${id - 1} is twice in the heap`]
  }
  const sum = { guaranteed: 0, held: 0, excess: 0, demanded: 0 }
  for (const memory of memories) {
    const control = new Int32Array(memory.control)
    const { ownedWord } = memory.geometry
    const owned = control.subarray(ownedWord, ownedWord + control[OWNED_COUNT_WORD]!)
    for (const segment of owned) owners[segment]!++
    sum.guaranteed += control[GUARANTEED_WORD]!
    sum.held += control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]!
    sum.excess += control[EXCESS_WORD]!
    sum.demanded += control[DEMANDED_WORD]!
  }
  for (const [segment, owner] of owners.entries()) {
    expect(`owners of segment ${segment}`, owner, segment < heap[HEAP_FRESH_WORD]! ? 1 : 0)
  }
  expect('unassigned segments', heap[HEAP_UNASSIGNED_WORD]!, sum.guaranteed - sum.held)
  expect('segments in excess', heap[HEAP_EXCESS_WORD]!, sum.excess)
  expect('segments demanded', heap[HEAP_DEMANDED_WORD]!, sum.demanded)
  return reports.slice(0, REPORTS_MAX)
}
