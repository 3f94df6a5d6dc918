/**
 * What the second thread does that restores a snapshot: it takes chunks that the first one has read and checked, and
 * puts their items back, with stores of its own. It reads no file and says nothing.
 *
 * Invariant: what it does not take is told by position, and the first thread goes on there: a large value, a
 * record that is not as it should be, and all that is left when it is told to end.
 */
import { Clock } from '../../base/clock.ts'
import type { Restorer } from '../../storage/restorer.ts'
import { SnapshotIntake } from '../../storage/snapshot-intake.ts'
import { CHUNK_HEADER_BYTES, SnapshotError } from '../../storage/snapshot-layout.ts'
import { Store } from '../../storage/store.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import {
  type ChunkExchange,
  COUNTED,
  countWord,
  DONE,
  ENDED,
  ENDED_BADLY,
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

/** Items between two looks at whether it is to end. */
const STEP_ITEMS = 128

export class ChunkRestorer {
  private readonly exchange: ChunkExchange
  private readonly restorers: readonly Restorer[]
  private readonly intake: SnapshotIntake
  private readonly nowSeconds: () => number
  private done = 0

  constructor(settings: SecondSettings, threadClock: Pick<ThreadClock, 'nowMs' | 'sharedMs'>) {
    this.exchange = exchangeOf(settings.exchange)
    const clock = Clock.of(settings.clock, threadClock)
    this.nowSeconds = () => clock.epochSeconds(threadClock.nowMs())
    const targets = settings.targets.map((target) => {
      if (target === undefined) return undefined
      const { store: memory, touched, epoch } = target
      const store = new Store(memory, settings.workerIndex)
      const restorer = store.createRestorer(touched, epoch)
      const { memoryBytes, evicts } = memory.geometry
      // There is room for all: the first thread has seen to that.
      return { store, restorer, memoryBytes, evicts, ageBytes: [], itemCount: 0 }
    })
    this.restorers = targets.flatMap((target) => (target === undefined ? [] : [target.restorer]))
    this.intake = new SnapshotIntake(targets, settings.shift, false)
  }

  /** Takes chunks until no more come, and waits for them asleep. */
  run(): void {
    const { words } = this.exchange
    try {
      while (this.turn()) Atomics.wait(words, GIVEN, this.done)
    } catch (error) {
      this.end(ENDED_BADLY)
      throw error
    }
  }

  private end(how: number): void {
    const { words } = this.exchange
    Atomics.store(words, ENDED, how)
    Atomics.notify(words, ENDED)
    Atomics.notify(words, DONE)
  }

  /** Takes all that was given; false if no more comes, and its stores are left. */
  turn(): boolean {
    const { words } = this.exchange
    for (;;) {
      const given = Atomics.load(words, GIVEN)
      if (given === GIVEN_END) {
        for (const restorer of this.restorers) restorer.leave()
        this.end(ENDED_WELL)
        return false
      }
      if (given === this.done) return true
      this.take(this.done)
    }
  }

  private take(chunk: number): void {
    const { exchange, intake } = this
    const { words, slots } = exchange
    let position = CHUNK_HEADER_BYTES
    try {
      intake.take(slots[chunk % SLOTS]!, words[slotWord(chunk, SLOT_LENGTH)]!)
      let goesOn = true
      while (goesOn && Atomics.load(words, GIVEN) !== GIVEN_END) {
        goesOn = intake.step(STEP_ITEMS, this.nowSeconds())
        position = intake.position
      }
    } catch (error) {
      // The first thread meets the same one, and says so.
      if (!(error instanceof SnapshotError)) throw error
    }
    words[slotWord(chunk, SLOT_POSITION)] = position
    COUNTED.forEach((name, place) => {
      words[countWord(place)] = intake.counts[name]
    })
    this.done++
    Atomics.store(words, DONE, this.done)
    Atomics.notify(words, DONE)
  }
}
