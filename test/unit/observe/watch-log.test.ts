/** The watch log between several workers: who sees what, and what happens to what does not fit. */
import { describe, expect, test } from 'vitest'
import { NAMESPACES_MAX } from '../../../src/base/namespaces-max.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../src/observe/counters.ts'
import {
  CLOSE_IDLE_TIMEOUT,
  CONNECTION_CLOSE,
  CONNECTION_NEW,
  GET_FOUND,
  lineBegin,
  lineBytesMin,
  lineEnd,
  TTL_NEVER,
} from '../../../src/observe/watch-line.ts'
import {
  DRAIN_RECORDS_MAX,
  TENANT_WATCHERS_MAX,
  WATCHERS_MAX,
  WatchLog,
  WatchRecord,
} from '../../../src/observe/watch-log.ts'
import {
  createWatchMemory,
  WATCH_CONNEVENTS,
  WATCH_DELETIONS,
  WATCH_EVICTIONS,
  WATCH_FETCHERS,
  WATCH_MUTATIONS,
} from '../../../src/observe/watch-memory.ts'

const TIME_MICROS = 1_700_000_000_000_042

interface Bench {
  readonly logs: readonly WatchLog[]
  readonly lanes: readonly Float64Array[]
}

function createLogs(workerCount: number, ringBytes = 4096): Bench {
  const memory = createWatchMemory(workerCount, ringBytes)
  const counters = createCounterMemory(workerCount)
  const lanes = Array.from({ length: workerCount }, (_, index) => counterLane(counters, index))
  const logs = lanes.map((lane, index) => new WatchLog(memory, index, lane, () => TIME_MICROS))
  return { logs, lanes }
}

function write(log: WatchLog, key: string, kind: number = WATCH_FETCHERS, namespace = 0): void {
  const bytes = Buffer.from(key, 'latin1')
  log.record.kind = kind
  log.record.status = GET_FOUND
  log.record.connectionId = 7
  log.record.valueBytes = 3
  log.write(namespace, bytes, 0, bytes.length)
}

function take(log: WatchLog, keys: string[]): boolean {
  return log.drain(({ key, keyLength }) =>
    keys.push(Buffer.from(key.subarray(0, keyLength)).toString('latin1')),
  )
}

function keysOf(log: WatchLog): string[] {
  const keys: string[] = []
  while (!take(log, keys));
  return keys
}

describe('the watch log', () => {
  test('shows every worker with watchers the events of all workers, once', () => {
    const { logs } = createLogs(3)
    const [first, second, third] = logs as [WatchLog, WatchLog, WatchLog]
    first.want(WATCH_FETCHERS)
    third.want(WATCH_EVICTIONS)
    write(first, 'a')
    write(second, 'b')
    write(third, 'c')
    expect(keysOf(first)).toEqual(['a', 'b', 'c'])
    expect(keysOf(third)).toEqual(['a', 'b', 'c'])
    expect(keysOf(first)).toEqual([])
    // It has no watchers: nothing waits for it.
    expect(keysOf(second)).toEqual([])
  })

  test('says what is watched by anybody, and forgets it with the last', () => {
    const { logs } = createLogs(2)
    const [first, second] = logs as [WatchLog, WatchLog]
    expect(second.isWatched(WATCH_FETCHERS)).toBe(false)
    first.want(WATCH_FETCHERS)
    second.want(WATCH_FETCHERS | WATCH_MUTATIONS)
    expect(first.isWatched(WATCH_MUTATIONS)).toBe(true)
    second.want(0)
    expect(first.isWatched(WATCH_MUTATIONS)).toBe(false)
    expect(first.isWatched(WATCH_FETCHERS)).toBe(true)
    first.want(0)
    expect(second.isWatched(WATCH_FETCHERS)).toBe(false)
  })

  test('numbers the events of all workers in one sequence', () => {
    const { logs } = createLogs(2)
    const [first, second] = logs as [WatchLog, WatchLog]
    first.want(WATCH_FETCHERS)
    for (let round = 0; round < 5; round++) {
      write(first, 'a')
      write(second, 'b')
    }
    const ids: number[] = []
    first.drain(({ eventId }) => ids.push(eventId))
    expect(ids).toEqual([1, 3, 5, 7, 9, 2, 4, 6, 8, 10])
    expect(second.lastEventId()).toBe(10)
  })

  test('drops what does not fit a ring that is not read, and counts it', () => {
    const { logs, lanes } = createLogs(2)
    const [reader, writer] = logs as [WatchLog, WatchLog]
    reader.want(WATCH_FETCHERS)
    const written = Array.from({ length: 1000 }, (_, index) => `key-${index}`)
    for (const key of written) write(writer, key)
    const kept = keysOf(reader)
    const lane = lanes[1]!
    expect(kept).toEqual(written.slice(0, kept.length))
    expect(kept.length).toBeGreaterThan(50)
    expect(lane[COUNTER.log_worker_written]).toBe(kept.length)
    expect(lane[COUNTER.log_worker_dropped]).toBe(1000 - kept.length)
    // There is room again.
    write(writer, 'later')
    expect(keysOf(reader)).toEqual(['later'])
  })

  test('who writes as fast as is read keeps the events of no other thread back', () => {
    const { logs } = createLogs(3, 65_536)
    const [reader, flooding, quiet] = logs as [WatchLog, WatchLog, WatchLog]
    reader.want(WATCH_FETCHERS)
    write(quiet, 'quiet')
    const seen: string[] = []
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 2 * DRAIN_RECORDS_MAX; index++) write(flooding, 'flood')
      expect(take(reader, seen)).toBe(false)
      expect(seen).toHaveLength((round + 1) * DRAIN_RECORDS_MAX)
    }
    expect(seen).toContain('quiet')
    expect(keysOf(reader)).toEqual(Array.from({ length: 2 * DRAIN_RECORDS_MAX + 1 }, () => 'flood'))
  })

  test('a flood in one namespace costs another no event, and what nobody watches is not written', () => {
    const { logs, lanes } = createLogs(2)
    const [reader, writer] = logs as [WatchLog, WatchLog]
    const dropped = (): number => lanes[1]![COUNTER.log_worker_dropped]!
    reader.want(WATCH_FETCHERS, [2])
    for (let index = 0; index < 1000; index++) write(writer, `flood-${index}`, WATCH_FETCHERS, 1)
    write(writer, 'mine', WATCH_FETCHERS, 2)
    expect([keysOf(reader), dropped()]).toEqual([['mine'], 0])

    // Also where both are watched, wherever the ring just ends, and however often it turns.
    reader.want(WATCH_FETCHERS, [1, 2])
    for (let round = 0; round < 300; round++) {
      for (let index = 0; index < 200; index++) {
        write(writer, 'f'.repeat((round * 7 + index) % 251), WATCH_FETCHERS, 1)
      }
      const mine = Array.from({ length: 10 }, (_, index) => `mine-${round}-${index}`)
      for (const key of mine) write(writer, key, WATCH_FETCHERS, 2)
      expect(keysOf(reader).filter((key) => key.startsWith('mine'))).toEqual(mine)
    }
    expect(dropped()).toBeGreaterThan(1000)
  })

  test('every watcher of twenty namespaces sees a key of the largest size beside floods of the others', () => {
    const { logs } = createLogs(1, 1)
    const log = logs[0]!
    const namespaces = Array.from({ length: 20 }, (_, index) => 3 * index)
    log.want(WATCH_FETCHERS, namespaces)
    for (let round = 0; round < 50; round++) {
      for (const namespace of namespaces.slice(1)) {
        for (let index = 0; index < 20; index++) write(log, 'f', WATCH_FETCHERS, namespace)
      }
      const key = `${round}-`.padEnd(250, 'k')
      write(log, key)
      expect(keysOf(log)).toContain(key)
    }
  })

  test('keeps every event through thousands of turns of the ring, whatever the keys', () => {
    const { logs, lanes } = createLogs(1)
    const log = logs[0]!
    log.want(WATCH_FETCHERS)
    const keys = Array.from({ length: 20_000 }, (_, index) => 'k'.repeat((index * 37) % 251))
    const seen: string[] = []
    for (const [index, key] of keys.entries()) {
      write(log, key)
      if (index % 10 === 9) seen.push(...keysOf(log))
    }
    expect(seen).toEqual(keys)
    expect(lanes[0]![COUNTER.log_worker_dropped]).toBe(0)
  })

  test('begins for a worker with what happens after it wants to see it', () => {
    const { logs } = createLogs(2)
    const [first, second] = logs as [WatchLog, WatchLog]
    first.want(WATCH_FETCHERS)
    write(first, 'before')
    second.want(WATCH_FETCHERS)
    write(first, 'after')
    expect(keysOf(second)).toEqual(['after'])
    expect(keysOf(first)).toEqual(['before', 'after'])
  })

  test('has a bounded number of places for all workers together', () => {
    const { logs, lanes } = createLogs(2)
    const [first, second] = logs as [WatchLog, WatchLog]
    for (let place = 0; place < WATCHERS_MAX; place++) {
      expect((place % 2 === 0 ? first : second).takePlace(0)).toBe(true)
    }
    expect(first.takePlace(0)).toBe(false)
    expect(second.takePlace(0)).toBe(false)
    expect(lanes[0]![COUNTER.log_watchers]! + lanes[1]![COUNTER.log_watchers]!).toBe(WATCHERS_MAX)
    first.givePlaceBack(0)
    expect(second.takePlace(0)).toBe(true)
  })

  test('gives the users of each namespace places that those of no other take or see taken', () => {
    const { logs } = createLogs(2)
    const [first, second] = logs as [WatchLog, WatchLog]
    const takeAll = (namespace: number): number => {
      let taken = 0
      while ((taken % 2 === 0 ? first : second).takePlace(namespace)) taken++
      return taken
    }
    expect(takeAll(7)).toBe(TENANT_WATCHERS_MAX)
    expect(takeAll(255)).toBe(TENANT_WATCHERS_MAX)
    expect(takeAll(0)).toBe(WATCHERS_MAX)
    second.givePlaceBack(7)
    expect(first.takePlace(255)).toBe(false)
    expect(first.takePlace(7)).toBe(true)
  })

  test('has room for the longest key of each namespace when all are watched', () => {
    const { logs } = createLogs(1, 1)
    const [log] = logs as [WatchLog]
    const namespaces = Array.from({ length: NAMESPACES_MAX + 1 }, (_, id) => id)
    log.want(WATCH_FETCHERS, namespaces)
    for (const id of namespaces) write(log, 'k'.repeat(250), WATCH_FETCHERS, id)
    expect(keysOf(log)).toHaveLength(namespaces.length)
  })
})

describe('a line', () => {
  function lineOf(fields: Partial<WatchRecord>, key: string): string {
    const record = new WatchRecord()
    Object.assign(record, { timeMicros: TIME_MICROS, eventId: 5, connectionId: 9 }, fields)
    const bytes = Buffer.from(key, 'latin1')
    record.key.set(bytes)
    record.keyLength = bytes.length
    const line = `${lineBegin(record)}${record.eventId}${lineEnd(record, record.connectionId)}`
    expect(lineBytesMin(record)).toBeLessThanOrEqual(line.length)
    return line
  }

  test('writes the microseconds without leading zeros, as memcached does', () => {
    expect(lineOf({ kind: WATCH_FETCHERS, status: GET_FOUND, valueBytes: 2 }, 'a b')).toBe(
      'ts=1700000000.42 gid=5 type=item_get key=a%20b status=found clsid=1 cfd=9 size=2\n',
    )
  })

  test.each([
    ['look-up', WATCH_FETCHERS, 'k'],
    ['write', WATCH_MUTATIONS, 'k'],
    ['deletion', WATCH_DELETIONS, 'k'],
    ['eviction', WATCH_EVICTIONS, 'k'],
    [
      'connection',
      WATCH_CONNEVENTS,
      '/a/path/that/is/longer/than/what/the/line/tells/instead/of/it',
    ],
  ])('of a %s is not shorter than is told before it is written', (_, kind, key) => {
    // The shortest values; lineOf compares.
    const fields = { kind, timeMicros: 0, eventId: 1, connectionId: 1, command: 2 }
    expect(lineOf(fields, key)).toMatch(/^ts=0\.0 gid=1 type=/)
  })

  test('tells an eviction of an item without expiry', () => {
    const fields = { kind: WATCH_EVICTIONS, ttlSeconds: TTL_NEVER, idleSeconds: 4, valueBytes: 1 }
    expect(lineOf(fields, 'k')).toContain(
      ' type=eviction key=k fetch=no ttl=-1 la=4 clsid=1 size=1',
    )
  })

  test.each([
    ['127.0.0.1:80', 'rip=127.0.0.1 rport=80 transport=tcp'],
    ['[::1]:4711', 'rip=::1 rport=4711 transport=tcp'],
    ['unix', 'rip=unix rport=0 transport=local'],
    ['/run/cache.sock', 'rip=unix rport=0 transport=local'],
  ])('tells of a connection from %s', (peer, told) => {
    expect(lineOf({ kind: WATCH_CONNEVENTS, command: CONNECTION_NEW }, peer)).toBe(
      `ts=1700000000.42 gid=5 type=conn_new ${told} cfd=9\n`,
    )
    const closed = { kind: WATCH_CONNEVENTS, command: CONNECTION_CLOSE, status: CLOSE_IDLE_TIMEOUT }
    expect(lineOf(closed, peer)).toBe(
      `ts=1700000000.42 gid=5 type=conn_close ${told} reason=idle_timeout cfd=9\n`,
    )
  })
})
