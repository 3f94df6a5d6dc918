import { expect, test } from 'vitest'
import { EXIT_OS } from '../../../../src/base/exit-code.ts'
import { NAMESPACES_MAX } from '../../../../src/base/namespaces-max.ts'
import type { Config } from '../../../../src/config/config.ts'
import { DEFAULT_NAMESPACE } from '../../../../src/credential/namespaces.ts'
import { createSharedMemory } from '../../../../src/server/main/shared-memory.ts'
import { StartError } from '../../../../src/server/main/start-error.ts'
import { createStoreMemory } from '../../../../src/storage/geometry.ts'
import { load } from '../../config/support.ts'

const MEBIBYTE = 1024 * 1024

async function smallConfig(): Promise<Config> {
  const config = await load({ flags: ['-t', '2'] })
  const memory = { limitBytes: 64 * MEBIBYTE, limitBytesMax: 256 * MEBIBYTE }
  return { ...config, memory: { ...config.memory, ...memory } }
}

/** Of a system that reserves so much and no more. */
function giving(bytesMax: number): typeof createStoreMemory {
  return (options) => {
    if ((options.memoryBytesMax ?? options.memoryBytes) > bytesMax) throw new RangeError('too much')
    return createStoreMemory(options)
  }
}

function create(config: Config, bytesMax: number) {
  const said: string[] = []
  const { shared: memory } = createSharedMemory(
    config,
    1,
    (_, event) => said.push(event),
    giving(bytesMax),
  )
  return { said, memory }
}

test('there is room for the limit to rise', async () => {
  const { said, memory } = create(await smallConfig(), 256 * MEBIBYTE)
  expect(memory.store.geometry.memoryBytesMax).toBe(256 * MEBIBYTE)
  expect(said).toEqual([])
})

test('that room is left out, and said so, where the system does not reserve it', async () => {
  const { said, memory } = create(await smallConfig(), 255 * MEBIBYTE)
  expect(memory.store.geometry.memoryBytesMax).toBe(64 * MEBIBYTE)
  expect(said).toEqual(['memory_limit_fixed'])
})

test('memory that the system does not give at all fails the start', async () => {
  const config = await smallConfig()
  const fail = (): unknown => create(config, 63 * MEBIBYTE)
  expect(fail).toThrow(StartError)
  expect(fail).toThrow(expect.objectContaining({ exitCode: EXIT_OS }))
})

test.each([
  ['1', 0],
  ['2', 32],
  ['64', 0],
])(
  'where the items are elsewhere, with -t %s and %i namespaces at first, neither -I nor quotas take memory',
  async (threads, first) => {
    const flags = ['-t', threads, '-I', '64m', '--store', 'cluster', '--store-nodes', '192.0.2.1:1']
    const config = await load({ flags })
    const all = Array.from({ length: NAMESPACES_MAX }, (_, index) => ({
      name: `n${index}`,
      id: index + 1,
      memoryBytes: index % 2 === 0 ? MEBIBYTE : 8192 * MEBIBYTE,
    }))
    const wanted = (count: number) => [DEFAULT_NAMESPACE, ...all.slice(0, count)]
    const { namespaces } = createSharedMemory(config, 1, () => undefined, undefined, wanted(first))
    expect(namespaces.all).toHaveLength(first)
    expect(namespaces.problemsOf(wanted(NAMESPACES_MAX))).toEqual([])
    const workers = { size: 1, broadcast: () => undefined }
    const added = await namespaces.change(wanted(NAMESPACES_MAX), workers)
    expect(added).toHaveLength(NAMESPACES_MAX - first)
    expect(namespaces.all).toHaveLength(NAMESPACES_MAX)
  },
)
