/** What the second thread runs that restores a snapshot. An exception here ends the process: it may hold a lock. */
import { workerData } from 'node:worker_threads'
import { threadClock } from '../worker/thread-clock.ts'
import { ChunkRestorer } from './chunk-restorer.ts'
import { NICENESS_BEHIND_CLIENTS, setNiceness } from './niceness.ts'
import type { SecondSettings } from './snapshot-messages.ts'

setNiceness(NICENESS_BEHIND_CLIENTS)
new ChunkRestorer(workerData as SecondSettings, threadClock).run()
