/**
 * Commands over a small store of their own, without a connection: a request is what the text decoder
 * makes of a line, and the answer is the outcome with what it carries.
 */

import type { Commands } from '../../../src/command/commands.ts'
import { COUNTER } from '../../../src/observe/counters.ts'
import type { CounterName } from '../../../src/observe/metrics.ts'
import {
  DECODED,
  OUTCOME_CHANGED,
  OUTCOME_EXISTS,
  OUTCOME_FOUND,
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  Request,
} from '../../../src/protocol/request.ts'
import { decodeLine } from '../../../src/protocol/text/decode.ts'
import { scanLine } from '../../../src/protocol/text/scan.ts'
import { VERB_GET, VERB_GET_AND_TOUCH } from '../../../src/protocol/verbs.ts'
import {
  createManualServer,
  type ManualServer,
  type ManualServerOptions,
} from '../../support/manual-server.ts'

const OUTCOMES: Readonly<Record<number, string>> = {
  [OUTCOME_OK]: 'ok',
  [OUTCOME_HIT]: 'hit',
  [OUTCOME_NOT_FOUND]: 'not found',
  [OUTCOME_EXISTS]: 'exists',
  [OUTCOME_NOT_STORED]: 'not stored',
  [OUTCOME_TOO_LARGE]: 'too large',
  [OUTCOME_NO_MEMORY]: 'no memory',
  [OUTCOME_NON_NUMERIC]: 'not a number',
  [OUTCOME_REFUSED]: 'refused',
  [OUTCOME_NUMBER]: 'number',
  [OUTCOME_TOUCHED]: 'touched',
  [OUTCOME_FOUND]: 'found',
  [OUTCOME_CHANGED]: 'changed',
}

const BYTES_MAX = 1024 * 1024

export class Asker {
  readonly server: ManualServer
  readonly caller = { isOpen: true, restriction: undefined, namespace: 0 }
  private readonly commands: Commands

  constructor(options: ManualServerOptions = {}) {
    this.server = createManualServer({ memoryBytes: BYTES_MAX, itemBytesMax: 100_000, ...options })
    this.commands = this.server.commands
  }

  /** A request, classic or meta: its outcome, and behind it the value or number that it carries. */
  ask(line: string): string {
    const { request, bytes } = decode(line)
    const { commands } = this
    const outcome = commands.execute(request, bytes, this.caller)
    const { result } = commands
    if (outcome === OUTCOME_HIT) return `hit ${this.take(result)}`
    if (outcome !== OUTCOME_NUMBER) return nameOf(outcome)
    return `number ${(BigInt(result.numberHigh) << 32n) | BigInt(result.numberLow)}`
  }

  get cas(): bigint {
    const { result } = this.commands
    return (BigInt(result.casHigh) << 32n) | BigInt(result.casLow)
  }

  count(name: CounterName): number {
    return this.server.lane[COUNTER[name]] ?? 0
  }

  private take(held: Commands['result']): string {
    const value = Buffer.alloc(held.valueBytes)
    held.copyValue(value, 0)
    held.release()
    return value.toString('latin1')
  }
}

function nameOf(outcome: number): string {
  const name = OUTCOMES[outcome]
  if (name === undefined) throw new Error(`no name for outcome ${outcome}`)
  return name
}

function decode(line: string): { request: Request; bytes: Buffer } {
  // Offsets are not those of the buffer's beginning.
  const bytes = Buffer.from(`##${line}`, 'latin1')
  const request = new Request()
  if (!scanLine(bytes, 2, bytes.length, request)) throw new Error(`no whole line: ${line}`)
  const decoded = decodeLine(bytes, 2, bytes.length, BYTES_MAX, BYTES_MAX, request)
  if (decoded !== DECODED) throw new Error(`not decoded: ${decoded} ${line}`)
  if (request.verb === VERB_GET || request.verb === VERB_GET_AND_TOUCH) {
    // A list of keys, of which the dialect asks for one after the other.
    const last = 2 * (request.tokenCount - 1)
    request.keyOffset = request.tokens[last] ?? 0
    request.keyLength = (request.tokens[last + 1] ?? 0) - request.keyOffset
  }
  return { request, bytes }
}
