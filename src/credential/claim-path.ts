/**
 * Where in a token a claim is. `sub` is a member; `realm_access.roles` is a member of a member. Names of
 * claims may have dots in them (`https://example.com/roles`, `kubernetes.io`), so the longest name that
 * there is goes first, and what is behind it is looked for inside.
 *
 * Only members that a token itself has are found: `constructor` is nothing unless it says so.
 */
import { isRecord } from './token-keys.ts'

/** Undefined if there is none. The work is bounded by the dots of `path`, which is configured. */
export function findClaim(claims: unknown, path: string): unknown {
  if (!isRecord(claims)) return undefined
  if (Object.hasOwn(claims, path)) return claims[path]
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot)
    if (!Object.hasOwn(claims, name)) continue
    const found = findClaim(claims[name], path.slice(dot + 1))
    if (found !== undefined) return found
  }
  return undefined
}
