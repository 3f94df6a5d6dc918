import { expect, test } from 'vitest'
import { WorkerTable } from '../../../../src/server/admission/worker-table.ts'
import { createWorkerTableMemory } from '../../../../src/server/admission/worker-table-memory.ts'
import { Watchdog, type WorkerHealth } from '../../../../src/server/main/watchdog.ts'

function looks(watchdog: Watchdog, count: number, beat: () => void): WorkerHealth[] {
  return Array.from({ length: count }, () => {
    beat()
    return watchdog.look()
  })
}

test('a worker without a sign of life is stuck after five looks and lost after thirty', () => {
  const memory = createWorkerTableMemory(2, 0)
  const alive = new WorkerTable(memory, 0)
  const watchdog = new Watchdog(memory)
  const verdicts = looks(watchdog, 30, () => alive.turns.beat())
  expect(verdicts.indexOf('stuck')).toBe(4)
  expect(verdicts.indexOf('lost')).toBe(29)
})

test('a worker that comes back is well again', () => {
  const memory = createWorkerTableMemory(2, 0)
  const tables = [new WorkerTable(memory, 0), new WorkerTable(memory, 1)]
  const watchdog = new Watchdog(memory)
  looks(watchdog, 10, () => tables[0]?.turns.beat())
  const verdicts = looks(watchdog, 3, () =>
    tables.forEach((workerTable) => void workerTable.turns.beat()),
  )
  expect(verdicts).toEqual(['well', 'well', 'well'])
})
