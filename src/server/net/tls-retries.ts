/**
 * Handshakes of TLS 1.3 whose client is to say hello once more (HelloRetryRequest, RFC 8446, 4.1.4), as it guessed none of
 * our groups. The first hello costs us nothing, the second a key agreement and a signature; and it is read in no turn of
 * its own (tls-answers.ts). So that strangers cannot come back all at one moment, a few at a time are let: clients hardly ever have to, and
 * who is refused may come again.
 *
 * Who does not come back has its place for LEASE_MS; then it gives way to the next.
 */
/** As many handshakes as may be made in one turn so. */
const RETRIES_MAX = 4
/** For the way there and back. */
const LEASE_MS = 1000
/**
 * What goes out to ask for it: the record (5), the head of the message (4), version, random, session id, suite and
 * compression (2 + 32 + 1 to 33 + 2 + 1), two extensions (2 + 6 + 6), and where there is a session id a
 * ChangeCipherSpec (6). An alert has 7, a ServerHello with all that follows it over 100, also where it resumes.
 */
const REQUEST_BYTES_MIN = 61
const REQUEST_BYTES_MAX = 99

/** Whose handshake it is. */
export interface RetryOwner {
  /** Encrypted or not, in all. */
  readonly sentBytes: number
  readonly isOver: boolean
  /** `code` is Node's or OpenSSL's, fit for a log. */
  failed(code: string): void
  destroy(): void
}

interface Retry {
  readonly owner: RetryOwner
  readonly sinceMs: number
}

export class TlsRetries {
  private readonly clock: { nowMs(): number }
  private retries: Retry[] = []

  constructor(clock: { nowMs(): number }) {
    this.clock = clock
  }

  /** The first hello of `owner` has been answered. */
  look(owner: RetryOwner): void {
    if (!isAwaited(owner)) return
    const nowMs = this.clock.nowMs()
    this.retries = this.retries.filter((retry) => isAwaited(retry.owner))
    if (this.retries.length >= RETRIES_MAX) {
      const [oldest] = this.retries
      if (oldest === undefined || nowMs - oldest.sinceMs <= LEASE_MS) {
        drop(owner)
        return
      }
      this.retries.shift()
      drop(oldest.owner)
    }
    this.retries.push({ owner, sinceMs: nowMs })
  }
}

/** It was asked to say hello once more, and has not done so. */
function isAwaited({ sentBytes, isOver }: RetryOwner): boolean {
  return !isOver && sentBytes >= REQUEST_BYTES_MIN && sentBytes <= REQUEST_BYTES_MAX
}

function drop(owner: RetryOwner): void {
  owner.failed('too-many-retries')
  owner.destroy()
}
