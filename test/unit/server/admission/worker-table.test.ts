import { expect, test } from 'vitest'
import { NO_SOURCE } from '../../../../src/server/admission/source-counts.ts'
import { WorkerTable } from '../../../../src/server/admission/worker-table.ts'
import { createWorkerTableMemory } from '../../../../src/server/admission/worker-table-memory.ts'

const MANY = 1_000_000

function workers(count: number): WorkerTable[] {
  const memory = createWorkerTableMemory(count, 0)
  const rosters = Array.from({ length: count }, (_, index) => new WorkerTable(memory, index))
  for (const workerTable of rosters) workerTable.turns.balance()
  return rosters
}

function accept(workerTable: WorkerTable): boolean {
  workerTable.claimPlace(MANY)
  return workerTable.turns.balance()
}

test('the limit on connections is one for all workers', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  expect([first.claimPlace(3), second.claimPlace(3), first.claimPlace(3)]).toEqual([
    true,
    true,
    true,
  ])
  expect(second.claimPlace(3)).toBe(false)
  first.givePlaceBack()
  expect(second.claimPlace(3)).toBe(true)
})

test('connection ids are never given twice', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  expect([first.nextConnectionId(), second.nextConnectionId(), first.nextConnectionId()]).toEqual([
    1, 2, 3,
  ])
})

test('a worker with more connections than another that accepts leaves newcomers to it', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  expect(accept(first)).toBe(false)
  expect(accept(second)).toBe(true)
  expect(first.turns.balance()).toBe(true)
})

test('at least one worker accepts, whatever they have', () => {
  const rosters = workers(4)
  let seed = 12_345
  const accepting = new Set(rosters)
  for (let step = 0; step < 2000; step++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    const workerTable = rosters[seed % 4] as WorkerTable
    if (seed % 3 === 0) workerTable.givePlaceBack()
    else workerTable.claimPlace(MANY)
    if (workerTable.turns.balance()) accepting.add(workerTable)
    else accepting.delete(workerTable)
    expect(accepting.size).toBeGreaterThan(0)
  }
})

test('newcomers that come one by one spread evenly', () => {
  const rosters = workers(4)
  const counts = [0, 0, 0, 0]
  for (let newcomer = 0; newcomer < 40; newcomer++) {
    // The event loops turn: who was called back looks again. The first that accepts is the fastest.
    const accepting = rosters.map((workerTable) => workerTable.turns.balance())
    const taker = accepting.lastIndexOf(true)
    counts[taker] = (counts[taker] ?? 0) + 1
    accept(rosters[taker] as WorkerTable)
  }
  expect(counts).toEqual([10, 10, 10, 10])
})

test('a worker that shows no sign of life is not waited for', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  second.turns.beat()
  first.turns.beat()
  expect(accept(first)).toBe(false)
  for (let tick = 0; tick < 3; tick++) first.turns.beat()
  expect(first.turns.balance()).toBe(true)
  second.turns.beat()
  first.turns.beat()
  expect(first.turns.balance()).toBe(false)
})

test('a stranger waits for those of other workers who came before', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  expect(first.claimStranger(1)).toBe(true)
  expect(second.claimStranger(1)).toBe(false)
  second.publishWaiting(1, second.nextTicket())
  first.countStranger(-1)
  expect(first.claimStranger(1)).toBe(false)
  expect(first.claimStrangerForOldest(1)).toBe(false)
  expect(second.claimStrangerForOldest(1)).toBe(true)
})

test('of two that wait with different workers the older is first', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  const older = second.nextTicket()
  first.publishWaiting(1, first.nextTicket())
  second.publishWaiting(1, older)
  expect(first.claimStrangerForOldest(1)).toBe(false)
  expect(second.claimStrangerForOldest(1)).toBe(true)
})

/** A stranger with a place, from an IPv4 address; returns the number of its source. */
function arrive(workerTable: WorkerTable, address: number, waits = false): number {
  const source = workerTable.strangers.holdSource({ kind: 4, high: 0, low: address })
  workerTable.claimPlace(MANY)
  workerTable.strangers.addStranger(source)
  if (!waits) return source
  workerTable.strangers.startWaiting(source)
  workerTable.publishWaiting(1, workerTable.nextTicket())
  return source
}

test('a place of who waits elsewhere is taken over at once, and answered for once', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  const source = arrive(second, 1, true)
  const newcomer = first.strangers.holdSource({ kind: 4, high: 0, low: 2 })
  expect(first.claimPlace(1)).toBe(false)
  expect(first.strangers.takePlaceFor(newcomer, 1)).toBe('taken')
  // The one that waits is spoken for: nobody else can have its place.
  expect(first.strangers.takePlaceFor(newcomer, 1)).toBe('none')
  expect(second.strangers.nextWantedSource()).toBe(source)
  second.strangers.stopWaiting(source)
  second.publishWaiting(0, 0)
  second.strangers.leave(source, true)
  expect(second.strangers.nextWantedSource()).toBe(NO_SOURCE)
  expect(second.claimPlace(1)).toBe(false)
})

test('a stranger that leaves before its worker answers for its place has answered for it', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  const source = arrive(second, 1, true)
  expect(
    first.strangers.takePlaceFor(first.strangers.holdSource({ kind: 4, high: 0, low: 2 }), 1),
  ).toBe('taken')
  second.strangers.leave(source, true)
  expect(second.strangers.nextWantedSource()).toBe(NO_SOURCE)
  expect(second.claimPlace(1)).toBe(false)
  expect(first.claimPlace(2)).toBe(true)
})

test('a stranger that logs in before its worker answers for its place keeps it, and nobody comes until one leaves', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  const source = arrive(second, 1, true)
  expect(
    first.strangers.takePlaceFor(first.strangers.holdSource({ kind: 4, high: 0, low: 2 }), 1),
  ).toBe('taken')
  arrive(first, 3)
  first.givePlaceBack()
  second.strangers.loseStranger(source)
  expect(second.strangers.nextWantedSource()).toBe(NO_SOURCE)
  expect(
    second.strangers.takePlaceFor(second.strangers.holdSource({ kind: 4, high: 0, low: 4 }), 1),
  ).toBe('none')
  second.strangers.leave(source, false)
  expect(
    second.strangers.takePlaceFor(second.strangers.holdSource({ kind: 4, high: 0, low: 5 }), 1),
  ).toBe('ours')
})

test('a place is taken from the worker where the source has most strangers', () => {
  const [first, second, third] = workers(3) as [WorkerTable, WorkerTable, WorkerTable]
  const source = arrive(second, 1, true)
  arrive(third, 1, true)
  arrive(third, 1)
  expect(first.strangers.ofSource(source)).toBe(3)
  // Of waiting ones both have one, and of equal workers the first that was found is asked.
  expect(
    first.strangers.takePlaceFor(first.strangers.holdSource({ kind: 4, high: 0, low: 2 }), 3),
  ).toBe('taken')
  expect(
    first.strangers.takePlaceFor(first.strangers.holdSource({ kind: 4, high: 0, low: 2 }), 3),
  ).toBe('taken')
  expect([second, third].map((workerTable) => workerTable.strangers.nextWantedSource())).toEqual([
    source,
    source,
  ])
})

test('room in the accept queue is taken over from the worker that holds most, while that has two more', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  for (let count = 0; count < 3; count++) second.claimHeld(3)
  expect(first.claimHeld(3)).toBe(false)
  expect([first.takeHeldOfOther(), first.takeHeldOfOther()]).toEqual([true, false])
  expect([second.answerForTakenHeld(), second.answerForTakenHeld()]).toEqual([1, 0])
  second.giveHeldBack()
  expect(second.claimHeld(3)).toBe(false)
})

test('what the accept queues hold is bounded for all workers together', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  expect([first.claimHeld(2), second.claimHeld(2), first.claimHeld(2)]).toEqual([true, true, false])
  second.giveHeldBack()
  expect(first.claimHeld(2)).toBe(true)
})

test('a worker far ahead hands accepting over to those behind, but not to one that is dead', () => {
  const [first, second] = workers(2) as [WorkerTable, WorkerTable]
  for (let count = 0; count < 2; count++) first.claimPlace(MANY)
  expect(first.turns.handOver()).toBe(false)
  first.claimPlace(MANY)
  expect(first.turns.handOver()).toBe(true)
  expect(first.turns.balance()).toBe(false)
  expect(second.turns.balance()).toBe(true)
  for (let tick = 0; tick < 5; tick++) first.turns.beat()
  expect(first.turns.handOver()).toBe(false)
  expect(first.turns.balance()).toBe(true)
})

test('a crowd that all workers notice is told of by one, and by one again after some seconds', () => {
  const all = workers(3)
  const claims = (sharedMs: number): number =>
    all.filter((workerTable) => workerTable.claimCrowdReport(sharedMs)).length
  expect([0, 5000, 9999, 10_000, 15_000, 20_000].map(claims)).toEqual([1, 0, 0, 1, 0, 1])
})
