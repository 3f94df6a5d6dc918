/**
 * One operation of a recorded history: what a client asked, what it was answered, and between which
 * two ticks of a clock that all clients share. What the answer should have been is item-model.ts's;
 * in which order operations can have happened is history-checker.ts's.
 *
 * Invariant: `began` was drawn before the operation was handed over and `ended` after its answer was
 * there, and no tick is drawn twice; so an operation that ended before another began came first.
 */

export type Verb =
  | 'get'
  | 'gat'
  | 'touch'
  | 'set'
  | 'add'
  | 'replace'
  | 'append'
  | 'prepend'
  | 'increment'
  | 'decrement'
  | 'delete'
  | 'flush'
  /** Asks for nothing; what it did at its second it may have done to any item. */
  | 'maintain'

export type Result =
  | 'done'
  | 'missing'
  /** As clients are told of append and prepend: no item, or what it would become is too large. */
  | 'not-stored'
  /** There is an item (add), or its CAS is another. */
  | 'exists'
  | 'not-numeric'
  | 'too-large'
  | 'no-memory'

/** For `seenExpiry` of an answer that does not show it. */
export const EXPIRY_UNKNOWN = -1

export interface Operation {
  /** A thread or a connection. Its operations happen in the order in which they began. */
  readonly process: number
  /** Empty for `flush` and `maintain`. */
  readonly key: string
  readonly verb: Verb
  readonly result: Result
  readonly began: number
  readonly ended: number
  /** The earliest Unix second that it can have acted in. */
  readonly nowSeconds: number
  /** What was written, or seen; of increment and decrement the number answered. */
  readonly value: string
  /** Length of what was written; of the others 0. */
  readonly valueBytes: number
  /** Written, or seen. */
  readonly flags: number
  /** Written: absolute, 0 for never. Of a flush: 0 for now, or the second at which it is due. */
  readonly expiry: number
  /** The expiry that the item was seen to have before. */
  readonly seenExpiry: number
  /** The CAS that the item must have, 0 for any. */
  readonly token: number
  /** The CAS seen, or given to what was written; 0 for not shown. */
  readonly cas: number
  /** Of increment and decrement. */
  readonly delta: number
}

/**
 * True for operations that change nothing, or at most show that the item is gone: a history without
 * them is still one that must have an explanation.
 */
export function isObservation({ verb, result }: Operation): boolean {
  if (verb === 'get') return true
  switch (result) {
    case 'done':
      return false
    case 'too-large':
    case 'no-memory':
      return verb !== 'set'
    default:
      return true
  }
}

const TEXT_LENGTH_MAX = 60

export function describeOperation(operation: Operation): string {
  const { verb, result, value, token, cas, expiry, seenExpiry } = operation
  const parts = [
    `[${operation.began}, ${operation.ended}]`,
    `process ${operation.process}`,
    `at ${operation.nowSeconds}:`,
    `${verb} ${operation.key}`,
  ]
  if (token !== 0) parts.push(`if CAS ${token}`)
  if (operation.delta !== 0) parts.push(`by ${operation.delta}`)
  parts.push(`-> ${result}`)
  if (value !== '') {
    const length = operation.valueBytes === 0 ? '' : ` (${operation.valueBytes} bytes)`
    parts.push(`value ${shorten(value)}${length} flags ${operation.flags}`)
  }
  if (expiry !== 0) parts.push(`expiry ${expiry}`)
  if (seenExpiry > 0) parts.push(`saw expiry ${seenExpiry}`)
  if (cas !== 0) parts.push(`CAS ${cas}`)
  return parts.join(' ')
}

/** The end of a value is what was appended last. */
export function shorten(value: string): string {
  if (value.length <= TEXT_LENGTH_MAX) return value
  const half = TEXT_LENGTH_MAX / 2
  return `${value.slice(0, half)}...${value.slice(-half)}`
}
