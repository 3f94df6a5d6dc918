/**
 * The checker of histories, checked: it accepts every history that a single-threaded item gave,
 * whatever overlaps, agrees with a search through all orders on small histories, and refuses each
 * kind of history that a broken store would give.
 */
import { describe, expect, test } from 'vitest'
import { describeViolation, HistoryChecker } from '../support/history/history-checker.ts'
import { ItemModel, type ItemModelOptions, type ItemState } from '../support/history/item-model.ts'
import { EXPIRY_UNKNOWN, type Operation, type Verb } from '../support/history/operation.ts'
import { type Random, randomOf, seedOfRun } from '../unit/storage/model.ts'

const STRICT: ItemModelOptions = { mayVanish: false, itemBytesMax: 1000 }
const FORGETFUL: ItemModelOptions = { ...STRICT, mayVanish: true }
const KEY = 'key'
const NOW = 100

/** An operation on KEY between two ticks; what is not said is as plain as can be. */
function operation(
  began: number,
  ended: number,
  verb: Verb,
  rest: Partial<Operation> = {},
): Operation {
  const value = rest.value ?? ''
  const writes = ['set', 'add', 'replace', 'append', 'prepend'].includes(verb)
  return {
    process: began,
    key: verb === 'flush' || verb === 'maintain' ? '' : KEY,
    verb,
    result: 'done',
    began,
    ended,
    nowSeconds: NOW,
    value,
    valueBytes: writes ? value.length : 0,
    flags: 0,
    expiry: 0,
    seenExpiry: EXPIRY_UNKNOWN,
    token: 0,
    cas: 0,
    delta: 0,
    ...rest,
  }
}

function accepts(options: ItemModelOptions, operations: readonly Operation[]): boolean {
  return new HistoryChecker(options).check(operations) === undefined
}

const set = (began: number, ended: number, value: string, rest: Partial<Operation> = {}) =>
  operation(began, ended, 'set', { value, ...rest })
const get = (began: number, ended: number, value: string, rest: Partial<Operation> = {}) =>
  operation(began, ended, 'get', { value, ...rest })
const miss = (began: number, ended: number, rest: Partial<Operation> = {}) =>
  operation(began, ended, 'get', { result: 'missing', ...rest })
const remove = (began: number, ended: number) => operation(began, ended, 'delete')
const flush = (began: number, ended: number, rest: Partial<Operation> = {}) =>
  operation(began, ended, 'flush', rest)
const increment = (began: number, ended: number, value: string, rest: Partial<Operation> = {}) =>
  operation(began, ended, 'increment', { value, delta: 1, ...rest })

// biome-ignore format: a table
const ALWAYS_WRONG: readonly (readonly [string, readonly Operation[]])[] = [
  ['a read of a value that was replaced before', [set(1, 2, 'a'), set(3, 4, 'b'), get(5, 6, 'a')]],
  ['a read of a value that nobody wrote', [set(1, 2, 'a'), get(3, 4, 'x')]],
  ['a read of a value before it was written', [get(1, 2, 'a'), set(3, 4, 'a')]],
  ['two reads that see two overlapping writes in both orders',
    [set(1, 10, 'a'), set(2, 9, 'b'), get(3, 4, 'a'), get(5, 6, 'b'), get(11, 12, 'a')]],
  ['an old value after a newer one was seen, while both writes last',
    [set(1, 20, 'a'), set(2, 19, 'b'), set(3, 4, 'c'), get(5, 6, 'a'), get(7, 8, 'c')]],
  ['a deleted item that comes back', [set(1, 2, 'a'), remove(3, 4), get(5, 6, 'a')]],
  ['an item that comes back after it was seen to be gone', [set(1, 2, 'a'), miss(3, 4), get(5, 6, 'a')]],
  ['an item that survives a flush', [set(1, 2, 'a'), flush(3, 4), get(5, 6, 'a')]],
  ['an item stored during a flush that is gone, and is back',
    [flush(1, 10), set(2, 3, 'a'), miss(4, 5), get(6, 7, 'a')]],
  ['an item that survives a delayed flush that is due',
    [set(1, 2, 'a'), flush(3, 4, { expiry: NOW + 1 }), get(5, 6, 'a'),
      operation(7, 8, 'maintain', { nowSeconds: NOW + 1 }), get(9, 10, 'a', { nowSeconds: NOW + 1 })]],
  ['an item seen in the second of its expiry',
    [set(1, 2, 'a', { expiry: NOW + 5 }), get(3, 4, 'a', { nowSeconds: NOW + 5 })]],
  ['an item seen after a touch that had it expire',
    [set(1, 2, 'a'), operation(3, 4, 'touch', { expiry: NOW }), get(5, 6, 'a')]],
  ['another expiry than the item has', [set(1, 2, 'a', { expiry: 200 }), get(3, 4, 'a', { seenExpiry: 201 })]],
  ['other flags than the item has', [set(1, 2, 'a', { flags: 1 }), get(3, 4, 'a', { flags: 2 })]],
  ['two compare-and-swaps that both win',
    [set(1, 2, 'a', { cas: 5 }), set(3, 6, 'b', { token: 5, cas: 6 }), set(4, 7, 'c', { token: 5, cas: 7 })]],
  ['two compare-and-swaps that both win, without a CAS in the answers',
    [set(1, 2, 'a'), get(3, 4, 'a', { cas: 5 }), set(5, 8, 'b', { token: 5 }), set(6, 9, 'c', { token: 5 })]],
  ['a compare-and-swap that wins after another write',
    [set(1, 2, 'a', { cas: 5 }), set(3, 4, 'b'), set(5, 6, 'c', { token: 5 })]],
  ['a compare-and-swap that loses to nobody',
    [set(1, 2, 'a', { cas: 5 }), set(3, 4, 'c', { token: 5, result: 'exists' })]],
  ['a delete with the CAS of an older item',
    [set(1, 2, 'a', { cas: 5 }), set(3, 4, 'b', { cas: 6 }), operation(5, 6, 'delete', { token: 5 })]],
  ['a CAS that goes down', [set(1, 2, 'a', { cas: 6 }), set(3, 4, 'b', { cas: 5 })]],
  ['a CAS given twice', [set(1, 2, 'a', { cas: 6 }), remove(3, 4), set(5, 6, 'b', { cas: 6 })]],
  ['a value with the CAS of another', [set(1, 4, 'a', { cas: 6 }), set(2, 3, 'b', { cas: 7 }), get(5, 6, 'b', { cas: 6 })]],
  ['an increment that is lost', [set(1, 2, '5'), increment(3, 5, '6'), increment(4, 6, '7'), get(7, 8, '6')]],
  ['two increments with one result', [set(1, 2, '5'), increment(3, 5, '6'), increment(4, 6, '6')]],
  ['an increment that is done twice', [set(1, 2, '5'), increment(3, 4, '6'), get(5, 6, '7')]],
  ['a number that forgets its padding',
    [set(1, 2, '10'), operation(3, 4, 'decrement', { value: '9', delta: 1 }), get(5, 6, '9')]],
  ['an increment of what is no number', [set(1, 2, 'a'), increment(3, 4, '1')]],
  ['a number that is refused as none', [set(1, 2, '5'), increment(3, 4, '', { result: 'not-numeric' })]],
  ['an append that is lost',
    [set(1, 2, 'a'), operation(3, 6, 'append', { value: 'b' }), operation(4, 7, 'append', { value: 'c' }), get(8, 9, 'ac')]],
  ['an append at the wrong end', [set(1, 2, 'a'), operation(3, 4, 'append', { value: 'b' }), get(5, 6, 'ba')]],
  ['an append that changes the flags',
    [set(1, 2, 'a', { flags: 1 }), operation(3, 4, 'append', { value: 'b', flags: 2 }), get(5, 6, 'ab', { flags: 2 })]],
  ['an append to nothing', [miss(1, 2), operation(3, 4, 'append', { value: 'b' })]],
  ['an append of parts of two values',
    [set(1, 2, 'a'), set(3, 8, 'b'), operation(4, 7, 'append', { value: 'c' }), get(9, 10, 'aca')]],
  ['a replace of nothing', [operation(1, 2, 'replace', { value: 'a' })]],
  ['an add that is refused by nothing', [operation(1, 2, 'add', { value: 'a', result: 'exists' })]],
  ['a refused set that leaves the old value',
    [set(1, 2, 'a'), set(3, 4, 'x'.repeat(1000), { result: 'too-large' }), get(5, 6, 'a')]],
  ['a value that is stored although it is too large', [set(1, 2, 'x'.repeat(950))]],
  ['a value that is refused as too large and is not',
    [set(1, 2, 'a'), operation(3, 4, 'append', { value: 'b', result: 'too-large' })]],
  ['an append that is not stored although the item stays and there is room',
    [set(1, 2, 'a'), operation(3, 4, 'append', { value: 'b', result: 'not-stored' }), get(5, 6, 'a')]],
  ['an append that is not stored, and is seen',
    [set(1, 2, 'a'.repeat(900)), operation(3, 4, 'append', { value: 'b'.repeat(60), result: 'not-stored' }),
      get(5, 6, 'a'.repeat(900) + 'b'.repeat(60))]],
  ['a torn value', [set(1, 2, 'a'), get(3, 4, 'torn at byte 0 of 1')]],
  ['requests of one connection in another order than sent',
    [set(1, 10, 'a', { process: 1 }), set(2, 11, 'b', { process: 1 }), get(12, 13, 'a')]],
]

describe('a history is refused that has', () => {
  for (const [name, operations] of ALWAYS_WRONG) {
    test(name, () => {
      expect(accepts(STRICT, operations)).toBe(false)
      expect(accepts(FORGETFUL, operations)).toBe(false)
    })
  }
})

// biome-ignore format: a table
const FORGOTTEN: readonly (readonly [string, readonly Operation[]])[] = [
  ['an item that is gone', [set(1, 2, 'a'), miss(3, 4)]],
  ['an item that is gone before its second', [set(1, 2, 'a', { expiry: NOW + 1 }), miss(3, 4)]],
  ['an add where an item is', [set(1, 2, 'a'), operation(3, 4, 'add', { value: 'b' })]],
  ['an item that went with a flush before it',
    [flush(1, 2), set(3, 4, 'a'), miss(5, 6)]],
  ['an item that went with a delayed flush before its second',
    [set(1, 2, 'a'), flush(3, 4, { expiry: NOW + 1 }), miss(5, 6), set(7, 8, 'b'), miss(9, 10),
      operation(11, 12, 'maintain', { nowSeconds: NOW + 1 })]],
]

describe('a history is refused unless memory is short that has', () => {
  for (const [name, operations] of FORGOTTEN) {
    test(name, () => {
      expect(accepts(STRICT, operations)).toBe(false)
      expect(accepts(FORGETFUL, operations)).toBe(true)
    })
  }
})

// biome-ignore format: a table
const RIGHT: readonly (readonly [string, readonly Operation[]])[] = [
  ['overlapping writes in the order in which they are seen',
    [set(1, 10, 'a'), set(2, 9, 'b'), get(3, 4, 'b'), get(5, 6, 'a'), get(11, 12, 'a')]],
  ['a write that is seen before it ends', [set(1, 10, 'a'), get(2, 3, 'a'), get(4, 5, 'a')]],
  ['a delete that hits a write still under way', [set(1, 4, 'a'), remove(2, 3), miss(5, 6)]],
  ['an item missed by a thread whose clock is behind, once another met its second',
    [set(1, 2, 'a', { expiry: NOW + 1 }), miss(3, 4, { nowSeconds: NOW + 1 }), miss(5, 6)]],
  ['a key that is first met while a flush is under way',
    [flush(1, 10), set(2, 3, 'a'), get(4, 5, 'a'), miss(11, 12)]],
  ['an item stored after the second of a delayed flush by a thread whose clock is behind',
    [set(1, 2, 'a'), flush(3, 4, { expiry: NOW + 1 }), miss(5, 6, { nowSeconds: NOW + 1 }), set(7, 8, 'b'), get(9, 10, 'b')]],
  ['a touch that is seen to restore what another changed',
    [set(1, 2, 'a', { expiry: 200 }), operation(3, 9, 'touch', { expiry: 200 }),
      operation(4, 10, 'touch', { expiry: 300 }), get(11, 12, 'a', { seenExpiry: 200 })]],
  ['a number that has become shorter and keeps its length',
    [set(1, 2, '10'), operation(3, 4, 'decrement', { value: '9', delta: 1 }), get(5, 6, '9 ')]],
  ['an append that is not stored because the item would be too large',
    [set(1, 2, 'a'.repeat(900)), operation(3, 4, 'append', { value: 'b'.repeat(60), result: 'not-stored' }),
      get(5, 6, 'a'.repeat(900))]],
]

describe('a history is accepted that has', () => {
  for (const [name, operations] of RIGHT) {
    test(name, () => {
      const violation = new HistoryChecker(STRICT).check(operations)
      expect(violation && describeViolation(violation)).toBeUndefined()
    })
  }
})

test('a violation is shown with what explains it and without reads that do not matter', () => {
  const operations = [
    set(1, 2, 'a'),
    get(3, 4, 'a'),
    set(7, 8, 'b'),
    get(9, 10, 'b'),
    get(11, 12, 'a'),
  ]
  const violation = new HistoryChecker(STRICT).check(operations)
  expect(violation?.operation).toBe(operations.at(-1))
  expect(violation?.excerpt.map(({ verb, value }) => `${verb} ${value}`)).toEqual([
    'set a',
    'set b',
    'get a',
  ])
})

test('what a key may hold is carried over from one round to the next', () => {
  const checker = new HistoryChecker(STRICT)
  expect(checker.check([set(1, 3, 'a'), set(2, 4, 'b')])).toBeUndefined()
  expect(checker.check([get(5, 6, 'a'), get(7, 8, 'a')])).toBeUndefined()
  expect(checker.check([get(9, 10, 'b')])).toBeDefined()
})

/** A key as one thread would keep it, written apart from the item model. */
class Item {
  value: string | undefined
  flags = 0
  cas = 0
  lastCas = 0

  answer(asked: Operation): Partial<Operation> {
    const { verb, token } = asked
    if (verb === 'flush') this.value = undefined
    if (verb === 'flush') return {}
    if (verb === 'add' && this.value !== undefined) return { result: 'exists' }
    if (this.value === undefined && !(verb === 'add' || (verb === 'set' && token === 0))) {
      return { result: 'missing', value: verb === 'increment' ? '' : asked.value }
    }
    if (token !== 0 && token !== this.cas) return { result: 'exists' }
    if (verb === 'get') return { value: this.value!, flags: this.flags, cas: this.cas }
    if (verb === 'delete') {
      this.value = undefined
      return {}
    }
    if (verb === 'increment') {
      if (!/^\d+$/.test(this.value!)) return { result: 'not-numeric' }
      this.value = String(Number(this.value) + asked.delta)
    } else if (verb === 'append') {
      this.value += asked.value
    } else {
      this.value = asked.value
      this.flags = asked.flags
    }
    this.cas = ++this.lastCas
    return { value: verb === 'increment' ? this.value! : asked.value, cas: this.cas }
  }
}

const RANDOM_VERBS: readonly Verb[] = [
  ...(['get', 'get', 'get', 'set', 'set', 'add', 'replace', 'append'] as const),
  ...(['increment', 'increment', 'delete', 'flush'] as const),
]

/**
 * A history of `count` operations that happen one after the other at instants of their own, each
 * within an interval that overlaps those of others. `showsCas`: as the binary dialect, or as text.
 */
function historyOf(random: Random, count: number, processes: number, showsCas: boolean) {
  const item = new Item()
  const freeFrom = Array<number>(processes).fill(0)
  const operations: Operation[] = []
  for (let instant = 1; instant <= count; instant++) {
    const process = random.below(processes)
    // Three ticks an instant and a process, so that no tick is drawn twice.
    const unique = process + 1
    const scale = 3 * (processes + 1)
    const at = instant * scale
    const began = Math.max(freeFrom[process]!, at - random.below(6) * scale) + unique
    if (began > at + processes) continue
    const ended = at + random.below(6) * scale + scale / 3 + unique
    freeFrom[process] = Math.ceil(ended / scale) * scale
    const verb = RANDOM_VERBS[random.below(RANDOM_VERBS.length)]!
    const isNumber = random.below(3) === 0
    const asked = operation(began, ended, verb, {
      process,
      value: verb === 'get' || verb === 'delete' || verb === 'flush' ? '' : `v${instant}.`,
      ...(verb === 'set' && isNumber ? { value: String(instant * 1000) } : {}),
      ...(verb === 'increment' ? { value: '', delta: 1 + random.below(5) } : {}),
      token: verb === 'set' && random.below(3) === 0 ? Math.max(1, item.cas - random.below(2)) : 0,
      flags: verb === 'set' || verb === 'add' || verb === 'replace' ? random.below(3) : 0,
    })
    const answer = item.answer(asked)
    const cas = verb === 'get' || showsCas ? (answer.cas ?? 0) : 0
    operations.push({ ...asked, ...answer, cas })
  }
  return operations
}

test('every history of one item that answers in some order is accepted', () => {
  const random = randomOf(seedOfRun())
  for (let run = 0; run < 60; run++) {
    const operations = historyOf(random, 200, 2 + random.below(6), run % 2 === 0)
    expect(operations.length).toBeGreaterThan(30)
    const violation = new HistoryChecker({ ...STRICT, itemBytesMax: 1e6 }).check(operations)
    expect(violation && describeViolation(violation)).toBeUndefined()
  }
})

/** Whether some order of the operations that keeps apart what did not overlap gives the answers. */
function hasOrder(options: ItemModelOptions, operations: readonly Operation[]): boolean {
  const model = new ItemModel(options)
  const latestSecond = Math.max(...operations.map(({ nowSeconds }) => nowSeconds))
  const search = (state: ItemState, left: readonly Operation[]): boolean => {
    if (left.length === 0) return true
    const firstEnd = Math.min(...left.map(({ ended }) => ended))
    return left.some((candidate) => {
      if (candidate.began > firstEnd) return false
      const { process, began } = candidate
      if (left.some((other) => other.process === process && other.began < began)) return false
      const next: ItemState[] = []
      model.step(state, candidate, latestSecond, next)
      return next.some((after) =>
        search(
          after,
          left.filter((other) => other !== candidate),
        ),
      )
    })
  }
  return search(model.empty(), operations)
}

test('on small histories, right and wrong, it agrees with a search through all orders', () => {
  const random = randomOf(seedOfRun())
  const verdicts = { right: 0, wrong: 0 }
  for (let run = 0; run < 3000; run++) {
    const options = run % 3 === 0 ? FORGETFUL : STRICT
    const operations = historyOf(random, 9, 4, run % 2 === 0)
    // Answers change hands, so that many of the histories become wrong.
    for (let swaps = random.below(12); swaps > 0; swaps--) {
      const at = random.below(operations.length)
      const from = operations[random.below(operations.length)]!
      const { value, flags, cas, result } = from
      if (operations[at]!.verb === from.verb) {
        operations[at] = { ...operations[at]!, value, flags, cas, result }
      }
    }
    const expected = hasOrder(options, operations)
    verdicts[expected ? 'right' : 'wrong']++
    const violation = new HistoryChecker(options).check(operations)
    if ((violation === undefined) !== expected) {
      throw new Error(`run ${run}: ${expected}\n${JSON.stringify(operations, undefined, 1)}`)
    }
  }
  expect(Math.min(verdicts.right, verdicts.wrong)).toBeGreaterThan(100)
})
