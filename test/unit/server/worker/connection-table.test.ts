/** The table of connections: walked in the order of the ids, in bounded steps, while they come and go. */
import { expect, test } from 'vitest'
import {
  type ConnectionRow,
  ConnectionTable,
  createConnectionTableMemory,
  NO_ROW,
} from '../../../../src/server/worker/connection-table.ts'

const SHOWN_PER_STEP = 32
/** For 5000 rows: each step takes in at least as many as have to be sorted. */
const FIRST_PASS_STEPS = 20

function rowOf(id: number): ConnectionRow {
  return { id, state: 1, activitySeconds: id * 10, socketIndex: 0, peer: `192.0.2.1:${id}` }
}

function shuffled(count: number, seed: number): number[] {
  let state = seed
  const ids = Array.from({ length: count }, (_, index) => index + 1)
  for (let index = count - 1; index > 0; index--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const other = state % (index + 1)
    ;[ids[index], ids[other]] = [ids[other] as number, ids[index] as number]
  }
  return ids
}

/** All steps of a walk; `between` is called before each. */
function walk(table: ConnectionTable, between: (step: number) => void = () => undefined): number[] {
  const steps = table.walk(() => undefined)
  const ids: number[] = []
  for (let step = 0; ; step++) {
    between(step)
    const rows = steps.next()
    if (rows === undefined) return ids
    expect(rows.length).toBeLessThanOrEqual(SHOWN_PER_STEP)
    for (const row of rows) {
      expect(row).toEqual(rowOf(row.id))
      ids.push(row.id)
    }
  }
}

function ascending(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

test.each([0, 1, 511, 512, 513, 1024, 1025, 20_000])(
  'a walk shows %i connections in the order of their ids, a few at a time',
  (count) => {
    const table = new ConnectionTable(createConnectionTableMemory(count))
    for (const id of shuffled(count, 7)) table.add(rowOf(id))
    expect(table.add(rowOf(count + 1))).toBe(NO_ROW)
    expect(walk(table)).toEqual(ascending(count))
  },
)

test('a walk looks at a bounded number of rows in a step, also where they are free', () => {
  const count = 60_000
  const table = new ConnectionTable(createConnectionTableMemory(count))
  const rows = ascending(count).map((id) => table.add(rowOf(id)))
  for (const row of rows.slice(0, -1)) table.remove(row)
  let lookedAt = 0
  const idOf = table.idOf.bind(table)
  table.idOf = (row) => {
    lookedAt++
    return idOf(row)
  }
  const ids = walk(table, () => {
    expect(lookedAt).toBeLessThanOrEqual(8192)
    lookedAt = 0
  })
  expect(ids).toEqual([count])
})

test('who stays is shown once, whoever comes and goes; who comes is not, and who has gone is not', () => {
  const count = 5000
  const table = new ConnectionTable(createConnectionTableMemory(2 * count))
  const rows = new Map(shuffled(count, 3).map((id) => [id, table.add(rowOf(id))]))
  let nextId = count + 1
  let leaving = count
  const ids = walk(table, (step) => {
    // One of the highest leaves, and others take its row and further ones. The first pass is over.
    if (step < FIRST_PASS_STEPS) return
    table.remove(rows.get(leaving) ?? NO_ROW)
    leaving--
    for (let index = 0; index < 3; index++) table.add(rowOf(nextId++))
  })
  expect(ids).toEqual([...ids].sort((one, other) => one - other))
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.slice(0, leaving)).toEqual(ascending(leaving))
  expect(Math.max(...ids)).toBeLessThanOrEqual(count)
})

test('a row is brought up to date before it is read', () => {
  const table = new ConnectionTable(createConnectionTableMemory(2))
  const row = table.add(rowOf(1))
  const steps = table.walk((refreshed) => {
    expect(refreshed).toBe(row)
    table.update(row, 5, 77)
  })
  const shown: ConnectionRow[] = []
  for (let rows = steps.next(); rows !== undefined; rows = steps.next()) shown.push(...rows)
  expect(shown).toEqual([{ ...rowOf(1), state: 5, activitySeconds: 77 }])
})
