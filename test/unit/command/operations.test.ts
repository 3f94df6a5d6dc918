/** Every operation: its right, whether a server offers it, what it does, and by which words it is asked for. */
import { describe, expect, test } from 'vitest'
import { ItemDump } from '../../../src/command/operations/dump.ts'
import { ItemSizes } from '../../../src/command/operations/item-sizes.ts'
import {
  carryOut,
  isOffered,
  OPERATIONS,
  type OperationParts,
} from '../../../src/command/operations/operations.ts'
import { FixedRows } from '../../../src/command/operations/rows.ts'
import type { Right } from '../../../src/credential/rights.ts'
import {
  createPrefixMemory,
  DEFAULT_DELIMITER,
  PrefixTable,
} from '../../../src/observe/prefix-table.ts'
import { SIZES_WORD, WATCH_FETCHERS, WATCH_MUTATIONS } from '../../../src/observe/watch-memory.ts'
import { operationOfStatKey } from '../../../src/protocol/binary/stat-keys.ts'
import {
  findOperation,
  type OperationArgument,
  type OperationName,
  readArgument,
} from '../../../src/protocol/text/operations.ts'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { Store } from '../../../src/storage/store.ts'

/** Who may do everything. */
const ANYBODY = { isOpen: true, restriction: undefined, namespace: 0 }

/** What each takes; whoever changes a right changes who may do something, so it stands here again. */
const RIGHTS: Readonly<Record<OperationName, Right>> = {
  stats: 'stats',
  'stats-reset': 'admin',
  'sizes-enable': 'admin',
  'sizes-disable': 'admin',
  'prefixes-enable': 'admin',
  'prefixes-disable': 'admin',
  'prefixes-dump': 'dump',
  'dump-items': 'dump',
  'dump-keys': 'dump',
  'dump-cache': 'dump',
  watch: 'watch',
  verbosity: 'admin',
  'memory-limit': 'admin',
  tune: 'admin',
  'refresh-certificates': 'admin',
  'cluster-nodes': 'read',
  flush: 'flush',
  namespace: 'admin',
  shutdown: 'admin',
}

/** A line that asks for it, and what is asked for then; those without are verbs of their own. */
const LINES: Readonly<
  Record<OperationName, readonly [line: string, argument: object] | undefined>
> = {
  stats: ['stats slabs', { words: 'slabs' }],
  'stats-reset': ['stats reset', {}],
  'sizes-enable': ['stats sizes_enable', {}],
  'sizes-disable': ['stats sizes_disable', {}],
  'prefixes-enable': ['stats detail on', {}],
  'prefixes-disable': ['stats detail off', {}],
  'prefixes-dump': ['stats detail dump', {}],
  'dump-items': ['lru_crawler metadump all', {}],
  'dump-keys': ['lru_crawler mgdump 1', {}],
  'dump-cache': ['stats cachedump 1 5', { number: 5 }],
  watch: ['watch fetchers mutations', { words: 'fetchers mutations' }],
  verbosity: undefined,
  'memory-limit': ['cache_memlimit 64', { number: 64 }],
  tune: ['lru_crawler enable', {}],
  'refresh-certificates': ['refresh_certs', {}],
  'cluster-nodes': ['config get cluster', { words: 'CONFIG cluster 0' }],
  flush: undefined,
  namespace: ['namespace shop watch', { words: 'shop' }],
  shutdown: ['shutdown graceful', {}],
}

const NAMES = Object.keys(RIGHTS) as OperationName[]

interface Server {
  readonly parts: OperationParts
  readonly done: string[]
  readonly observed: Int32Array
}

function server(options: Partial<OperationParts> = {}): Server {
  const memory = createStoreMemory({
    memoryBytes: 8 * 1024 * 1024,
    itemBytesMax: 1024 * 1024,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
  })
  const store = new Store(memory, 0)
  const observed = new Int32Array(new SharedArrayBuffer(64))
  const done: string[] = []
  const parts: OperationParts = {
    shutdownEnabled: true,
    watchEnabled: true,
    dumpEnabled: true,
    stats: (group) => (group === 'none' ? undefined : new FixedRows([[group, '1']])),
    resetStats: () => done.push('reset'),
    prefixes: new PrefixTable(createPrefixMemory(DEFAULT_DELIMITER, [1, 2]), observed),
    sizes: new ItemSizes(store, observed, true),
    dump: (form) => new ItemDump(store, form),
    setMemoryLimit: (mib) => done.push(`limit ${mib}`) > 0 && mib !== 63,
    setVerbosity: (level) => done.push(`verbosity ${level}`),
    shutdown: () => done.push('shutdown'),
    refreshCertificates: undefined,
    cluster: { current: undefined },
    ...options,
  }
  return { parts, done, observed }
}

const NOTHING: OperationArgument = { words: '', number: 0 }

test('every operation names the right that it takes', () => {
  expect(Object.keys(OPERATIONS)).toEqual(NAMES)
  const rights = Object.entries(OPERATIONS).map(([name, { right }]) => [name, right])
  expect(Object.fromEntries(rights)).toEqual(RIGHTS)
})

test.each(NAMES)('%s is asked for by its line, and by no other operation’s', (name) => {
  const line = LINES[name]
  if (line === undefined) {
    expect(['verbosity', 'flush']).toContain(name)
    return
  }
  const words = line[0].split(' ')
  const row = findOperation(words)
  expect(row?.operation).toBe(name)
  expect(row && readArgument(row, words)).toEqual({ ...NOTHING, ...line[1] })
})

test('a line of none of them is nobody’s', () => {
  for (const line of ['', 'get a', 'Stats', 'watcher', 'lru_crawle']) {
    expect(findOperation(line.split(' '))).toBeUndefined()
  }
})

const OF_DUMPS = NAMES.filter((name) => /^(dump|prefixes)-/.test(name))

test.each([
  ['dumpEnabled', OF_DUMPS],
  ['watchEnabled', ['watch']],
  ['shutdownEnabled', ['shutdown']],
] as const)('without %s %s are not offered, and do nothing', (flag, names) => {
  const all = server().parts
  expect(NAMES.filter((name) => !isOffered(name, all))).toEqual([
    'refresh-certificates',
    'cluster-nodes',
  ])
  const { parts, done, observed } = server({ [flag]: false })
  const missing = NAMES.filter((name) => isOffered(name, all) && !isOffered(name, parts))
  expect(missing).toEqual(names)
  for (const name of names) {
    const argument = { words: 'fetchers', number: 1 }
    const answer = carryOut(name, parts, argument, ANYBODY)
    expect([name, answer]).toEqual([name, { kind: 'refused', reason: 'unknown' }])
  }
  expect([done, ...observed]).toEqual([[], ...new Array<number>(observed.length).fill(0)])
})

test('what costs more than a request says so', () => {
  const costly = NAMES.filter((name) => OPERATIONS[name].isCostly)
  expect(costly).toEqual(['stats-reset', 'memory-limit', 'refresh-certificates'])
})

describe('carried out', () => {
  test('statistics are rows of a group that there is', () => {
    const { parts } = server()
    const answer = carryOut('stats', parts, { ...NOTHING, words: 'slabs' }, ANYBODY)
    expect(answer.kind === 'rows' && answer.rows.next(0)).toEqual([['slabs', '1']])
    const none = carryOut('stats', parts, { ...NOTHING, words: 'none' }, ANYBODY)
    expect(none).toEqual({ kind: 'refused', reason: 'unknown' })
  })

  test('a reset clears the counters and the prefixes', () => {
    const { parts, done } = server()
    parts.prefixes.count(0, Buffer.from('a:b'), 0, 3)
    expect(carryOut('stats-reset', parts, NOTHING, ANYBODY)).toEqual({ kind: 'done' })
    expect(done).toEqual(['reset'])
    expect(parts.prefixes.entryCount).toBe(0)
  })

  test('sizes and prefixes are counted or not', () => {
    const { parts, observed } = server()
    for (const [name, word] of [
      ['sizes-enable', 1],
      ['sizes-disable', 0],
    ] as const) {
      const answer = carryOut(name, parts, NOTHING, ANYBODY)
      expect(answer.kind === 'rows' && answer.rows.next(0)?.length).toBe(1)
      expect(observed[SIZES_WORD]).toBe(word)
    }
    for (const [name, isEnabled] of [
      ['prefixes-enable', true],
      ['prefixes-disable', false],
    ] as const) {
      expect(carryOut(name, parts, NOTHING, ANYBODY)).toEqual({ kind: 'done' })
      expect(parts.prefixes.isEnabled).toBe(isEnabled)
    }
  })

  test.each(['prefixes-dump', 'dump-items', 'dump-keys', 'dump-cache'] as const)(
    '%s is lines, in steps that end',
    (name) => {
      const { parts } = server()
      const answer = carryOut(name, parts, { ...NOTHING, number: 3 }, ANYBODY)
      if (answer.kind !== 'lines') throw new Error(`${name}: ${answer.kind}`)
      let steps = 0
      while (answer.lines.next(0) !== undefined) steps++
      expect(steps).toBeLessThan(10_000)
    },
  )

  test('a watch is of the kinds that are named, or of those of fetchers', () => {
    const { parts } = server()
    const kindsOf = (words: string) => carryOut('watch', parts, { ...NOTHING, words }, ANYBODY)
    expect(kindsOf('')).toEqual({ kind: 'watch', kinds: WATCH_FETCHERS })
    const both = WATCH_FETCHERS | WATCH_MUTATIONS
    expect(kindsOf('mutations fetchers')).toEqual({ kind: 'watch', kinds: both })
    expect(kindsOf('rawcmds')).toEqual({ kind: 'watch', kinds: 0 })
    expect(kindsOf('fetchers nothing')).toEqual({ kind: 'refused', reason: 'unknown' })
  })

  test('a memory limit is set within its bounds only', () => {
    const { parts, done } = server()
    const limit = (number: number) =>
      carryOut('memory-limit', parts, { ...NOTHING, number }, ANYBODY)
    expect(limit(7)).toEqual({ kind: 'refused', reason: 'too-small' })
    expect(limit(1_000_000_001)).toEqual({ kind: 'refused', reason: 'too-large' })
    expect(done).toEqual([])
    expect(limit(63)).toEqual({ kind: 'refused', reason: 'failed' })
    expect(limit(8)).toEqual({ kind: 'done' })
    expect(limit(1_000_000_000)).toEqual({ kind: 'done' })
    expect(done).toEqual(['limit 63', 'limit 8', 'limit 1000000000'])
  })

  test('certificates are loaded again where there is TLS, and what came of it is told later', async () => {
    const { parts } = server({ refreshCertificates: () => Promise.resolve('wrong') })
    const answer = carryOut('refresh-certificates', parts, NOTHING, ANYBODY)
    if (answer.kind !== 'later') throw new Error(answer.kind)
    expect(await answer.problem).toBe('wrong')
    const without = carryOut('refresh-certificates', server().parts, NOTHING, ANYBODY)
    expect(without).toEqual({ kind: 'refused', reason: 'unknown' })
  })

  test('verbosity and shutdown reach the server', () => {
    const { parts, done } = server()
    expect(carryOut('verbosity', parts, { ...NOTHING, number: 2 }, ANYBODY)).toEqual({
      kind: 'done',
    })
    expect(carryOut('shutdown', parts, NOTHING, ANYBODY)).toEqual({ kind: 'close' })
    expect(done).toEqual(['verbosity 2', 'shutdown'])
  })

  test('what tunes parts that are not here does nothing', () => {
    const { parts, done } = server()
    expect(carryOut('tune', parts, NOTHING, ANYBODY)).toEqual({ kind: 'done' })
    expect(done).toEqual([])
  })
})

test.each([
  ['reset', 'stats-reset'],
  ['sizes_enable', 'sizes-enable'],
  ['sizes_disable', 'sizes-disable'],
  ['detail on', 'prefixes-enable'],
  ['detail off', 'prefixes-disable'],
  ['detail dump', 'prefixes-dump'],
  ['', 'stats'],
  ['reset ', 'stats'],
  ['cachedump 1 0', 'stats'],
] as const)('the binary key "%s" asks for %s', (key, name) => {
  expect(operationOfStatKey(key)).toBe(name)
})
