/** A snapshot comes back on two threads, of which a test plays the second: it has its turns when the first one waits. */
import fs, { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSnapshot } from '../../../../src/server/files/snapshot-file.ts'
import { SnapshotPlace } from '../../../../src/server/files/snapshot-place.ts'
import {
  createExchangeMemory,
  ENDED,
  ENDED_BADLY,
  exchangeOf,
} from '../../../../src/server/snapshot/chunk-exchange.ts'
import { ChunkRestorer } from '../../../../src/server/snapshot/chunk-restorer.ts'
import { Progress } from '../../../../src/server/snapshot/progress.ts'
import { RestoreJob } from '../../../../src/server/snapshot/restore-job.ts'
import { SecondRestorer } from '../../../../src/server/snapshot/second-restorer.ts'
import type { SnapshotTenant } from '../../../../src/server/snapshot/snapshot-tenant.ts'
import { WriteJob } from '../../../../src/server/snapshot/write-job.ts'
import { counterLanes, ITEMS } from '../../../../src/storage/counters.ts'
import { createStoreMemory } from '../../../../src/storage/geometry.ts'
import { checkIntegrity } from '../../../../src/storage/integrity.ts'
import { createParts } from '../../../../src/storage/parts.ts'
import { Store } from '../../../../src/storage/store.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { Client } from '../../storage/client.ts'

const MIB = 1024 * 1024
const EPOCH_MS = 1_700_000_000_000
const SECOND = EPOCH_MS / 1000
const SMALL = 1500
/** More than one chunk each, and between chunks of small ones. */
const LARGE = 4
const MOMENT = { epochMs: EPOCH_MS, serverMs: EPOCH_MS, bootId: '', monotonicMs: 0 }

const directory = mkdtempSync(join(tmpdir(), 'saslcached-second-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const path = join(directory, 'snapshot')

function tenantOf(memoryBytes: number, seed: number): SnapshotTenant {
  const store = createStoreMemory({
    memoryBytes,
    itemBytesMax: 4 * MIB,
    evicts: true,
    workerCount: 3,
    seed: [seed, 1],
  })
  return { name: 'default', id: 0, store, view: new Store(store, 1) }
}

function smallOf(index: number): string {
  return String(index).repeat(3000).slice(0, 3000)
}

function largeOf(index: number): string {
  return String.fromCharCode(65 + index).repeat(1_500_000)
}

const NEVER = new Progress(
  () => 0,
  () => undefined,
)

beforeAll(() => {
  const tenant = tenantOf(32 * MIB, 1)
  const client = new Client({}, tenant.store, 0)
  client.now = SECOND
  for (let index = 0; index < SMALL; index++) client.write(`small${index}`, smallOf(index))
  for (let index = 0; index < LARGE; index++) client.write(`large${index}`, largeOf(index))
  const place = new SnapshotPlace(fs, path)
  place.lock()
  const job = new WriteJob({
    fs,
    place,
    secret: undefined,
    reason: 'periodic',
    tenants: [tenant],
    written: MOMENT,
    nowMs: () => 0,
    nowSeconds: () => SECOND,
    say: () => undefined,
    progress: NEVER,
  })
  while (job.step());
  job.end()
  place.release()
}, 60_000)

class Restore {
  readonly tenant: SnapshotTenant
  readonly client: Client
  readonly job: RestoreJob
  readonly said: string[] = []
  /** Set when there is a second thread. */
  second: ChunkRestorer | undefined = undefined

  constructor(file = path, memoryBytes = 32 * MIB) {
    this.tenant = tenantOf(memoryBytes, 2)
    this.client = new Client({}, this.tenant.store, 0)
    this.client.now = SECOND
    const opened = openSnapshot(fs, file, undefined, [process.geteuid?.()])
    if (opened === undefined) throw new Error('there is no snapshot')
    this.job = new RestoreJob({
      opened,
      tenants: new Map([[0, this.tenant]]),
      startSecond: (settings) => {
        const second = new ChunkRestorer(settings, new ManualClock())
        this.second = second
        return () => void second.turn()
      },
      clock: { epochMs: EPOCH_MS, monotonicMs: 0 },
      workerIndex: 1,
      now: MOMENT,
      nowMs: () => 0,
      nowSeconds: () => SECOND,
      say: (_, event, message, fields) =>
        void this.said.push(`${event} ${message} ${JSON.stringify(fields)}`),
      progress: NEVER,
    })
    this.client.store.noteChanges(this.job.touched[0])
  }

  /** Restores all; the second thread has a turn at every so many steps of the first. */
  run(everySteps: number): this {
    for (let step = 1; this.job.step(); step++) if (step % everySteps === 0) this.second?.turn()
    this.job.end()
    return this
  }

  get missing(): string[] {
    const wanted = [
      ...Array.from({ length: SMALL }, (_, index) => [`small${index}`, smallOf(index)] as const),
      ...Array.from({ length: LARGE }, (_, index) => [`large${index}`, largeOf(index)] as const),
    ]
    return wanted.flatMap(([key, value]) => (this.client.find(key)?.value === value ? [] : [key]))
  }
}

test.each([
  ['now and then', 40],
  ['all the time', 1],
  ['only when it is waited for', 1_000_000],
])('all comes back once, and whole, when the second thread has its turn %s', (_, everySteps) => {
  const restore = new Restore().run(everySteps)
  expect(counterLanes(restore.tenant.store, 2)[ITEMS]).toBeGreaterThan(50)
  expect(restore.missing).toEqual([])
  expect(restore.said.join()).toMatch(`"restored":${SMALL + LARGE},"expired":0,"superseded":0`)
  expect(checkIntegrity(restore.tenant.store)).toEqual([])
})

test('the second thread leaves nothing open that nobody would empty', () => {
  const restore = new Restore().run(1)
  const { log } = createParts(restore.tenant.store, 2)
  const open = Array.from({ length: 8 }, (_, group) => log.openOf(group))
  expect(open.filter((segment) => segment >= 0)).toEqual([])
})

test('what clients changed before stays as they left it, whichever thread comes to it', () => {
  const restore = new Restore()
  for (let index = 0; index < SMALL; index += 2) restore.client.remove(`small${index}`)
  restore.run(1)
  const missing = new Set(restore.missing)
  for (let index = 0; index < SMALL; index += 2) expect(missing).toContain(`small${index}`)
  // Two keys that share a bit cost a miss.
  expect(missing.size).toBeLessThan(SMALL * 0.53)
})

test('a flush before the second thread begins ends what it does, too', () => {
  const restore = new Restore()
  restore.client.store.flush(0, SECOND)
  restore.run(1)
  expect(restore.missing).toHaveLength(SMALL + LARGE)
  expect(restore.said.join()).toMatch('"restored":0')
})

test('the end of a namespace ends the second thread, and what it has not done comes back', () => {
  const restore = new Restore()
  while (restore.second === undefined) restore.job.step()
  for (let step = 0; step < 5; step++) restore.job.step()
  restore.job.forget(tenantOf(MIB * 8, 3))
  expect(restore.second.turn()).toBe(false)
  restore.run(1_000_000)
  expect(restore.missing).toEqual([])
})

describe('a damaged file', () => {
  function damaged(at: number): string {
    const file = join(directory, `damaged${at}`)
    const bytes = readFileSync(path)
    bytes[at] = bytes[at]! ^ 1
    writeFileSync(file, bytes, { mode: 0o600 })
    return file
  }

  test.each([0.3, 0.6, 0.9])(
    'gives what is before the damage, at %s of it, and nothing wrong',
    (share) => {
      const restore = new Restore(damaged(Math.floor(statSync(path).size * share)))
      restore.run(3)
      expect(restore.said.join()).toMatch('only restored in part: a chunk was changed or damaged')
      const missing = restore.missing.length
      expect(missing).toBeGreaterThan(0)
      expect(missing).toBeLessThan(SMALL)
      expect(checkIntegrity(restore.tenant.store)).toEqual([])
    },
  )
})

test('there is no second thread where not all has room', () => {
  const restore = new Restore(path, 10 * MIB).run(1)
  expect(restore.second).toBeUndefined()
  expect(restore.missing.length).toBeLessThan(SMALL)
})

test.each([
  ['has failed', ENDED_BADLY],
  ['does not answer', 0],
])('a second thread that %s is a death: it may hold a lock', (_, how) => {
  const memory = createExchangeMemory()
  const { words } = exchangeOf(memory)
  const second = new SecondRestorer(memory, () => {
    words[ENDED] = how
  })
  expect(() => second.end()).toThrow('the second thread that restores has failed')
})
