/**
 * What a node is asked to tell of changes (client-side caching, "Opt-in caching"): a connection speaks RESP3 and names
 * the reads of which copies are kept; when such a key changes, expires, is evicted or moves away, the node says so, on
 * the same connection and behind the reply to the read.
 *
 *     -> CLIENT CACHING YES   GET k      PTTL k
 *     <- +OK                  $5 value   :-1          ...   >2 invalidate [k]
 *
 * Chosen over the other ways: a broadcast by prefix (BCAST) has every thread of every gate told of every write (225 bytes a
 * write to eight connections were, and 5 to 15 of a hundred hot keys); a connection for the messages alone (REDIRECT) gives
 * up their order behind the replies. Not NOLOOP: a write of our own would end the tracking of the key unsaid
 * (findings/redis-noloop-ends-tracking.sh).
 *
 * Invariant: what is tracked is that of one connection in one epoch. When the connection is lost, the node has forgotten
 * all, or has shown that its keys are elsewhere, the epoch is over, and with it every copy of it.
 */
import type { Argument } from './cluster-client.ts'

/** The protocol in which a node can say something that was not asked for. */
export const SPEAK_RESP3: readonly Argument[] = ['HELLO', '3']
export const TRACK: readonly Argument[] = ['CLIENT', 'TRACKING', 'ON', 'OPTIN']

/** Before a read that is to be tracked. */
export const TRACK_NEXT: {
  readonly key: Buffer
  readonly args: readonly Argument[]
  readonly bytes: number
  settle(): void
} = {
  key: Buffer.alloc(0),
  args: ['CLIENT', 'CACHING', 'YES'],
  bytes: 16,
  settle: () => undefined,
}

/** Of one connection. */
export class Tracking {
  isOn = false
  epoch = 0

  /** Nothing of what was tracked is any more. */
  turnOver(): void {
    this.epoch++
  }

  end(): void {
    this.isOn = false
    this.epoch++
  }
}

/** Who keeps copies. */
export interface CopyKeeper {
  /** A key of the engine is not what it was. */
  invalidated(key: Buffer): void
  /** A node cannot, or may not, tell of changes: nothing of it is kept. */
  refused(error: Error): void
}

/** What a node says unasked: ["invalidate", keys], or null for all keys. Anything else is not for us. */
export function takePush(push: unknown, tracking: Tracking, keeper: CopyKeeper): void {
  if (!Array.isArray(push) || String(push[0]) !== 'invalidate') return
  const keys: unknown = push[1]
  if (!Array.isArray(keys)) {
    tracking.turnOver()
    return
  }
  for (const key of keys) if (Buffer.isBuffer(key)) keeper.invalidated(key)
}
