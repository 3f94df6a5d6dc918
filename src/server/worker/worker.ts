/**
 * What a worker thread runs. An exception here is a programmer error and may have left a lock held: it
 * is not caught, the thread dies, and the main thread takes the process down (exit code 70).
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { useTables } from '../../credential/prepare.ts'
import { loadTokenTools } from '../../credential/token-verifier.ts'
import { threadClock } from './thread-clock.ts'
import type { WorkerSettings } from './worker-messages.ts'
import { WorkerServer } from './worker-server.ts'

assert(parentPort !== null, 'worker.ts runs as a worker thread')
const settings = workerData as WorkerSettings
if (settings.auth !== undefined) useTables(settings.auth.codePoints)
if (settings.auth?.tokens !== undefined) await loadTokenTools()
void new WorkerServer(settings, parentPort, threadClock).start()
