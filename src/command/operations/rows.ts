/**
 * What operations tell: rows of a name and a value, or lines of a dump, in steps of bounded work, so that
 * whoever carries them to a client can let others have their turns in between.
 */
export type StatRows = readonly (readonly [name: string, value: string])[]

/** A step takes about 0.1 ms at most, however many rows there are in all. */
export interface RowSource {
  /** The next rows, maybe none; undefined after the last. */
  next(nowSeconds: number): StatRows | undefined
}

/** Lines, their ends included, one byte a character. */
export interface LineSource {
  /** The next lines, maybe none; undefined after the last. */
  next(nowSeconds: number): string | undefined
}

/** All rows in one step, as they were when it was made. */
export class FixedRows implements RowSource {
  private rows: StatRows | undefined

  constructor(rows: StatRows) {
    this.rows = rows
  }

  next(): StatRows | undefined {
    const { rows } = this
    this.rows = undefined
    return rows
  }
}

export function rowsOf(prefix: string, values: Readonly<Record<string, number>>): StatRows {
  return Object.entries(values).map(([name, value]) => [`${prefix}${name}`, String(value)] as const)
}
