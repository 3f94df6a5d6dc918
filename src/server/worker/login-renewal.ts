/**
 * What a reload means for connections that are logged in: who they are from now on, and which of them end.
 *
 * Invariant: after it no connection has a right that the users in force do not give it, and none is in a namespace that is
 * not its user's, or is no more.
 */
import type { Connection } from '../../connection/connection.ts'
import type { LogEvent } from '../../observe/log.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'

/** Returns what the log is to be told. */
export function renewLogins(
  connections: Iterable<Connection>,
  credentials: SaslEnvironment['credentials'],
): readonly LogEvent[] {
  let removedCount = 0
  let movedCount = 0
  for (const connection of [...connections]) {
    const { principal } = connection.gate
    if (principal === undefined) continue
    const renewed = credentials.renew(principal)
    if (renewed?.namespace === principal.namespace) {
      connection.gate.become(renewed)
      connection.accessChanged()
      continue
    }
    if (renewed === undefined) removedCount++
    else movedCount++
    connection.drain()
  }
  return [
    cutEvent('removed_users_cut', 'of users that were removed', removedCount),
    cutEvent('moved_users_cut', 'of users that are in another namespace now', movedCount),
  ].filter((event) => event !== undefined)
}

/**
 * Closes those of namespaces that are no more, of who looks into them, and of who was there before another login: replies
 * may be on their way from its memory. Returns what the log is to be told.
 */
export function cutNamespaces(
  connections: Iterable<Connection>,
  ids: readonly number[],
): LogEvent | undefined {
  const cut = [...connections].filter(({ gate }) => ids.some((id) => gate.hasBeenIn(id)))
  for (const connection of cut) connection.close()
  return cutEvent('removed_namespace_cut', 'to namespaces that were removed', cut.length)
}

function cutEvent(event: string, which: string, count: number): LogEvent | undefined {
  if (count === 0) return undefined
  const message = `connections ${which} are closed`
  return { level: 'warn', event, message, fields: { connections: count } }
}
