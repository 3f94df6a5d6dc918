/** What the thread of the snapshot runs. As with a worker, an exception here ends the process: it may hold a lock. */
import fs from 'node:fs'
import { availableParallelism } from 'node:os'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { threadClock } from '../worker/thread-clock.ts'
import { NICENESS_BEHIND_CLIENTS, setNiceness } from './niceness.ts'
import type { WaitForWord } from './second-restorer.ts'
import { SnapshotKeeper } from './snapshot-keeper.ts'
import type { SecondSettings, SnapshotSettings } from './snapshot-messages.ts'

assert(parentPort !== null, 'snapshot-thread.ts runs as a thread')
setNiceness(NICENESS_BEHIND_CLIENTS)
new SnapshotKeeper(workerData as SnapshotSettings, parentPort, threadClock, {
  fs,
  wallMs: Date.now,
  hurry: () => setNiceness(0),
  ...(availableParallelism() > 1 && { startSecond }),
}).start()

/** Beside the bundle that this is in. */
function startSecond(settings: SecondSettings): WaitForWord {
  const second = new Worker(new URL('./second-thread.js', import.meta.url), {
    workerData: settings,
  })
  second.on('error', (error) => {
    throw error
  })
  return Atomics.wait
}
