/**
 * The namespaces of a running server: their memory, made and ended as the users file has them, and handed to
 * the workers.
 *
 * Invariant: the memory of a namespace goes back to the others when every worker has left it and no reply is being
 * sent from it, and what is new gets its quota after that. Changes are carried out one after the other.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { assert } from '../../base/assert.ts'
import type { Namespace } from '../../credential/namespaces.ts'
import { NAMESPACE_DEFAULT } from '../../credential/principal.ts'
import { createCounterMemory } from '../../observe/counters.ts'
import { createPrefixMemory } from '../../observe/prefix-table.ts'
import { memoryLimitOf } from '../../storage/counters.ts'
import type { StoreMemory } from '../../storage/geometry.ts'
import {
  addNamespace,
  dropNamespace,
  hasPins,
  quotaProblems,
  setQuota,
} from '../../storage/namespaces.ts'
import type { NamespaceMemory } from '../worker/worker-messages.ts'
import type { WorkerPool } from './worker-pool.ts'

/** How often it is looked whether replies are still being sent. */
const PINS_LOOK_MS = 5

export interface NamespaceMemoriesOptions {
  readonly store: StoreMemory
  /** What each gets, whatever its file says: where the items are elsewhere. */
  readonly quotaBytes?: number | undefined
  readonly delimiter: number
  readonly randomSeed: () => readonly [number, number]
}

interface Leaving {
  awaitedCount: number
  readonly resolve: () => void
}

export class NamespaceMemories {
  private readonly options: NamespaceMemoriesOptions
  private readonly byName: Map<string, NamespaceMemory> = new Map()
  private readonly leaving: Map<number, Leaving> = new Map()
  private changeCount = 0

  constructor(options: NamespaceMemoriesOptions) {
    this.options = options
  }

  get all(): readonly NamespaceMemory[] {
    return [...this.byName.values()]
  }

  /** Why those namespaces cannot be; empty if they can. */
  problemsOf(wanted: readonly Namespace[]): string[] {
    const existing = new Map([...this.byName].map(([name, { store }]) => [name, store]))
    return quotaProblems(this.options.store, this.quotasOf(wanted), existing)
  }

  /** At the start, before there are workers. */
  begin(wanted: readonly Namespace[]): void {
    for (const namespace of this.quotasOf(wanted)) this.add(namespace)
  }

  /**
   * Makes the namespaces be those, of which problemsOf() found none. Resolves with those that are new, of
   * which the workers are to be told.
   */
  async change(
    wanted: readonly Namespace[],
    workers: Pick<WorkerPool, 'size' | 'broadcast'>,
  ): Promise<readonly NamespaceMemory[]> {
    const { store } = this.options
    const names = new Set(wanted.map(({ name }) => name))
    const gone = this.all.filter(({ name }) => !names.has(name))
    if (gone.length > 0) {
      await this.whenLeft(gone, workers)
      await whenSent(gone)
      for (const { name, store: memory } of gone) {
        this.byName.delete(name)
        dropNamespace(store, memory)
      }
    }
    const known = this.quotasOf(wanted).flatMap((namespace) => {
      const memory = this.byName.get(namespace.name)?.store
      if (memory === undefined) return []
      return [
        {
          memory,
          bytes: namespace.memoryBytes,
          more: namespace.memoryBytes - memoryLimitOf(memory),
        },
      ]
    })
    // Those that get less first, so that the sum is never more than it may be.
    known.sort((a, b) => a.more - b.more)
    for (const { memory, bytes, more } of known) if (more !== 0) setQuota(store, memory, bytes)
    const added = this.quotasOf(wanted).filter(({ name }) => !this.byName.has(name))
    return added.map((namespace) => this.add(namespace))
  }

  /** One more worker has left the namespaces of a change. */
  left(changeId: number): void {
    const leaving = this.leaving.get(changeId)
    assert(leaving !== undefined, 'workers leave namespaces once each')
    leaving.awaitedCount--
    if (leaving.awaitedCount > 0) return
    this.leaving.delete(changeId)
    leaving.resolve()
  }

  private whenLeft(
    gone: readonly NamespaceMemory[],
    workers: Pick<WorkerPool, 'size' | 'broadcast'>,
  ): Promise<void> {
    const changeId = ++this.changeCount
    const ids = gone.map(({ id }) => id)
    return new Promise((resolve) => {
      this.leaving.set(changeId, { awaitedCount: workers.size, resolve })
      workers.broadcast({ kind: 'leave-namespaces', ids, changeId })
    })
  }

  /** Those beside the default one, with what they get. */
  private quotasOf(wanted: readonly Namespace[]): readonly Namespace[] {
    const { quotaBytes } = this.options
    return wanted
      .filter(({ id }) => id !== NAMESPACE_DEFAULT)
      .map((each) => (quotaBytes === undefined ? each : { ...each, memoryBytes: quotaBytes }))
  }

  private add({ name, id, memoryBytes }: Namespace): NamespaceMemory {
    const { store, delimiter, randomSeed } = this.options
    const memory = {
      name,
      id,
      store: addNamespace(store, {
        namespace: id,
        quotaBytes: memoryBytes,
        // Keys that collide in one must not do so in another.
        seed: randomSeed(),
      }),
      counters: createCounterMemory(store.geometry.workerCount),
      prefixes: createPrefixMemory(delimiter, randomSeed()),
    }
    this.byName.set(name, memory)
    return memory
  }
}

/** Connections that were closed let go of what was being sent some turns later. */
async function whenSent(gone: readonly NamespaceMemory[]): Promise<void> {
  while (gone.some(({ store }) => hasPins(store))) await delay(PINS_LOOK_MS)
}
