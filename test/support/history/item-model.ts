/**
 * What one item may be after each operation: memcached's rules as a function from a state and an
 * answered operation to the states that can follow, none if the answer is impossible.
 *
 * An item may be gone before its time only if the model is told that memory is short; then it never
 * comes back, nor does an older value. An expired item is never seen, at the second. CAS ids go up
 * with every change of the item, also across deletions; an answer that does not show the CAS leaves
 * it unknown until a later one does. Of gates before a cluster they are names in no order, see `casValues`.
 */
import { EXPIRY_UNKNOWN, type Operation } from './operation.ts'

export interface ItemState {
  /** Names the state among those of its model. */
  readonly id: number
  readonly isPresent: boolean
  readonly value: string
  readonly valueBytes: number
  readonly flags: number
  readonly expiry: number
  /** The highest CAS that this key is known to have had. */
  readonly casFloor: number
  /** Whether that is the CAS of the item; if not, the item's is higher. */
  readonly isCasKnown: boolean
}

export interface ItemModelOptions {
  /** Whether items may leave before their time. */
  readonly mayVanish: boolean
  /** The largest key + value + ITEM_OVERHEAD_BYTES. */
  readonly itemBytesMax: number
  /**
   * Undefined: CAS ids go up. Else they are in no order, and this is the value that was found, or left, with each as
   * far as anybody was told, by casOf(): an item whose CAS is not known does not have that of another value. Two
   * items may well have the same.
   */
  readonly casValues?: ReadonlyMap<string, string>
}

/** A CAS id of one key. */
export function casOf(key: string, cas: number): string {
  return `${cas} ${key}`
}

/** memcached counts its item header against -I. */
const ITEM_OVERHEAD_BYTES = 48
/** Digits, and behind them the end or a space, whatever stands behind that. */
const NUMBER = /^(\d{1,20})(?: .*)?$/
/** A longer value is no number. */
const NUMBER_BYTES_MAX = 2048

function numberOf({ value, valueBytes }: ItemState): number | undefined {
  const digits = NUMBER.exec(value)?.[1]
  return digits === undefined || valueBytes > NUMBER_BYTES_MAX ? undefined : Number(digits)
}

export class ItemModel {
  readonly #options: ItemModelOptions
  #states = new Map<string, ItemState>()
  #nextId = 1

  constructor(options: ItemModelOptions) {
    this.#options = options
  }

  get ordersCas(): boolean {
    return this.#options.casValues === undefined
  }

  get stateCount(): number {
    return this.#states.size
  }

  empty(): ItemState {
    return this.#absent(0)
  }

  /** Forgets all states; returns those given anew. */
  renew(states: readonly ItemState[]): ItemState[] {
    this.#states = new Map()
    this.#nextId = 1
    return states.map((state) => this.#intern(state))
  }

  /**
   * Adds to `into` the states that may follow `state` by `operation`. `latestSecond`: the latest
   * second that anybody can have acted in before it ended.
   */
  step(state: ItemState, operation: Operation, latestSecond: number, into: ItemState[]): void {
    const { expiry } = state
    const canHit = state.isPresent && (expiry === 0 || expiry > operation.nowSeconds)
    switch (operation.result) {
      case 'missing':
        if (this.#canMiss(state, latestSecond)) into.push(this.#absent(state.casFloor))
        return
      case 'exists':
        if (!canHit) return
        if (operation.token === 0 || !state.isCasKnown || state.casFloor !== operation.token) {
          into.push(state)
        }
        return
      case 'not-numeric':
        if (canHit && numberOf(state) === undefined) into.push(state)
        return
      case 'not-stored':
        if (this.#canMiss(state, latestSecond)) into.push(this.#absent(state.casFloor))
        this.#refuse(state, canHit, operation, into)
        return
      case 'too-large':
        this.#refuse(state, canHit, operation, into)
        return
      case 'no-memory':
        into.push(operation.verb === 'set' ? this.#absent(state.casFloor) : state)
        return
      case 'done':
        this.#perform(state, canHit, operation, latestSecond, into)
        return
    }
  }

  #perform(
    state: ItemState,
    canHit: boolean,
    operation: Operation,
    latestSecond: number,
    into: ItemState[],
  ): void {
    const { token } = operation
    if (token !== 0 && !(canHit && this.#hasCas(state, operation.key, token))) return
    switch (operation.verb) {
      case 'get':
      case 'gat':
      case 'touch':
        if (canHit) this.#see(state, operation, into)
        return
      case 'set':
        this.#write(state, operation, into)
        return
      case 'add':
        if (this.#canMiss(state, latestSecond)) this.#write(state, operation, into)
        return
      case 'replace':
        if (canHit) this.#write(state, operation, into)
        return
      case 'append':
        if (canHit) this.#extend(state, state.value + operation.value, operation, into)
        return
      case 'prepend':
        if (canHit) this.#extend(state, operation.value + state.value, operation, into)
        return
      case 'increment':
      case 'decrement':
        if (canHit) this.#count(state, operation, into)
        return
      case 'delete':
        if (canHit) into.push(this.#absent(state.casFloor))
        return
      case 'flush':
        into.push(this.#absent(state.casFloor))
        return
      case 'maintain':
        into.push(state)
        return
    }
  }

  #canMiss(state: ItemState, latestSecond: number): boolean {
    if (!state.isPresent || this.#options.mayVanish) return true
    return state.expiry !== 0 && state.expiry <= latestSecond
  }

  #isTooLarge(key: string, valueBytes: number): boolean {
    return key.length + valueBytes + ITEM_OVERHEAD_BYTES > this.#options.itemBytesMax
  }

  /** An item that is too large: a set leaves nothing behind, an extension leaves what was there. */
  #refuse(state: ItemState, canHit: boolean, operation: Operation, into: ItemState[]): void {
    const { verb, key, valueBytes } = operation
    const extendsItem = verb === 'append' || verb === 'prepend'
    if (extendsItem && !canHit) return
    if (!this.#isTooLarge(key, extendsItem ? state.valueBytes + valueBytes : valueBytes)) return
    into.push(verb === 'set' ? this.#absent(state.casFloor) : state)
  }

  #see(state: ItemState, operation: Operation, into: ItemState[]): void {
    const { verb, cas, seenExpiry } = operation
    if (seenExpiry !== EXPIRY_UNKNOWN && seenExpiry !== state.expiry) return
    if (cas !== 0 && !this.#hasCas(state, operation.key, cas)) return
    if (verb !== 'touch' && (operation.value !== state.value || operation.flags !== state.flags)) {
      return
    }
    const expiry = verb === 'get' ? state.expiry : operation.expiry
    if (expiry === state.expiry && (cas === 0 || state.isCasKnown)) {
      into.push(state)
      return
    }
    const isCasKnown = state.isCasKnown || cas !== 0
    const casFloor = cas === 0 ? state.casFloor : cas
    into.push(this.#intern({ ...state, expiry, isCasKnown, casFloor }))
  }

  #write(state: ItemState, operation: Operation, into: ItemState[]): void {
    const { key, value, valueBytes, flags, expiry } = operation
    this.#store(state, key, { value, valueBytes, flags, expiry }, operation.cas, into)
  }

  #extend(state: ItemState, value: string, operation: Operation, into: ItemState[]): void {
    const { flags, expiry } = state
    const valueBytes = state.valueBytes + operation.valueBytes
    this.#store(state, operation.key, { value, valueBytes, flags, expiry }, operation.cas, into)
  }

  #count(state: ItemState, operation: Operation, into: ItemState[]): void {
    const before = numberOf(state)
    if (before === undefined) return
    const { verb, delta } = operation
    const after = verb === 'increment' ? before + delta : Math.max(0, before - delta)
    if (!Number.isSafeInteger(after)) throw new Error(`${after} is more than the model can count`)
    if (operation.value !== String(after)) return
    // A number that has become shorter keeps its length, and nothing of what stood behind it.
    const value = operation.value.padEnd(state.valueBytes, ' ')
    const { flags, expiry } = state
    const counted = { value, valueBytes: value.length, flags, expiry }
    this.#store(state, operation.key, counted, operation.cas, into)
  }

  #store(
    state: ItemState,
    key: string,
    written: Pick<ItemState, 'value' | 'valueBytes' | 'flags' | 'expiry'>,
    cas: number,
    into: ItemState[],
  ): void {
    if (this.#isTooLarge(key, written.valueBytes)) return
    if (cas !== 0 && !this.#mayGive(state, cas)) return
    const casFloor = cas === 0 ? state.casFloor : cas
    into.push(this.#intern({ isPresent: true, ...written, casFloor, isCasKnown: cas !== 0 }))
  }

  #mayGive(state: ItemState, cas: number): boolean {
    return this.ordersCas ? cas > state.casFloor : !state.isCasKnown || cas !== state.casFloor
  }

  #hasCas(state: ItemState, key: string, cas: number): boolean {
    const { casValues } = this.#options
    if (state.isCasKnown) return cas === state.casFloor
    if (casValues === undefined) return cas > state.casFloor
    const value = casValues.get(casOf(key, cas))
    return value === undefined || value === state.value
  }

  #absent(casFloor: number): ItemState {
    return this.#intern({
      isPresent: false,
      value: '',
      valueBytes: 0,
      flags: 0,
      expiry: 0,
      casFloor: this.ordersCas ? casFloor : 0,
      isCasKnown: false,
    })
  }

  #intern(state: Omit<ItemState, 'id'>): ItemState {
    const { isPresent, value, valueBytes, flags, expiry, casFloor, isCasKnown } = state
    const name = isPresent
      ? `${casFloor} ${isCasKnown} ${expiry} ${flags} ${valueBytes} ${value}`
      : `${casFloor}`
    let known = this.#states.get(name)
    if (known === undefined) {
      known = { ...state, id: this.#nextId++ }
      this.#states.set(name, known)
    }
    return known
  }
}

export function describeState(state: ItemState): string {
  const cas = state.isCasKnown ? `CAS ${state.casFloor}` : `a CAS above ${state.casFloor}`
  if (!state.isPresent) return `nothing (the last CAS known is ${state.casFloor})`
  const { value, valueBytes, flags, expiry } = state
  return `value ${value} (${valueBytes} bytes) flags ${flags} expiry ${expiry} ${cas}`
}
