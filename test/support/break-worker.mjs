/**
 * Loaded into a server under test with `node --import`: what breaks a worker thread in the ways that
 * the product has no switch for. It watches for a file named by BREAK_WORKER, whose content says what
 * the second worker is to do: `throw`, `exit`, or `hang`.
 */
import { existsSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { isMainThread, workerData } from 'node:worker_threads'

const file = process.env.BREAK_WORKER
const POLL_INTERVAL_MS = 10

if (!isMainThread && file !== undefined && workerData?.workerIndex === 1) {
  if (process.env.BREAK_WORKER_AT_START === '1') throw new Error('broken at start')
  setInterval(() => {
    if (!existsSync(file)) return
    const what = readFileSync(file, 'utf8')
    if (what === 'throw') throw new Error('broken on purpose')
    if (what === 'exit') process.exit(3)
    if (what === 'hang') for (;;);
  }, POLL_INTERVAL_MS)
}
