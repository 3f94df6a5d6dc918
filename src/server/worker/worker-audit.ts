/**
 * What one worker has to tell the audit, which the main thread writes. Events wait in the way between the
 * threads, so many of all workers together and no more; what does not fit is counted as lost.
 *
 * Who is logged in makes events as fast as requests, by what is refused to it. Such events have a part of the
 * way, and whoever makes more waits while another part is full. So nobody keeps logins out, or out of the
 * audit, by asking for what is refused anyway.
 *
 *     shared memory: | 1 while the file takes nothing | on their way | lost on their way |
 *
 * Invariant: an event is either posted, and counted as on its way until the main thread has dealt with it,
 * or counted as lost.
 */
import type { LoginEvent, OperationEvent, RefusalEvent } from '../../connection/auth-gate.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { keyTag } from '../../sasl/key-tag.ts'
import type { Throttled } from '../../sasl/throttle/throttled-list.ts'

const IS_FAILING = 0
const UNDER_WAY = 1
const LOST = 2
const WORDS = 4

const UNDER_WAY_MAX = 10_000
/** Of these, what requests and handshakes may have, and from how many on those who ask wait. */
const OF_REQUESTS_MAX = 7500
const BEHIND_MIN = 2500

export interface AuditMemory {
  readonly buffer: SharedArrayBuffer
  readonly refusesLogins: boolean
  /** Keys stand in refusals as they are. */
  readonly showsKeys: boolean
  /** What they are hashed with otherwise. */
  readonly keySecret: Uint8Array
}

const SECRET_BYTES = 32

export function createAuditMemory(refusesLogins: boolean, showsKeys: boolean): AuditMemory {
  return {
    buffer: new SharedArrayBuffer(WORDS * 4),
    refusesLogins,
    showsKeys,
    keySecret: crypto.getRandomValues(new Uint8Array(SECRET_BYTES)),
  }
}

/** The main thread's side. */
export class AuditQueue {
  private readonly words: Int32Array

  constructor(memory: AuditMemory) {
    this.words = new Int32Array(memory.buffer)
  }

  /** One event that was on its way has been dealt with. */
  arrived(): void {
    Atomics.sub(this.words, UNDER_WAY, 1)
  }

  /** How many were lost on their way since this was asked last. */
  takeLost(): number {
    return Atomics.exchange(this.words, LOST, 0)
  }

  setFailing(isFailing: boolean): void {
    Atomics.store(this.words, IS_FAILING, isFailing ? 1 : 0)
  }
}

export class WorkerAudit {
  private readonly memory: AuditMemory
  private readonly words: Int32Array
  private readonly post: (event: AuditEvent) => void

  constructor(memory: AuditMemory, post: (event: AuditEvent) => void) {
    this.words = new Int32Array(memory.buffer)
    this.memory = memory
    this.post = post
  }

  login(login: LoginEvent): void {
    const { peer, mechanism, tls } = login
    const certificate = tls?.certificate
    this.record({
      event: 'login',
      ...(login.succeeded
        ? { outcome: 'success', user: login.principal.name }
        : {
            outcome: 'failure',
            ...(login.user === '' ? {} : { user: login.user }),
            unknown_user: login.unknownUser,
            reason: login.reason,
          }),
      peer,
      mechanism,
      tls: tls?.version,
      certificate: certificate?.subject,
      fingerprint: certificate?.fingerprint,
    })
  }

  refusal({ principal, peer, command, lack, key }: RefusalEvent): void {
    const { showsKeys, keySecret } = this.memory
    let shown: string | undefined
    if (key !== undefined) {
      shown = showsKeys ? Buffer.from(key).toString('latin1') : keyTag(keySecret, key)
    }
    const user = principal?.name
    this.record({ event: 'refused', user, peer, command, lacks: lack, key: shown }, OF_REQUESTS_MAX)
  }

  operation({ principal, peer, operation, number }: OperationEvent): void {
    const shown = number === 0 ? undefined : number
    const user = principal?.name
    this.record({ event: 'operation', user, peer, operation, number: shown }, OF_REQUESTS_MAX)
  }

  /** One that came to nothing; those that come to something are told of with their logins. */
  handshake(peer: string, reason: string): void {
    this.record({ event: 'handshake', outcome: 'failure', peer, reason }, OF_REQUESTS_MAX)
  }

  throttle(state: 'began' | 'ended', { kind, name }: Throttled): void {
    this.record({ event: 'throttle', state, [kind]: name })
  }

  /** So many as are not named one by one. */
  throttledMore(count: number): void {
    this.record({ event: 'throttle', state: 'began', more: count })
  }

  private record(event: AuditEvent, underWayMax: number = UNDER_WAY_MAX): void {
    const { words } = this
    if (Atomics.add(words, UNDER_WAY, 1) >= underWayMax) {
      Atomics.sub(words, UNDER_WAY, 1)
      Atomics.add(words, LOST, 1)
      return
    }
    this.post(event)
  }

  /** Whoever makes more events is to wait. */
  get isBehind(): boolean {
    return Atomics.load(this.words, UNDER_WAY) >= BEHIND_MIN
  }

  /** False while what happens could not be recorded, and that is not to be. */
  get mayLogIn(): boolean {
    const { words, memory } = this
    if (!memory.refusesLogins) return true
    return Atomics.load(words, IS_FAILING) === 0 && Atomics.load(words, UNDER_WAY) < UNDER_WAY_MAX
  }
}

/** Undefined where there is none. */
export function createAudit(
  { audit }: { readonly audit: AuditMemory | undefined },
  post: (event: AuditEvent) => void,
): WorkerAudit | undefined {
  return audit === undefined ? undefined : new WorkerAudit(audit, post)
}
