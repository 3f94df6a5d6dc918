/**
 * The end of a start that fails, or is asked to end, once there may be workers. They listen before the start is over, so clients
 * may have come: what the snapshot had may have been changed by then.
 *
 * Invariant: nobody touches the items who cannot be sure that no worker holds a lock.
 */
import { type CounterMemory, sumCounter } from '../../observe/counters.ts'
import type { Say } from './say.ts'
import type { Snapshots } from './snapshots.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface BegunStart {
  readonly workers: Pick<WorkerPool, 'abandon' | 'end'>
  readonly snapshots: Pick<Snapshots, 'abandon' | 'end'> | undefined
  /** Undefined: there is no worker yet. */
  readonly counters: CounterMemory | undefined
  readonly say: Say
}

/**
 * Resolves when no worker does anything any more, and the snapshot is there again. `onWrite`: that may take long from here.
 */
export async function giveUpStart(
  { workers, snapshots, counters, say }: BegunStart,
  onWrite: () => void,
): Promise<void> {
  const haveStopped = await workers.abandon()
  await workers.end()
  const hasServed =
    counters !== undefined && sumCounter(counters, 'total_connections', 'since-start') > 0
  if (snapshots === undefined) return
  if (!hasServed) await snapshots.abandon('put-back')
  else if (haveStopped) {
    onWrite()
    await snapshots.abandon('write')
  } else {
    say('error', 'snapshot_failed', 'no snapshot was written: a worker did not stop in time')
  }
  await snapshots.end(haveStopped)
}
