/** The watch log, the prefix table and the observer of one worker, as the server puts them together. */
import { RequestObserver } from '../../src/command/local/request-observer.ts'
import { Watchers } from '../../src/connection/watchers.ts'
import {
  createPrefixMemory,
  DEFAULT_DELIMITER,
  PrefixTable,
} from '../../src/observe/prefix-table.ts'
import { WatchLog } from '../../src/observe/watch-log.ts'
import { createWatchMemory } from '../../src/observe/watch-memory.ts'
import type { Store } from '../../src/storage/store.ts'

export interface Observers {
  readonly log: WatchLog
  readonly prefixes: PrefixTable
  readonly observer: RequestObserver
  readonly watchers: Watchers
}

/** With the rings and buffers of the defaults; time stands still. */
export function createObservers(store: Store, lane: Float64Array): Observers {
  const memory = createWatchMemory(1, 64 * 1024)
  const log = new WatchLog(memory, 0, lane, () => 0)
  const prefixes = new PrefixTable(createPrefixMemory(DEFAULT_DELIMITER, [1, 2]), log.observed)
  const watchers = new Watchers({
    log,
    lane,
    secret: memory.secret,
    bufferBytesMax: 256 * 1024,
    onActiveChanged: () => undefined,
    soon: (run) => void setImmediate(run),
  })
  const observer = new RequestObserver(store, log, prefixes, () => watchers.drain())
  return { log, prefixes, observer, watchers }
}
