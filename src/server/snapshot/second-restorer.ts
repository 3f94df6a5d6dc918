/**
 * The second thread that restores, as the first one sees it: who is given chunks, and whose rests come back.
 *
 *     give(chunk) -> ... -> takeBack(): a chunk and where it stopped, or undefined -> release() -> ... -> end()
 *
 * Invariant: what was given is restored there, or comes back; after end() nothing of the stores is touched there.
 */
import { assert } from '../../base/assert.ts'
import { noCounts, type RestoreCounts } from '../../storage/snapshot-intake.ts'
import { CHUNK_HEADER_BYTES } from '../../storage/snapshot-layout.ts'
import {
  type ChunkExchange,
  COUNTED,
  countWord,
  DONE,
  ENDED,
  ENDED_WELL,
  exchangeOf,
  GIVEN,
  GIVEN_END,
  SLOT_LENGTH,
  SLOT_POSITION,
  SLOTS,
  slotWord,
} from './chunk-exchange.ts'
import type { SecondSettings } from './snapshot-messages.ts'

/** More than a thread needs to look at a word, however busy the machine is. */
const END_WAIT_MS = 60_000

/** The rest of a chunk that the second thread did not take; good until release(). */
export interface ChunkRest {
  readonly bytes: Uint8Array
  readonly length: number
  readonly position: number
}

/** Returns when the word is not `value`, after that time, or earlier. */
export type WaitForWord = (
  words: Int32Array,
  index: number,
  value: number,
  timeoutMs: number,
) => void

/** Starts the second thread; returns how it is waited for. */
export type StartSecond = (settings: SecondSettings) => WaitForWord

export class SecondRestorer {
  private readonly exchange: ChunkExchange
  private readonly waitForWord: WaitForWord
  private given = 0
  /** Chunks that were looked at again: their slots are free. */
  private settled = 0
  private hasRest = false
  private isEnded = false

  constructor(memory: SharedArrayBuffer, waitForWord: WaitForWord) {
    this.exchange = exchangeOf(memory)
    this.waitForWord = waitForWord
  }

  /** Whether a chunk can be given. */
  get hasRoom(): boolean {
    if (this.isEnded) return false
    this.settleWhole()
    return this.given - this.settled < SLOTS
  }

  /** Whether there are chunks that it has not done with. */
  get isWorking(): boolean {
    return !this.isEnded && Atomics.load(this.exchange.words, DONE) < this.given
  }

  /** Whether there are chunks that it has not done with, or whose rest is not done. */
  get isBusy(): boolean {
    this.settleWhole()
    return this.settled < this.given
  }

  give(chunk: Uint8Array): void {
    assert(this.hasRoom, 'the second thread has chunks enough')
    const { words, slots } = this.exchange
    const number = this.given
    slots[number % SLOTS]!.set(chunk)
    words[slotWord(number, SLOT_LENGTH)] = chunk.length
    words[slotWord(number, SLOT_POSITION)] = CHUNK_HEADER_BYTES
    this.given++
    Atomics.store(words, GIVEN, this.given)
    Atomics.notify(words, GIVEN)
  }

  /** What takeBack() returned is done. */
  release(): void {
    if (this.hasRest) this.settled++
    this.hasRest = false
  }

  takeBack(): ChunkRest | undefined {
    assert(!this.hasRest, 'the rest of a chunk was not released')
    if (!this.isBusy || !this.isSettling) return undefined
    const { words, slots } = this.exchange
    this.hasRest = true
    return {
      bytes: slots[this.settled % SLOTS]!,
      length: words[slotWord(this.settled, SLOT_LENGTH)]!,
      position: words[slotWord(this.settled, SLOT_POSITION)]!,
    }
  }

  /** Waits until it has done a chunk more, for so long at most. */
  wait(timeoutMs: number): void {
    const { words } = this.exchange
    if (!this.isSettling) this.waitForWord(words, DONE, this.settled, timeoutMs)
  }

  /** Returns when it uses the stores no more: after some items at most. */
  end(): void {
    if (this.isEnded) return
    this.isEnded = true
    const { words } = this.exchange
    Atomics.store(words, GIVEN, GIVEN_END)
    Atomics.notify(words, GIVEN)
    this.waitForWord(words, ENDED, 0, END_WAIT_MS)
    assert(words[ENDED] === ENDED_WELL, 'the second thread that restores has failed')
  }

  get counts(): RestoreCounts {
    const counts = noCounts()
    COUNTED.forEach((name, place) => {
      counts[name] = this.exchange.words[countWord(place)]!
    })
    return counts
  }

  /** Whether the second thread has nothing to do with the next chunk any more. */
  private get isSettling(): boolean {
    return this.isEnded || Atomics.load(this.exchange.words, DONE) > this.settled
  }

  /** Chunks of which nothing is left. */
  private settleWhole(): void {
    const { words } = this.exchange
    while (this.settled < this.given && !this.hasRest && this.isSettling) {
      const length = words[slotWord(this.settled, SLOT_LENGTH)]!
      if (words[slotWord(this.settled, SLOT_POSITION)] !== length) return
      this.settled++
    }
  }
}
