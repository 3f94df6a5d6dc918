/** Stores that write a snapshot into memory and take it in again, for tests. */
import { casMarkOf, continueCas } from '../../../src/storage/cas-source.ts'
import type { StoreMemory } from '../../../src/storage/geometry.ts'
import { RestoreOrder, type Restorer } from '../../../src/storage/restorer.ts'
import {
  type IntakeTarget,
  SnapshotIntake,
  type TimeShift,
} from '../../../src/storage/snapshot-intake.ts'
import { SnapshotWalk } from '../../../src/storage/snapshot-walk.ts'
import type { Store } from '../../../src/storage/store.ts'
import { createTouchedMemory } from '../../../src/storage/touched-keys.ts'

export interface Chunks {
  readonly chunks: Uint8Array[]
  readonly walk: SnapshotWalk
}

/** All items of a store; `between` is called after each step. */
export function chunksOf(
  store: Store,
  nowSeconds: number,
  between: () => void = () => undefined,
): Chunks {
  const chunks: Uint8Array[] = []
  const walk = new SnapshotWalk(store, 0, nowSeconds, (payload, length) => {
    chunks.push(payload.slice(0, length))
  })
  while (walk.step(nowSeconds)) between()
  return { chunks, walk }
}

export const SAME_TIME: TimeShift = { seconds: 0, isKnown: true, writtenSeconds: 1_700_000_000 }

export function targetOf(
  store: Store,
  memory: StoreMemory,
  walk: SnapshotWalk,
): IntakeTarget & { readonly touched: SharedArrayBuffer } {
  const touched = createTouchedMemory(memory.geometry.memoryBytes)
  const { memoryBytes, evicts } = memory.geometry
  const { ageBytes, itemCount } = walk
  return {
    store,
    restorer: store.createRestorer(touched),
    memoryBytes,
    evicts,
    ageBytes,
    itemCount,
    touched,
  }
}

/** Takes all of it in; `between` is called after each step of `count` items. */
export function takeIn(
  target: IntakeTarget | undefined,
  chunks: readonly Uint8Array[],
  nowSeconds: number,
  shift: TimeShift = SAME_TIME,
  between: () => void = () => undefined,
  count = 1,
): SnapshotIntake {
  const intake = new SnapshotIntake([target], shift)
  for (const chunk of chunks) {
    intake.take(chunk, chunk.length)
    while (intake.step(count, nowSeconds)) between()
    between()
  }
  intake.close()
  return intake
}

/** Puts one item back. */
export function restoreOne(
  restorer: Restorer,
  key: string,
  value: string,
  nowSeconds: number,
  fields: Partial<RestoreOrder> = {},
): number {
  const keyBytes = Buffer.from(key, 'latin1')
  const valueBytes = Buffer.from(value, 'latin1')
  const order = Object.assign(new RestoreOrder(), fields)
  order.setKey(keyBytes, 0, keyBytes.length)
  order.setValue(valueBytes, 0, valueBytes.length)
  order.nowSeconds = nowSeconds
  return restorer.restore(order)
}

/** As a server that starts does. */
export function continueFrom(from: StoreMemory, to: StoreMemory): void {
  continueCas(to, casMarkOf(from), false)
}
