/** A second that passes while a node is asked is not taken off what T and N gave. */

import { expect, test } from 'vitest'
import { RemoteCommands } from '../../../src/command/remote/remote-commands.ts'
import { RequestCounts } from '../../../src/command/remote/request-counts.ts'
import { COUNTER_NAMES } from '../../../src/observe/counters.ts'
import { FLAG_N, FLAG_T } from '../../../src/protocol/meta/decode.ts'
import {
  OUTCOME_FOUND,
  OUTCOME_NUMBER,
  OUTCOME_PENDING,
  Request,
} from '../../../src/protocol/request.ts'
import { VERB_META_ARITHMETIC, VERB_META_GET } from '../../../src/protocol/verbs.ts'
import { CasClock } from '../../../src/remote/cas-clock.ts'
import type { Engine } from '../../../src/remote/engine.ts'
import { FAILURE_NONE } from '../../../src/remote/failure.ts'
import type { Command } from '../../../src/remote/flight.ts'
import { Generation } from '../../../src/remote/generation.ts'
import { encodeItem } from '../../../src/remote/item-head.ts'

const CAS = Buffer.alloc(8, 1)
const EMPTY = Buffer.alloc(0)
const NEVER = 0
const START = 1_800_000_000

class Bench {
  readonly sent: Command[] = []
  readonly commands: RemoteCommands

  constructor() {
    const engine = { send: (command) => this.sent.push(command) } as Pick<Engine, 'send'> as Engine
    const lane = new Float64Array(COUNTER_NAMES.length)
    const generation = new Generation(engine, { nowMs: () => 0 }, 'default')
    generation.wait({ heldBytes: 0, ready: () => undefined })
    this.sent.pop()?.settle(Buffer.from('1'), FAILURE_NONE)
    this.commands = new RemoteCommands({
      engine,
      generation,
      casClock: new CasClock(Date.now, Math.random),
      lane,
      counts: new RequestCounts(lane),
      after: () => undefined,
      itemBytesMax: 1024,
      flushEnabled: true,
      casEnabled: true,
      missesOnFailure: false,
      near: undefined,
    })
    this.commands.setTime(START)
  }

  /** What is left by the clock of the answer, which comes two seconds later; 0: it never ends. */
  leftOf(verb: number, expiry: number, vivifyExpiry: number, reply: readonly Buffer[]): number {
    const { commands } = this
    const request = new Request()
    request.verb = verb
    request.keyLength = 1
    request.upperFlags = FLAG_T | FLAG_N
    request.expiry = expiry
    request.vivifyExpiry = vivifyExpiry
    request.expiryToken = 1
    request.vivifyToken = 2
    expect(commands.execute(request, Buffer.from('k'))).toBe(OUTCOME_PENDING)
    commands.setTime(START + 2)
    this.sent.pop()?.settle(reply, FAILURE_NONE)
    const outcome = commands.takePending().load()
    expect([OUTCOME_FOUND, OUTCOME_NUMBER]).toContain(outcome)
    const { expiry: until } = commands.result
    commands.setTime(START)
    return until === NEVER ? 0 : until - (START + 2)
  }
}

const text = (value: string): Buffer => Buffer.from(value)
const numberOf = (isCreated: '0' | '1'): readonly Buffer[] => [
  ...[text('H'), CAS, text('5'), text('-1'), text(isCreated)],
]
const itemOf = (isCreated: '0' | '1'): readonly Buffer[] => [
  ...[
    text('H'),
    encodeItem(0, 1, 1, EMPTY, 0, 0),
    text('-1'),
    text('0'),
    text(isCreated),
    text('0'),
  ],
]

const FOUND_FOR = 30
const MADE_FOR = 60

test.each([
  { name: 'a number', verb: VERB_META_ARITHMETIC, reply: numberOf },
  { name: 'an item', verb: VERB_META_GET, reply: itemOf },
])('$name: what T gave one that is there and N one that is made', ({ verb, reply }) => {
  const bench = new Bench()
  expect(bench.leftOf(verb, FOUND_FOR, MADE_FOR, reply('0'))).toBe(FOUND_FOR)
  expect(bench.leftOf(verb, FOUND_FOR, MADE_FOR, reply('1'))).toBe(MADE_FOR)
  expect(bench.leftOf(verb, 0, 0, reply('0'))).toBe(0)
  expect(bench.leftOf(verb, 0, 0, reply('1'))).toBe(0)
})
