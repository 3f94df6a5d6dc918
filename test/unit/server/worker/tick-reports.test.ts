/** What strangers bring about is told in lines that they cannot make more of. */
import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../../src/observe/counters.ts'
import type { LogEvent } from '../../../../src/observe/log.ts'
import { TickReports } from '../../../../src/server/worker/tick-reports.ts'

test('clients that do not log in in time are one line in ten seconds, and one each only for debugging', () => {
  const lines: LogEvent[] = []
  const lane = counterLane(createCounterMemory(1), 0)
  const reports = new TickReports((event) => lines.push(event), lane)
  const told = (): unknown[] =>
    lines
      .splice(0)
      .flatMap(({ level, event, fields }) => (level === 'debug' ? [] : { event, fields }))
  reports.reportLoginTimeouts(0)
  expect(told()).toEqual([])
  for (let nowMs = 100; nowMs <= 20_000; nowMs += 100) {
    lane[COUNTER.login_timeouts]!++
    reports.loginTimedOut(new Peer('192.0.2.1', `192.0.2.1:${nowMs}`))
    expect(lines.at(-1)).toMatchObject({ level: 'debug', event: 'login_timed_out' })
    reports.reportLoginTimeouts(nowMs)
  }
  expect(told()).toEqual([
    { event: 'login_timeouts', fields: { connections: 1, peer: '192.0.2.1:100' } },
    { event: 'login_timeouts', fields: { connections: 100, peer: '192.0.2.1:200' } },
  ])
  // Of one that only waited for a place there is no peer.
  const waiting = new TickReports((event) => lines.push(event), lane)
  waiting.reportLoginTimeouts(0)
  expect(told()).toEqual([{ event: 'login_timeouts', fields: { connections: 200 } }])
})
