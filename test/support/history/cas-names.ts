/**
 * CAS uniques of 64 bits, as small numbers in the order in which they are seen; what is not seen yet keeps its value, as long
 * as that is less than the first of them. A history keeps numbers, and those of a gate before a cluster are beyond 2^53.
 */

export class CasNames {
  readonly #names = new Map<bigint, number>()
  readonly #uniques: bigint[] = [0n, 1n]
  /** What was shown with each, by casOf() of its key and the small number. */
  readonly values: Map<string, string> = new Map()

  nameOf(unique: bigint): number {
    if (unique === 0n) return 0
    const known = this.#names.get(unique)
    if (known !== undefined) return known
    const name = this.#uniques.push(unique) - 1
    this.#names.set(unique, name)
    return name
  }

  /** 1 is nobody's. */
  uniqueOf(name: number): bigint {
    const unique = this.#uniques[name]
    if (unique === undefined) throw new Error(`nobody has seen ${name}`)
    return unique
  }
}
