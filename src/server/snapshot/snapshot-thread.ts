/** What the thread of the snapshot runs. As with a worker, an exception here ends the process: it may hold a lock. */
import fs from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { threadClock } from '../worker/thread-clock.ts'
import { SnapshotKeeper } from './snapshot-keeper.ts'
import type { SnapshotSettings } from './snapshot-messages.ts'

/** Clients go first where there is not CPU for all. */
const NICENESS = 10

assert(parentPort !== null, 'snapshot-thread.ts runs as a thread')
setNiceness(NICENESS)
new SnapshotKeeper(workerData as SnapshotSettings, parentPort, threadClock, {
  fs,
  wallMs: Date.now,
  hurry: () => setNiceness(0),
}).start()

/** On Linux that is of this thread alone. */
function setNiceness(niceness: number): void {
  try {
    if (process.platform === 'linux') setPriority(0, niceness)
  } catch {
    // Some sandboxes forbid it, and only some users may take it back.
  }
}
