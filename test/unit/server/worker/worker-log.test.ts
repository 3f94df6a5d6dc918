import { expect, test } from 'vitest'
import type { LogLevel } from '../../../../src/base/log-level.ts'
import type { LogEvent } from '../../../../src/observe/log.ts'
import { WorkerLog } from '../../../../src/server/worker/worker-log.ts'

function makeLog(level: LogLevel, workerCount = 1) {
  const events: LogEvent[] = []
  const time = { nowMs: 0 }
  const log = new WorkerLog((event) => events.push(event), level, workerCount, time)
  const write = (of: LogLevel) => log.write({ level: of, event: of, message: of, fields: {} })
  return { log, time, events, write }
}

test('what is below the level is not posted, until the level changes', () => {
  const { log, events, write } = makeLog('warn')
  for (const level of ['debug', 'info', 'warn', 'fatal'] as const) write(level)
  expect(events.map(({ level }) => level)).toEqual(['warn', 'fatal'])
  log.level = 'trace'
  write('trace')
  expect(events).toHaveLength(3)
})

test.each([
  ['trace', true],
  ['debug', true],
  ['info', false],
  ['fatal', false],
] as const)('at %s detail is wanted: %s', (level, isWanted) => {
  const { log, events, write } = makeLog(level)
  expect(log.hasDetail).toBe(isWanted)
  write('debug')
  expect(events).toHaveLength(isWanted ? 1 : 0)
})

test('of detail a worker writes its share a second, and says how much it left out', () => {
  const { time, events, write } = makeLog('debug', 4)
  for (let count = 0; count < 60; count++) write('debug')
  expect(events).toHaveLength(50)
  write('info')
  expect(events).toHaveLength(51)
  time.nowMs = 1000
  write('debug')
  expect(events.slice(51)).toMatchObject([
    { event: 'detail_left_out', fields: { left_out: 10 } },
    { level: 'debug' },
  ])
})
