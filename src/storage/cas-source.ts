/**
 * Where CAS ids come from. Hot path.
 *
 * Invariant: ids go up with every change, over all workers. The lower word is one atomic counter. The
 * upper bits are counted in halves of that word's range: whoever draws the first number of a half
 * counts it, and who draws a number of a half not yet counted sees that from its top bit.
 */
import { CAS_HALF_WORD, CAS_LOW_WORD } from './control-block.ts'
import type { StoreMemory } from './geometry.ts'
import { NARROW_CAS_HIGH_MAX } from './item.ts'

/**
 * Halves of the lower word after which new records have room for a CAS of more than 40 bits: two
 * before it is needed, so that no id drawn in the meantime lacks it.
 */
const WIDE_CAS_HALVES: number = 2 * (NARROW_CAS_HIGH_MAX + 1) - 2

/** Where the ids of a store have got to: halves of the lower word's range, and the lower word. */
export interface CasMark {
  readonly half: number
  readonly low: number
}

/** The next id, as a mark. Exact while nobody draws one. */
export function casMarkOf({ control }: Pick<StoreMemory, 'control'>): CasMark {
  const words = new Int32Array(control)
  const half = Atomics.load(words, CAS_HALF_WORD)
  const low = Atomics.load(words, CAS_LOW_WORD)
  return { half: (half & 1) === low >>> 31 ? half : half + 1, low: low >>> 0 }
}

/** Goes on from a mark; with `skips` half a range of the lower word after it. Before there are workers. */
export function continueCas(
  { control }: Pick<StoreMemory, 'control'>,
  mark: CasMark,
  skips: boolean,
): void {
  const words = new Int32Array(control)
  words[CAS_HALF_WORD] = skips ? mark.half + 1 : mark.half
  words[CAS_LOW_WORD] = skips ? mark.low ^ (1 << 31) : mark.low
}

export class CasSource {
  /** The CAS that was taken last. */
  high = 0
  low = 0
  private readonly control: Int32Array
  private readonly isShared: boolean

  constructor(control: Int32Array, isShared: boolean) {
    this.control = control
    this.isShared = isShared
  }

  /** Takes a CAS that was given, or for 0 and 0 the next one. */
  take(givenHigh: number, givenLow: number): void {
    if ((givenHigh | givenLow) === 0) {
      this.takeNext()
    } else {
      this.high = givenHigh >>> 0
      this.low = givenLow >>> 0
    }
  }

  takeNext(): void {
    const control = this.control
    const half = this.isShared ? Atomics.load(control, CAS_HALF_WORD) : control[CAS_HALF_WORD]!
    const low = this.isShared ? Atomics.add(control, CAS_LOW_WORD, 1) : control[CAS_LOW_WORD]!++
    const drawn = (half & 1) === low >>> 31 ? half : half + 1
    if (drawn !== half && low << 1 === 0) Atomics.store(control, CAS_HALF_WORD, drawn)
    this.high = drawn >>> 1
    this.low = low >>> 0
  }

  /** Whether a record needs the words of a wide CAS: for the upper word given, or for the next CAS. */
  isWide(givenHigh: number): boolean {
    return givenHigh > NARROW_CAS_HIGH_MAX || this.control[CAS_HALF_WORD]! >= WIDE_CAS_HALVES
  }
}
