/**
 * What namespaces hold of a bound that they share, as plainly as it can be said: a list of all that is held, which is added up
 * whenever somebody asks. And a random way through asking, holding, letting go and reloads, on which the code is compared with it.
 */
import { expect } from 'vitest'
import { randomBelow } from './random-below.js'

const MEBIBYTE = 1024 * 1024
/** Some have numbers far behind, as after many reloads; some are gone while they still hold something. */
const NAMESPACES: readonly number[] = [0, 1, 2, 3, 7, 200, 255]
const STEPS = 4000

export interface SharesUnderTest {
  readonly workerCount: number
  readonly commonBytes: number
  readonly shareBytesMin: number
  setNamespaceCount(count: number): void
  hasRoom(worker: number, namespace: number, bytes: number): boolean
  /** Whether there is no room for one byte, and none within twice the bound. */
  readonly isFull?: (worker: number, namespace: number) => boolean
  readonly isExceeded?: (worker: number, namespace: number) => boolean
  change(worker: number, namespace: number, bytes: number): void
  /** Of whoever is apart from the namespaces. */
  readonly changeStrangers?: (worker: number, bytes: number) => void
}

interface Held {
  readonly worker: number
  readonly namespace: number
  bytes: number
}

function heldBy(all: readonly Held[], namespace: number): number {
  return all.reduce((sum, held) => sum + (held.namespace === namespace ? held.bytes : 0), 0)
}

/** Within so many times the bound. */
function hasRoom(
  all: readonly Held[],
  { commonBytes, shareBytesMin }: SharesUnderTest,
  namespaceCount: number,
  { namespace, bytes }: Pick<Held, 'namespace' | 'bytes'>,
  times = 1,
): boolean {
  const then = [...all, { worker: 0, namespace, bytes }]
  const total = then.reduce((sum, held) => sum + held.bytes, 0)
  if (namespaceCount === 1) return total <= 2 * commonBytes * times
  const shareBytes = Math.max(commonBytes / namespaceCount, shareBytesMin) * times
  if (heldBy(then, namespace) <= shareBytes) return true
  const above = NAMESPACES.map((each) => Math.max(0, heldBy(then, each) - shareBytes))
  return above.reduce((sum, each) => sum + each, 0) <= commonBytes * times
}

class Comparison {
  private readonly shares: SharesUnderTest
  private readonly below: (bound: number) => number
  private readonly all: Held[] = []
  private namespaceCount = 0
  private readonly answers = { yes: 0, no: 0 }

  constructor(shares: SharesUnderTest, seed: number) {
    this.shares = shares
    this.below = randomBelow(seed)
    this.reload()
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      this.go(step)
      this.compare(step)
    }
    while (this.all.length > 0) this.letGo(0, this.all[0]!.bytes)
    this.compare(STEPS)
    const { yes, no } = this.answers
    expect(Math.min(yes, no), 'both answers are frequent').toBeGreaterThan(STEPS / 4)
  }

  private go(step: number): void {
    const { below, all, shares } = this
    const kind = below(100)
    // Full for a while, and then empty for a while.
    if (kind < (step % 1000 < 600 ? 60 : 20)) this.hold(1 + below(6 * MEBIBYTE))
    else if (kind < 90 && all.length > 0) {
      const index = below(all.length)
      const { bytes } = all[index]!
      this.letGo(index, below(2) === 0 ? bytes : 1 + below(bytes))
    } else if (kind < 95) this.reload()
    else shares.changeStrangers?.(below(shares.workerCount), below(MEBIBYTE))
    // Ever more that could not be refused would leave nothing to find out.
    while (all.reduce((sum, { bytes }) => sum + bytes, 0) > 4 * shares.commonBytes) {
      this.letGo(0, all[0]!.bytes)
    }
  }

  private reload(): void {
    this.namespaceCount = 1 + this.below(NAMESPACES.length)
    this.shares.setNamespaceCount(this.namespaceCount)
  }

  private hold(bytes: number): void {
    const { below, shares } = this
    const worker = below(shares.workerCount)
    const namespace = NAMESPACES[below(NAMESPACES.length)]!
    this.all.push({ worker, namespace, bytes })
    shares.change(worker, namespace, bytes)
  }

  private letGo(index: number, bytes: number): void {
    const held = this.all[index]!
    this.shares.change(held.worker, held.namespace, -bytes)
    held.bytes -= bytes
    if (held.bytes === 0) this.all.splice(index, 1)
  }

  private compare(step: number): void {
    const { shares, below, answers } = this
    const worker = below(shares.workerCount)
    const bytes = 1 + below(12 * MEBIBYTE)
    for (const namespace of NAMESPACES) {
      const expected = {
        hasRoom: this.hasRoom(namespace, bytes),
        isFull: !this.hasRoom(namespace, 1),
        isExceeded: !this.hasRoom(namespace, 1, 2),
      }
      const found = {
        hasRoom: shares.hasRoom(worker, namespace, bytes),
        isFull: shares.isFull?.(worker, namespace) ?? expected.isFull,
        isExceeded: shares.isExceeded?.(worker, namespace) ?? expected.isExceeded,
      }
      const where = `step ${step}, namespace ${namespace} of ${this.namespaceCount}, ${bytes} bytes`
      expect(found, where).toEqual(expected)
      answers[expected.hasRoom ? 'yes' : 'no']++
    }
  }

  private hasRoom(namespace: number, bytes: number, times = 1): boolean {
    return hasRoom(this.all, this.shares, this.namespaceCount, { namespace, bytes }, times)
  }
}

/** All is let go at its end. */
export function compareWithModel(shares: SharesUnderTest, seed: number): void {
  new Comparison(shares, seed).run()
}
