/** What a configuration means for the thread that keeps the snapshot. */
import { dirname } from 'node:path'
import type { ClockBase } from '../../base/clock.ts'
import { EXIT_CONFIG } from '../../base/exit-code.ts'
import type { Config } from '../../config/config.ts'
import { DEFAULT_NAMESPACE } from '../../credential/namespaces.ts'
import { readSnapshotKey, SnapshotKeyError } from '../../credential/snapshot-seal.ts'
import { mayMakeFiles } from '../files/as-user.ts'
import type { SystemUser } from '../files/process-files.ts'
import type { SnapshotSettings } from '../snapshot/snapshot-messages.ts'
import type { SharedMemory } from '../worker/worker-messages.ts'
import { StartError } from './start-error.ts'

/**
 * Undefined: items do not outlive the server. Throws StartError if the key cannot be had, or if who the process becomes
 * could write no snapshot: root would take the one that is there, and the next stop would lose what it had.
 */
export function snapshotSettings(
  { snapshot, process: processConfig }: Config,
  { store, namespaces }: SharedMemory,
  clock: ClockBase,
  owner: SystemUser | undefined,
): SnapshotSettings | undefined {
  if (snapshot === undefined) return undefined
  if (owner !== undefined) refuseForeignFolder(dirname(snapshot.path), owner)
  const all = [{ ...DEFAULT_NAMESPACE, store }, ...namespaces]
  return {
    path: snapshot.path,
    secret: snapshot.keyFile === undefined ? undefined : readKey(snapshot.keyFile),
    owner,
    takesStale: snapshot.takesStale,
    clock,
    workerIndex: processConfig.threads,
    namespaces: all.map((each) => ({ name: each.name, id: each.id, store: each.store })),
  }
}

function refuseForeignFolder(folder: string, owner: SystemUser): void {
  if (mayMakeFiles(folder, owner)) return
  const { name } = owner
  const message =
    `no snapshot could be written: ${name} (-u) may not write to ${folder}, and what is there stays as it is; ` +
    `give the folder to that user (chown ${name} ${folder})`
  throw new StartError(message, EXIT_CONFIG)
}

function readKey(path: string): Uint8Array {
  try {
    return readSnapshotKey(path)
  } catch (error) {
    if (!(error instanceof SnapshotKeyError)) throw error
    throw new StartError(error.message, EXIT_CONFIG, error)
  }
}
