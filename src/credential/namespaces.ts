/**
 * The namespaces of a server, and the numbers by which the store and the principals know them.
 *
 * Invariant: a number means one name for as long as the process lives. That of a namespace that is gone
 * is given to no other: its items may still be there, and connections of its users as well. The same
 * name has it again.
 */
import { NAMESPACE_DEFAULT, NAMESPACE_DEFAULT_NAME } from './principal.ts'

/** As a file states it. */
export interface NamespaceEntry {
  readonly name: string
  readonly file: string
  readonly line: number
  readonly memoryBytes: number
}

export interface Namespace {
  readonly name: string
  /** From 0, which is the default one, to NAMESPACE_ID_MAX. */
  readonly id: number
  /** Its share of the memory; 0 for the default one, which has what the others leave. */
  readonly memoryBytes: number
}

/** In the life of a process. */
export const NAMESPACE_ID_MAX = 255
export const NAMESPACE_BYTES_MIN: number = 1024 * 1024

export const DEFAULT_NAMESPACE: Namespace = {
  name: NAMESPACE_DEFAULT_NAME,
  id: NAMESPACE_DEFAULT,
  memoryBytes: 0,
}

export class NamespaceIds {
  readonly #ids: ReadonlyMap<string, number>

  constructor(ids: ReadonlyMap<string, number> = new Map()) {
    this.#ids = ids
  }

  /** With numbers for these names, too; undefined: there are not enough left. */
  with(names: readonly string[]): NamespaceIds | undefined {
    const ids = new Map(this.#ids)
    for (const name of names) if (!ids.has(name)) ids.set(name, ids.size + 1)
    return ids.size > NAMESPACE_ID_MAX ? undefined : new NamespaceIds(ids)
  }

  /** The namespaces of those entries, whose names have numbers, behind the default one. */
  number(entries: readonly NamespaceEntry[]): Namespace[] {
    const numbered = entries.flatMap(({ name, memoryBytes }) => {
      const id = this.#ids.get(name)
      return id === undefined ? [] : [{ name, id, memoryBytes }]
    })
    return [DEFAULT_NAMESPACE, ...numbered]
  }
}
