/**
 * Statistics for people: names and values in two columns; and where every name is `1:addr` or
 * `items:1:age`, a row for each of the things that they are about, if the terminal is wide enough.
 *
 * Invariant: what a server says is printable here.
 */
import { printable } from './printable.ts'
import type { StatRow } from './session.ts'

const INDEXED = /^(?:items:)?([^:]+):([^:]+)$/

export function formatStats(rows: readonly StatRow[], columns: number): string[] {
  const grid = gridOf(rows)
  const wide = grid === undefined ? undefined : formatGrid(grid)
  if (wide?.every((line) => line.length <= columns)) return wide
  return formatGrid(rows)
}

/** One object: numbers where a JSON number keeps them, texts otherwise. */
export function statsJson(rows: readonly StatRow[]): Record<string, unknown> {
  return Object.fromEntries(rows.map(([name, value]) => [name, jsonValue(value)]))
}

/** Cells in columns; the last one is not padded. */
export function formatGrid(rows: readonly (readonly string[])[]): string[] {
  const shown = rows.map((row) => row.map(printable))
  const widths: number[] = []
  for (const row of shown) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
    })
  }
  return shown.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function jsonValue(value: string): unknown {
  // A zero in front, an exponent and 2^53 and above would not come back as they were.
  if (!/^-?(0|[1-9]\d{0,15})(\.\d{1,9})?$/.test(value)) return value
  const number = Number(value)
  return Math.abs(number) <= Number.MAX_SAFE_INTEGER ? number : value
}

function gridOf(rows: readonly StatRow[]): string[][] | undefined {
  const names: string[] = []
  const things = new Map<string, Map<string, string>>()
  for (const [name, value] of rows) {
    const [, thing, field] = INDEXED.exec(name) ?? []
    if (thing === undefined || field === undefined) return undefined
    if (!names.includes(field)) names.push(field)
    const fields = things.get(thing) ?? new Map<string, string>()
    things.set(thing, fields.set(field, value))
  }
  if (things.size === 0 || names.length > GRID_COLUMNS_MAX) return undefined
  const body = [...things].map(([thing, fields]) => [
    thing,
    ...names.map((name) => fields.get(name) ?? ''),
  ])
  return [['', ...names], ...body]
}

/** More do not fit on any terminal, and looking for them would take long. */
const GRID_COLUMNS_MAX = 32
