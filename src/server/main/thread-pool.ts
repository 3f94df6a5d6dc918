/**
 * The threads on which keys are derived from passwords, libuv's pool: they get to run when the event
 * loops do not want to. A flood of wrong passwords, which costs strangers nothing and us 2 ms each,
 * then takes what is left of the processors, and not half of what who is logged in needs.
 *
 * libuv names its threads since the version in Node 22; on Node 20 they cannot be told from others and
 * keep their priority.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setPriority } from 'node:os'

const TASKS = '/proc/self/task'
const POOL_THREAD = /^libuv-worker/
/** Steps of nice: about a tenth of the time of an event loop on the same processor. */
const NICE = 10

/** Resolves to how many threads give way from now on; none where they cannot be told or changed. */
export async function yieldToEventLoops(): Promise<number> {
  // The pool begins with its first work.
  await stat('/')
  let count = 0
  try {
    for (const thread of readdirSync(TASKS)) {
      if (!POOL_THREAD.test(readFileSync(`${TASKS}/${thread}/comm`, 'latin1'))) continue
      // On Linux a thread is set by its own number.
      setPriority(Number(thread), NICE)
      count++
    }
  } catch {
    // Without /proc, or where a sandbox forbids it, logins compete as before.
  }
  return count
}
