/** Before a cluster the largest item is as large as in a store of our own. */

import { expect, test } from 'vitest'
import { RemoteCommands } from '../../../src/command/remote/remote-commands.ts'
import { RequestCounts } from '../../../src/command/remote/request-counts.ts'
import { COUNTER_NAMES } from '../../../src/observe/counters.ts'
import { OUTCOME_PENDING, OUTCOME_TOO_LARGE, Request } from '../../../src/protocol/request.ts'
import { VERB_SET } from '../../../src/protocol/verbs.ts'
import { CasClock } from '../../../src/remote/cas-clock.ts'
import type { Engine } from '../../../src/remote/engine.ts'
import { FAILURE_NONE } from '../../../src/remote/failure.ts'
import type { Command } from '../../../src/remote/flight.ts'
import { Generation } from '../../../src/remote/generation.ts'
import { STORED, TOO_LARGE } from '../../../src/storage/result.ts'
import { Client } from '../storage/client.ts'

const ITEM_BYTES_MAX = 8192
const KEY = 'key'

test('the longest value that is taken is the same', () => {
  const local = new Client({ memoryBytes: 1024 * 1024, itemBytesMax: ITEM_BYTES_MAX })
  let longest = ITEM_BYTES_MAX
  while (local.write(KEY, 'v'.repeat(longest)) === TOO_LARGE) longest--
  expect(local.write(KEY, 'v'.repeat(longest))).toBe(STORED)

  const sent: Command[] = []
  const engine = { send: (command) => sent.push(command) } as Pick<Engine, 'send'> as Engine
  const lane = new Float64Array(COUNTER_NAMES.length)
  const commands = new RemoteCommands({
    engine,
    generation: new Generation(engine, { nowMs: () => 0 }, 'default'),
    casClock: new CasClock(Date.now, Math.random),
    lane,
    counts: new RequestCounts(lane),
    after: () => undefined,
    itemBytesMax: ITEM_BYTES_MAX,
    flushEnabled: true,
    casEnabled: true,
    missesOnFailure: false,
    near: undefined,
  })
  const request = new Request()
  request.verb = VERB_SET
  request.keyLength = KEY.length
  request.valueOffset = KEY.length
  const bytes = Buffer.from(`${KEY}${'v'.repeat(ITEM_BYTES_MAX)}`)
  request.valueLength = longest
  expect(commands.execute(request, bytes)).toBe(OUTCOME_PENDING)
  // A look at the generation comes first.
  sent[0]?.settle('0', FAILURE_NONE)
  expect(sent.at(-1)?.args[0]).toBe('SET')
  commands.takePending()
  request.valueLength = longest + 1
  expect(commands.execute(request, bytes)).toBe(OUTCOME_PENDING)
  expect(sent.at(-1)?.args[0]).toBe('DEL')
  const refused = commands.takePending()
  expect(refused.isSettled).toBe(false)
  sent.at(-1)?.settle(1, FAILURE_NONE)
  expect(refused.load()).toBe(OUTCOME_TOO_LARGE)
})
