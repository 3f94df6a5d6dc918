/**
 * Hot path. How often items were changed lately, by the stripe of their key: by the threads of this gate, whose changes the
 * versions of write-stripes.ts count, and by others, as far as nodes have told of it. halve() makes the past count for
 * less, as in read-sketch.ts.
 *
 *     version ----------------------------.
 *     base    -------------.               >  their difference: the changes that count
 *                           moves up by half of it with each halve(), and down by one for a change of others
 */
import { STRIPE_MASK, STRIPES, type WriteStripes } from './write-stripes.ts'

/** A version begins anew behind it (write-stripes.ts). */
const VERSION_MASK = 0x7fffffff

export class RecentChanges {
  private readonly stripes: WriteStripes
  private readonly bases: Int32Array = new Int32Array(STRIPES)

  constructor(stripes: WriteStripes) {
    this.stripes = stripes
    const { bases } = this
    for (let stripe = 0; stripe < STRIPES; stripe++) bases[stripe] = stripes.version(stripe)
  }

  count(hash: number): number {
    return (this.stripes.version(hash) - this.bases[hash & STRIPE_MASK]!) & VERSION_MASK
  }

  /** Somebody beyond this gate has changed it. */
  changedElsewhere(hash: number): void {
    this.bases[hash & STRIPE_MASK]!--
  }

  halve(): void {
    const { stripes, bases } = this
    for (let stripe = 0; stripe < STRIPES; stripe++) {
      const changes = (stripes.version(stripe) - bases[stripe]!) & VERSION_MASK
      if (changes !== 0) bases[stripe]! += (changes + 1) >>> 1
    }
  }
}
