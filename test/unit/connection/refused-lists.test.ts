/** A list of keys one of which cannot be touched for want of memory: an error, never a miss. */

import { expect, test } from 'vitest'
import { COUNTER } from '../../../src/observe/counters.ts'
import { NO_MEMORY } from '../../../src/storage/result.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'

const REFUSED = 'SERVER_ERROR out of memory writing get response\r\n'
const FIRST = 'VALUE first 0 1\r\n1\r\n'
const LAST = 'VALUE last 0 1\r\n2\r\n'

function ask(server: ManualServer, request: string): string {
  const { connection, transport, deferred } = server.open('text')
  const bytes = Buffer.from(request)
  connection.receive(bytes, bytes.length)
  for (let turn = deferred.shift(); turn !== undefined; turn = deferred.shift()) {
    turn.continueServing()
  }
  return transport.output.toString('latin1')
}

/** The room that is kept for touching items is used up after so many of them. */
function touchesLeft({ store }: ManualServer, count: number): void {
  const lookupToChange = store.lookupToChange.bind(store)
  let left = count
  store.lookupToChange = (...lookup) => (left-- > 0 ? lookupToChange(...lookup) : NO_MEMORY)
}

test.each([
  ['in one turn', 500],
  ['over several turns', 1],
])('gat of an item that has no room for its expiry ends its list with an error, %s', (_, turn) => {
  for (const verb of ['gat', 'gats']) {
    const server = createManualServer({ requestsPerTurnMax: turn })
    ask(server, 'set first 0 0 1\r\n1\r\nset last 0 0 1\r\n2\r\n')
    touchesLeft(server, 2)
    const answer = ask(server, `${verb} 100 first missing last first\r\nmn\r\n`)
    expect(answer.replace(/(VALUE first 0 1) \d+/, '$1')).toBe(`${FIRST}${REFUSED}MN\r\n`)
    const { lane } = server
    expect([lane[COUNTER.store_no_memory], lane[COUNTER.touch_misses]]).toEqual([1, 1])
    expect(ask(server, 'get first last\r\n')).toBe(`${FIRST}${LAST}END\r\n`)
  }
})
