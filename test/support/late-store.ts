/**
 * A store elsewhere, as the command face sees one: every request is given away, and its outcome is
 * there when the test says so, with what it carries.
 */
import type {
  CommandResult,
  CommandStore,
  LargeStore,
  PendingOutcome,
} from '../../src/command/commands.ts'
import { NO_LARGE_VALUES } from '../../src/command/remote/no-large-values.ts'
import { ResultRegisters } from '../../src/command/result-registers.ts'
import { OUTCOME_HIT, OUTCOME_PENDING, type Request } from '../../src/protocol/request.ts'
import { MANUAL_NOW } from './manual-server.ts'

/** One request that was given away. */
export interface LateRequest {
  readonly verb: number
  readonly key: string
  isCancelled: boolean
  /** The outcome is there: with this value, for one that has any. */
  answer(outcome: number, value?: string): void
}

class LateResult extends ResultRegisters implements CommandResult {
  /** True between a value and its release. */
  isHeld = false
  value: Uint8Array = new Uint8Array(0)

  copyValue(target: Uint8Array, targetOffset: number): void {
    target.set(this.value, targetOffset)
  }

  pinValue(): boolean {
    return false
  }

  release(): void {
    this.isHeld = false
  }
}

/** Takes no value in pieces, and is not asked to. */
const NOTHING_LARGE: LargeStore = {
  ...NO_LARGE_VALUES,
  refuse: (): number => {
    throw new Error('no large value was begun')
  },
  proceedExtension: (): number => {
    throw new Error('no extension was begun')
  },
}

export class LateStore implements CommandStore {
  readonly result: LateResult = new LateResult()
  readonly copies: { copiedBytes: number } = { copiedBytes: 0 }
  readonly large: LargeStore = NOTHING_LARGE
  readonly nowSeconds: number = MANUAL_NOW
  /** In the order in which they were given away. */
  readonly requests: LateRequest[] = []
  /** Keys whose value is there at once. */
  readonly known: Map<string, string> = new Map()
  private pending: PendingOutcome | undefined = undefined

  beginTurn(): void {}

  execute(request: Request, bytes: Uint8Array): number {
    const { result } = this
    let wake = (): void => undefined
    let given: { outcome: number; value: string } | undefined
    const late: LateRequest = {
      verb: request.verb,
      key: Buffer.from(bytes)
        .subarray(request.keyOffset, request.keyOffset + request.keyLength)
        .toString('latin1'),
      isCancelled: false,
      answer: (outcome, value = '') => {
        given = { outcome, value }
        queueMicrotask(wake)
      },
    }
    this.requests.push(late)
    const known = this.known.get(late.key)
    if (known !== undefined) late.answer(OUTCOME_HIT, known)
    this.pending = {
      onSettled: (run) => {
        if (given === undefined) wake = run
        else queueMicrotask(run)
      },
      get isSettled() {
        return given !== undefined
      },
      load: () => {
        if (given === undefined) throw new Error('asked before it was there')
        result.value = Buffer.from(given.value, 'latin1')
        result.valueBytes = result.value.length
        result.isHeld = given.value !== ''
        return given.outcome
      },
      cancel: () => {
        late.isCancelled = true
      },
    }
    return OUTCOME_PENDING
  }

  takePending(): PendingOutcome {
    const { pending } = this
    this.pending = undefined
    if (pending === undefined) throw new Error('no outcome is pending')
    return pending
  }

  /** The old item is to be deleted first. */
  refuseOversize(request: Request, bytes: Uint8Array): number {
    return this.execute(request, bytes)
  }

  countUnfinished(): void {}

  clearCas(): void {
    this.result.casHigh = 0
    this.result.casLow = 0
  }
}
