/** Connections that come and go, as `watch connevents` tells of them. */
import type { Connection } from '../../connection/connection.ts'
import { NAMESPACE_DEFAULT } from '../../credential/principal.ts'
import type { WatchLog } from '../../observe/watch-log.ts'
import { WATCH_CONNEVENTS } from '../../observe/watch-memory.ts'

/** `command`: CONNECTION_NEW or CONNECTION_CLOSE. */
export function tellWatchers(watchLog: WatchLog, connection: Connection, command: number): void {
  if (!watchLog.isWatched(WATCH_CONNEVENTS)) return
  const { record } = watchLog
  record.kind = WATCH_CONNEVENTS
  record.connectionId = connection.id
  record.command = command
  record.status = connection.closeReason
  const peer = Buffer.from(connection.transport.peer.text, 'latin1')
  // Connections are no tenant's: whoever may see the process is told.
  watchLog.write(NAMESPACE_DEFAULT, peer, 0, peer.length)
}
