/** The keeper of the snapshot without a thread: a test plays the main thread, the disk and the time. */
import fs, {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { FileSystem } from '../../../../src/server/files/snapshot-file.ts'
import { SnapshotKeeper } from '../../../../src/server/snapshot/snapshot-keeper.ts'
import type {
  FromSnapshot,
  SnapshotSettings,
  ToSnapshot,
} from '../../../../src/server/snapshot/snapshot-messages.ts'
import { createStoreMemory, type StoreMemory } from '../../../../src/storage/geometry.ts'
import { LendingRing } from '../../../../src/storage/lending.ts'
import { addNamespace, dropNamespace } from '../../../../src/storage/namespaces.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { Client } from '../../storage/client.ts'

const MIB = 1024 * 1024
const EPOCH_MS = 1_700_000_000_000
const SECOND = EPOCH_MS / 1000

const directory = mkdtempSync(join(tmpdir(), 'saslcached-keeper-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let count = 0

function freshPath(): string {
  return join(directory, `snapshot${count++}`)
}

interface RunOptions {
  readonly fs?: FileSystem
  readonly settings?: Partial<SnapshotSettings>
  /** Seconds since EPOCH_MS, on the wall clock when the server starts. */
  readonly atSeconds?: number
  readonly memory?: StoreMemory
  readonly shop?: boolean
  readonly clock?: ManualClock
}

/** Time passes while it is looked at. */
class TickingClock extends ManualClock {
  override nowMs(): number {
    this.passBusily(20)
    return super.nowMs()
  }
}

function createMemory(): StoreMemory {
  return createStoreMemory({
    memoryBytes: 8 * MIB,
    itemBytesMax: MIB,
    evicts: true,
    workerCount: 2,
    seed: [count, 1],
    quotaBytesMin: 2 * MIB,
  })
}

/** A server of one worker and the keeper. */
class Run {
  readonly clock: ManualClock
  readonly memory: StoreMemory
  readonly shopMemory: StoreMemory | undefined
  readonly client: Client
  readonly posted: FromSnapshot[] = []
  hurried = false
  private readonly ring: LendingRing = new LendingRing()
  private tell: (message: ToSnapshot) => void = () => undefined

  constructor(path: string, options: RunOptions = {}) {
    const { atSeconds = 0, clock = new ManualClock() } = options
    this.clock = clock
    const memory = options.memory ?? createMemory()
    this.memory = memory
    this.shopMemory =
      options.shop === true
        ? addNamespace(memory, { namespace: 1, quotaBytes: 2 * MIB, seed: [3, 4] })
        : undefined
    this.client = new Client({}, memory, 0)
    this.client.now = SECOND + atSeconds
    const namespaces = [{ name: 'default', id: 0, store: memory }]
    if (this.shopMemory !== undefined)
      namespaces.push({ name: 'shop', id: 1, store: this.shopMemory })
    const settings: SnapshotSettings = {
      path,
      secret: undefined,
      owner: undefined,
      takesStale: false,
      clock: { epochMs: EPOCH_MS + 1000 * atSeconds, monotonicMs: 0 },
      workerIndex: 1,
      namespaces,
      ...options.settings,
    }
    const system = {
      // So that only the wall clock says how long a server was down.
      fs: { ...withoutBoot(options.fs ?? fs) },
      wallMs: () => EPOCH_MS + 1000 * atSeconds + this.clock.nowMs(),
      hurry: () => {
        this.hurried = true
      },
    }
    const port = {
      postMessage: (message: FromSnapshot) => this.posted.push(message),
      on: (_: 'message', listener: (message: ToSnapshot) => void) => {
        this.tell = listener
      },
    }
    new SnapshotKeeper(settings, port, this.clock, system).start()
    const touched = this.touched
    if (touched !== undefined) this.client.store.noteChanges(touched[0])
  }

  get touched(): Readonly<Record<number, SharedArrayBuffer>> | undefined {
    const prepared = this.posted.find((message) => message.kind === 'prepared')
    return prepared?.kind === 'prepared' ? prepared.touched : undefined
  }

  send(message: ToSnapshot): void {
    this.tell(message)
  }

  /** The worker as it serves users of that namespace. */
  clientOf(store: StoreMemory): Client {
    const client = new Client({}, store, 0)
    client.now = this.client.now
    for (const each of [this.client, client]) each.store.joinLending(this.ring)
    return client
  }

  /** Lets it work until it has nothing to do. */
  settle(): void {
    while (this.clock.isAwaited) this.clock.turn()
  }

  do(message: ToSnapshot): void {
    this.send(message)
    this.settle()
  }

  /** As at a start: items come back, and the taken file goes. */
  restore(): this {
    this.do({ kind: 'restore' })
    this.do({ kind: 'settle' })
    return this
  }

  stop(): this {
    this.do({ kind: 'write', reason: 'stop' })
    this.do({ kind: 'release' })
    return this
  }

  events(): string[] {
    return this.posted.flatMap((it) => (it.kind === 'log' ? [it.event.event] : []))
  }

  log(event: string): string {
    const found = this.posted.find((it) => it.kind === 'log' && it.event.event === event)
    if (found?.kind !== 'log') throw new Error(`no ${event} in ${this.events()}`)
    return `${found.event.message} ${JSON.stringify(found.event.fields)}`
  }
}

function withoutBoot(system: FileSystem): FileSystem {
  const readFileSync = ((path: string, ...rest: never[]) => {
    if (String(path).endsWith('boot_id')) throw new Error('there is none')
    return (system.readFileSync as (path: string, ...rest: never[]) => unknown)(path, ...rest)
  }) as FileSystem['readFileSync']
  return { ...system, readFileSync }
}

/** A server with so many items that to write them takes some turns. */
function large(path: string): Run {
  const run = new Run(path, { clock: new TickingClock() })
  for (let index = 0; index < 9000; index++) run.client.write(`key${index}`, 'v')
  return run
}

/** A server that has some items and was stopped. */
function written(path: string, options: RunOptions = {}): Run {
  const run = new Run(path, options)
  run.client.write('stays', 'value', { flags: 3 })
  run.client.write('expires', 'value', { expiry: run.client.now + 100 })
  return run.stop()
}

test('items come back once: the file loses its name before anybody is served', () => {
  const path = freshPath()
  written(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const second = new Run(path)
  expect(existsSync(path)).toBe(false)
  second.restore()
  expect(second.client.find('stays')).toMatchObject({ value: 'value', flags: 3, cas: [0, 1] })
  expect(existsSync(`${path}.taken`)).toBe(false)
  // It crashes: nothing is there for the next.
  const third = new Run(path)
  expect(third.touched).toBeUndefined()
  expect(third.log('snapshot_none')).toMatch('starts empty')
})

test('a start that fails leaves the file as it was', () => {
  const path = freshPath()
  written(path)
  const failed = new Run(path)
  failed.do({ kind: 'restore' })
  failed.do({ kind: 'put-back' })
  failed.do({ kind: 'release' })
  const second = new Run(path).restore()
  expect(second.client.find('stays')).toBeDefined()
})

test.each([
  [50, true],
  [99, true],
  [100, false],
  [1000, false],
])('an expiry counts on while the server is down: after %i s it is there: %s', (down, isThere) => {
  const path = freshPath()
  written(path)
  const run = new Run(path, { atSeconds: down }).restore()
  expect(run.client.find('stays')).toBeDefined()
  expect(run.client.find('expires') !== undefined).toBe(isThere)
  if (isThere) expect(run.client.find('expires')?.expiry).toBe(SECOND + 100)
})

test('with the wall clock set back nothing comes back that expires', () => {
  const path = freshPath()
  written(path, { atSeconds: 500 })
  const run = new Run(path, { atSeconds: 499 }).restore()
  expect(run.client.find('stays')).toBeDefined()
  expect(run.client.find('expires')).toBeUndefined()
  expect(run.log('snapshot_clock')).toMatch('what expires is not restored')
})

test('CAS ids go on, and one of a crashed server that may have been given out is not given again', () => {
  const path = freshPath()
  written(path)
  const second = new Run(path)
  second.client.write('new', 'v')
  second.restore()
  expect(second.client.find('new')?.cas).toEqual([0, 3])
  second.do({ kind: 'write', reason: 'periodic' })
  second.client.write('after the snapshot', 'v')
  const third = new Run(path, { settings: { takesStale: true } }).restore()
  third.client.write('newer', 'v')
  expect(third.client.find('newer')?.cas[1]).toBeGreaterThan(2 ** 31)
})

describe('a server that did not end in order', () => {
  test('leaves a periodic snapshot that is not used, unless that is asked for', () => {
    const path = freshPath()
    const first = new Run(path)
    first.client.write('key', 'old')
    first.do({ kind: 'write', reason: 'periodic' })
    first.client.write('key', 'new')
    const second = new Run(path).restore()
    expect(second.client.find('key')).toBeUndefined()
    expect(second.log('snapshot_stale')).toMatch('did not end in order')
    const third = new Run(path, { settings: { takesStale: true } }).restore()
    expect(third.client.find('key')?.value).toBe('old')
    // It may crash again, and is asked for the same.
    expect(existsSync(path)).toBe(true)
  })

  test('in the middle of writing leaves the old file, and half of a new one that goes', () => {
    const path = freshPath()
    const first = new Run(path)
    first.client.write('key', 'v')
    first.do({ kind: 'write', reason: 'periodic' })
    const before = readFileSync(path)
    first.send({ kind: 'write', reason: 'periodic' })
    expect(existsSync(`${path}.new`)).toBe(true)
    const second = new Run(path, { settings: { takesStale: true } })
    expect(existsSync(`${path}.new`)).toBe(false)
    expect(readFileSync(path)).toEqual(before)
    second.restore()
    expect(second.client.find('key')).toBeDefined()
  })

  test('in the middle of restoring leaves nothing', () => {
    const path = freshPath()
    written(path)
    new Run(path).send({ kind: 'restore' })
    const second = new Run(path).restore()
    expect(second.client.find('stays')).toBeUndefined()
    expect(existsSync(`${path}.taken`)).toBe(false)
  })
})

test('what clients delete or set before it is back is as they left it', () => {
  const path = freshPath()
  written(path)
  const run = new Run(path)
  run.client.remove('stays')
  run.client.write('expires', 'new')
  run.restore()
  expect(run.client.find('stays')).toBeUndefined()
  expect(run.client.find('expires')?.value).toBe('new')
  expect(run.log('snapshot_restored')).toMatch('"superseded":2')
})

test('a flush before it is back ends it', () => {
  const path = freshPath()
  written(path)
  const run = new Run(path)
  run.client.store.flush(0, run.client.now)
  run.restore()
  expect(run.client.find('stays')).toBeUndefined()
})

test.each([
  ['still to come', 50, true],
  ['due meanwhile', 150, false],
])('a flush that was asked for at a time is kept: %s', (_, down, isThere) => {
  const path = freshPath()
  const first = new Run(path)
  first.client.write('key', 'v')
  first.client.store.flush(first.client.now + 100, first.client.now)
  first.stop()
  const run = new Run(path, { atSeconds: down }).restore()
  expect(run.client.find('key') !== undefined).toBe(isThere)
  run.client.now = SECOND + 100
  if (isThere) expect(run.client.find('key')).toBeUndefined()
})

describe('namespaces', () => {
  function withShop(path: string): Run {
    const run = new Run(path, { shop: true })
    run.client.write('key', 'of all')
    run.clientOf(run.shopMemory!).write('key', 'of the shop')
    return run.stop()
  }

  test('come back each to its own', () => {
    const path = freshPath()
    withShop(path)
    const run = new Run(path, { shop: true }).restore()
    expect(run.client.find('key')?.value).toBe('of all')
    expect(new Client({}, run.shopMemory, 0).find('key')?.value).toBe('of the shop')
  })

  test('that are no more are dropped', () => {
    const path = freshPath()
    withShop(path)
    const run = new Run(path).restore()
    expect(run.client.find('key')?.value).toBe('of all')
    expect(run.log('snapshot_restored')).toMatch(
      '"restored":1,"expired":0,"superseded":0,"dropped":1',
    )
  })

  test('that are removed while they come back, or are written, are left', () => {
    const path = freshPath()
    withShop(path)
    const run = new Run(path, { shop: true })
    run.send({ kind: 'restore' })
    run.send({ kind: 'leave-namespaces', ids: [1], changeId: 7 })
    expect(run.posted).toContainEqual({ kind: 'namespaces-left', changeId: 7 })
    dropNamespace(run.memory, run.shopMemory!)
    run.settle()
    expect(run.log('snapshot_restored')).toMatch('"restored":1')
    run.stop()
    expect(run.log('snapshot_written')).toMatch('wrote 1 item in ')
  })

  test('that come later are written, too', () => {
    const path = freshPath()
    const run = new Run(path)
    const store = addNamespace(run.memory, { namespace: 2, quotaBytes: 2 * MIB, seed: [5, 6] })
    run.do({ kind: 'namespaces', namespaces: [{ name: 'blog', id: 2, store }], reloadId: 4 })
    expect(run.posted).toContainEqual({ kind: 'namespaces-known', reloadId: 4 })
    run.clientOf(store).write('key', 'v')
    run.stop()
    expect(run.log('snapshot_written')).toMatch('wrote 1 item in ')
  })
})

describe('a file that cannot be used', () => {
  test.each([
    ['cut off', (path: string) => truncateSync(path, 70), 'cut off'],
    ['damaged', (path: string) => spoil(path, -20), 'damaged, or was changed'],
    ['of a later version', (path: string) => spoil(path, 8), 'it is of version'],
  ])('because it is %s is set aside, and the cache starts empty', (_, change, why) => {
    const path = freshPath()
    written(path)
    change(path)
    const run = new Run(path)
    expect(run.touched).toBeUndefined()
    expect(run.log('snapshot_refused')).toMatch(why)
    expect([existsSync(path), existsSync(`${path}.refused`)]).toEqual([false, true])
    expect(run.stop().log('snapshot_written')).toMatch('0 items')
  })

  test('because a chunk of it is damaged is restored up to that', () => {
    const path = freshPath()
    written(path)
    spoil(path, 90)
    const run = new Run(path).restore()
    expect(run.client.find('stays')).toBeUndefined()
    expect(run.log('snapshot_damaged')).toMatch('only restored in part')
    expect(run.events()).toContain('snapshot_restored')
  })

  test("because it is somebody else's is left as it is, also at the stop", () => {
    const path = freshPath()
    writeFileSync(path, 'precious', { mode: 0o600 })
    const run = new Run(path)
    expect(run.log('snapshot_refused')).toMatch(
      /it is not a snapshot; .* until it is moved away or removed/,
    )
    expect(run.stop().log('snapshot_failed')).toMatch(
      /is no snapshot, and is left as it is: move it away or remove it/,
    )
    expect(readFileSync(path, 'utf8')).toBe('precious')
  })

  test('because it is a link is neither followed nor replaced', () => {
    const path = freshPath()
    const target = freshPath()
    writeFileSync(target, 'precious')
    symlinkSync(target, path)
    const run = new Run(path)
    expect(run.log('snapshot_refused')).toMatch(/symbolic link; .* until it is moved away/)
    run.stop()
    expect(run.events()).toContain('snapshot_failed')
    expect(readFileSync(target, 'utf8')).toBe('precious')
  })

  test('is not one of another server under the same key: who has the key may move it', () => {
    const secret = new Uint8Array(32).fill(7)
    const [path, other] = [freshPath(), freshPath()]
    const settings = { secret }
    const first = new Run(path, { settings, shop: true })
    first.client.write('key', 'theirs')
    first.clientOf(first.shopMemory!).write('key', 'of the shop')
    first.do({ kind: 'write', reason: 'stop' })
    first.do({ kind: 'release' })
    renameSync(path, other)
    const second = new Run(other, { settings }).restore()
    expect(second.client.find('key')?.value).toBe('theirs')
    // What was in a namespace comes back to one of that name, or not at all.
    expect(second.log('snapshot_restored')).toMatch('"restored":1')
    expect(second.log('snapshot_restored')).toMatch('"dropped":1')
  })

  test('because it is of another key is set aside', () => {
    const path = freshPath()
    written(path, { settings: { secret: new Uint8Array(32).fill(1) } })
    const run = new Run(path, { settings: { secret: new Uint8Array(32).fill(2) } })
    expect(run.log('snapshot_refused')).toMatch('another key')
  })
})

function spoil(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at]! ^= 0x5a
  writeFileSync(path, bytes)
}

describe('a disk', () => {
  function failing(code: string, ...calls: (keyof FileSystem)[]): FileSystem {
    const system = { ...fs } as Record<string, unknown>
    for (const call of calls) {
      system[call] = () => {
        throw Object.assign(new Error(code), { code })
      }
    }
    return system as FileSystem
  }

  test('that is full leaves the old snapshot, says so, and the server goes on', () => {
    const path = freshPath()
    const first = new Run(path)
    first.client.write('key', 'v')
    first.do({ kind: 'write', reason: 'periodic' })
    first.do({ kind: 'release' })
    const before = readFileSync(path)
    const run = new Run(path, { fs: failing('ENOSPC', 'fsyncSync') })
    run.do({ kind: 'write', reason: 'periodic' })
    expect(run.log('snapshot_failed')).toMatch('the disk is full (ENOSPC)')
    expect(run.posted).toContainEqual({ kind: 'written', reason: 'periodic' })
    expect(readFileSync(path)).toEqual(before)
    expect(existsSync(`${path}.new`)).toBe(false)
  })

  test('that was full at the start need not be at the stop', () => {
    const path = freshPath()
    written(path)
    let isFull = true
    const system: FileSystem = {
      ...fs,
      writeSync: ((...args: never[]) => {
        if (isFull) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
        return (fs.writeSync as (...args: never[]) => number)(...args)
      }) as typeof fs.writeSync,
    }
    const run = new Run(path, { fs: system }).restore()
    expect(run.log('snapshot_unavailable')).toMatch('the disk is full (ENOSPC)')
    run.do({ kind: 'write', reason: 'periodic' })
    expect(run.log('snapshot_failed')).toMatch('the disk is full (ENOSPC)')
    isFull = false
    run.stop()
    expect(run.log('snapshot_written')).toMatch('2 items')
    expect(existsSync(`${path}.lock`)).toBe(false)
    expect(new Run(path).restore().client.find('stays')).toBeDefined()
  })

  test('that can only be read costs the snapshot: it could not be removed, so it is not used', () => {
    const path = freshPath()
    written(path)
    const readOnly = {
      ...failing('EROFS', 'renameSync', 'unlinkSync', 'writeSync'),
      openSync: ((file: string, flags: number, mode?: number) => {
        if ((flags & fs.constants.O_WRONLY) !== 0) {
          throw Object.assign(new Error('EROFS'), { code: 'EROFS' })
        }
        return fs.openSync(file, flags, mode)
      }) as typeof fs.openSync,
    }
    const run = new Run(path, { fs: readOnly })
    expect(run.touched).toBeUndefined()
    expect(run.log('snapshot_unavailable')).toMatch('can only be read (EROFS)')
    expect(run.log('snapshot_refused')).toMatch('could not be removed')
    run.do({ kind: 'write', reason: 'stop' })
    expect(run.events()).toContain('snapshot_failed')
    expect(run.posted).toContainEqual({ kind: 'written', reason: 'stop' })
    // Who takes what may be out of date may have it from there, too.
    const stale = new Run(path, { fs: readOnly, settings: { takesStale: true } }).restore()
    expect(stale.client.find('stays')).toBeDefined()
  })

  test('whose folder is not there costs the snapshot', () => {
    const path = join(directory, 'none', 'snapshot')
    const run = new Run(path)
    expect(run.log('snapshot_unavailable')).toMatch('there is no such folder')
    expect(run.log('snapshot_unavailable')).toMatch(path)
    run.do({ kind: 'write', reason: 'stop' })
    expect(run.posted).toContainEqual({ kind: 'written', reason: 'stop' })
  })
})

test('another server that lives is not started beside', () => {
  const path = freshPath()
  const first = new Run(path)
  const holder = JSON.parse(readFileSync(`${path}.lock`, 'utf8')) as Record<string, unknown>
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8')
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  writeFileSync(`${path}.lock`, JSON.stringify({ ...holder, pid: process.ppid, started }))
  const second = new Run(path)
  expect(second.posted).toEqual([
    { kind: 'refused', message: expect.stringMatching(`process ${process.ppid}`) },
  ])
  first.do({ kind: 'write', reason: 'stop' })
  expect(first.log('snapshot_failed')).toMatch('another server has taken the file over')
})

test('a stop while items come back writes all of them: it waits for its turn', () => {
  const path = freshPath()
  written(path)
  const second = new Run(path)
  second.send({ kind: 'restore' })
  second.send({ kind: 'write', reason: 'stop' })
  second.settle()
  expect(second.log('snapshot_written')).toMatch('2 items')
})

test('what is given up before it is begun is not begun, also where the restore was ended by that', () => {
  const path = freshPath()
  written(path)
  const run = new Run(path)
  run.send({ kind: 'restore' })
  run.do({ kind: 'give-up' })
  run.do({ kind: 'write', reason: 'stop' })
  expect(run.posted).toContainEqual({ kind: 'written', reason: 'stop' })
  expect(run.log('snapshot_failed')).toMatch('given up')
  expect([existsSync(path), existsSync(`${path}.new`)]).toEqual([false, false])
})

test('a stop does not wait for periodic snapshots, neither for one under way nor for one that waits', () => {
  const path = freshPath()
  const run = large(path)
  run.send({ kind: 'write', reason: 'periodic' })
  run.clock.turn()
  run.send({ kind: 'write', reason: 'periodic' })
  run.do({ kind: 'write', reason: 'stop' })
  expect(run.hurried).toBe(true)
  expect(run.events().filter((event) => event === 'snapshot_begun')).toHaveLength(2)
  expect(run.events().filter((event) => event === 'snapshot_written')).toHaveLength(1)
  expect(run.log('snapshot_written')).toMatch('"reason":"stop"')
  expect(run.events()).not.toContain('snapshot_failed')
  expect(run.posted.filter(({ kind }) => kind === 'written')).toHaveLength(3)
})

test('a stop that is given up at once says so, also where it waits for the end of a periodic snapshot', () => {
  const run = large(freshPath())
  run.send({ kind: 'write', reason: 'periodic' })
  run.clock.turn()
  run.send({ kind: 'write', reason: 'stop' })
  run.do({ kind: 'give-up' })
  expect(run.log('snapshot_failed')).toMatch('given up')
  expect(run.events()).not.toContain('snapshot_written')
})

test('a write that is given up leaves nothing, and is answered', () => {
  const path = freshPath()
  const run = new Run(path)
  run.client.write('key', 'v')
  run.send({ kind: 'write', reason: 'stop' })
  run.do({ kind: 'give-up' })
  expect(run.posted).toContainEqual({ kind: 'written', reason: 'stop' })
  expect([existsSync(path), existsSync(`${path}.new`)]).toEqual([false, false])
})

test('how far it is is told at each tenth', () => {
  const path = freshPath()
  const run = large(path)
  run.do({ kind: 'write', reason: 'stop' })
  expect(run.events().filter((event) => event === 'snapshot_writing').length).toBeGreaterThan(3)
})
