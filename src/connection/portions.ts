/**
 * What one turn of a connection may cost, so that no client makes another wait: a worker gives those
 * who gave their turn away 4 ms in a row (worker.ts) and then reads from the others.
 *
 *   in a turn                                          bound                          about, at most
 *   requests, keys of a list                           -R, 500                            0.5 ms
 *   values copied in or out, items copied by touch     COPIED_BYTES_MAX, and the rest
 *     or append, items moved to make room                of the request that reaches it   0.2 ms
 *   one value of less than 2 MiB, in or out            one                                1 ms
 *   a larger one                                       512 KiB (command/transfers/)       0.3 ms
 *   what arrives of a large request                    ARRIVED_BYTES_MAX                  0.1 ms
 *   rows of statistics, lines of dumps                 ANSWER_BYTES_MAX, and one step     0.3 ms
 *   `stats reset`, a message of a login                one                                0.1 ms
 *
 * `flush_all`, `verbosity`, `delete` and arithmetic cost no more than other requests, whatever the
 * item; `watch` ends the taking of requests.
 *
 * The first turn of a connection comes with its bytes, in no round of anybody's. So what is known to
 * take long waits for its round before it begins: an answer in portions, a request of more than
 * ARRIVED_BYTES_MAX, and whatever follows a turn that reached COPIED_BYTES_MAX. How many such turns one
 * connection has in a row is bounded where it is read (server/net/read-row.ts).
 */
/** Bytes copied in or out of the store after which a turn ends. */
export const COPIED_BYTES_MAX: number = 256 * 1024

/**
 * From this length on a value leaves from where it is stored (reply-parts.ts), which was measured at 64 KiB; of shorter
 * ones it is not known whether it costs less than to copy them.
 */
export const PINNED_BYTES_MIN: number = 16 * 1024

/** Bytes of one request that are taken without others having a turn. */
export const ARRIVED_BYTES_MAX: number = 256 * 1024

/** Bytes of an answer in portions that are made in a turn. */
const ANSWER_BYTES_MAX = 8 * 1024
/** What a step counts for if it makes fewer: looking in vain is work, too. */
const STEP_BYTES_MIN = 2 * 1024

/** A connection, as far as its turns go. */
interface TurnTaker {
  readonly isServing: boolean
  yieldTurn(): void
}

/**
 * Has `next` take the steps of one turn; each returns how many bytes it made, and less than none after
 * the last. True when that was reached. If it was not, the turn is given away, or the connection does
 * not serve: whoever does not read has no more made for it.
 */
export function makePortion(connection: TurnTaker, next: () => number): boolean {
  let bytesLeft = ANSWER_BYTES_MAX
  while (bytesLeft > 0) {
    if (!connection.isServing) return false
    const bytes = next()
    if (bytes < 0) return true
    bytesLeft -= Math.max(bytes, STEP_BYTES_MIN)
  }
  if (connection.isServing) connection.yieldTurn()
  return false
}
