import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { Signals } from '../../../../src/server/main/signals.ts'

class FakeProcess extends EventEmitter {
  readonly pid = 7
  readonly killed: [number, string][] = []

  kill(pid: number, signal: string): void {
    this.killed.push([pid, signal])
  }
}

function setUp(opened: boolean[] = []): {
  process: FakeProcess
  signals: Signals
  told: string[]
  taker: { stop(signal: string): void; reload(): void }
} {
  const process = new FakeProcess()
  const told: string[] = []
  const signals = new Signals(process, () => opened.shift() ?? false)
  signals.hold()
  const taker = {
    stop: (signal: string) => void told.push(signal),
    reload: () => void told.push('reload'),
  }
  return { process, signals, told, taker }
}

test('signals that come early reach who takes them, once, the reload first', () => {
  const { process, signals, told, taker } = setUp()
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM', 'SIGHUP']) process.emit(signal, signal)
  expect(signals.stopAsked).toBe('SIGINT')
  signals.handTo(taker)
  expect(told).toEqual(['reload', 'SIGINT'])
})

test('signals that come later reach who takes them at once', () => {
  const { process, signals, told, taker } = setUp()
  signals.handTo(taker)
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGTERM']) process.emit(signal, signal)
  expect(told).toEqual(['reload', 'SIGUSR1', 'SIGTERM'])
})

test('a debugger that nobody asked for stands for a SIGUSR1', async () => {
  expect(setUp([true]).signals.stopAsked).toBe('SIGUSR1')
  const later = setUp([false, true])
  expect(later.signals.stopAsked).toBeUndefined()
  await new Promise(setImmediate)
  expect(later.signals.stopAsked).toBe('SIGUSR1')
})

test('a command gets the signals back, but not SIGUSR1', () => {
  const { process, signals } = setUp()
  process.emit('SIGUSR1', 'SIGUSR1')
  signals.release()
  expect(process.eventNames()).toEqual(['SIGUSR1'])
  expect(process.killed).toEqual([])
})

test('a signal that came before a command got them back ends it', () => {
  const { process, signals } = setUp()
  process.emit('SIGTERM', 'SIGTERM')
  signals.release()
  expect(process.killed).toEqual([[7, 'SIGTERM']])
})
