/** A namespace as the thread that keeps the snapshot sees it. */
import type { Store } from '../../storage/store.ts'
import type { SnapshotNamespace } from './snapshot-messages.ts'

export interface SnapshotTenant extends SnapshotNamespace {
  readonly view: Store
}
