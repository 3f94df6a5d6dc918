/**
 * What one worker has to tell the audit, which the main thread writes. Events wait in the way between the
 * threads, so many of all workers together and no more; what does not fit is counted as lost.
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
    this.record({ event: 'refused', user: principal.name, peer, command, lacks: lack, key: shown })
  }

  operation({ principal, peer, operation, number }: OperationEvent): void {
    const shown = number === 0 ? undefined : number
    this.record({ event: 'operation', user: principal?.name, peer, operation, number: shown })
  }

  throttle(state: 'began' | 'ended', { kind, name }: Throttled): void {
    this.record({ event: 'throttle', state, [kind]: name })
  }

  private record(event: AuditEvent): void {
    const { words } = this
    if (Atomics.add(words, UNDER_WAY, 1) >= UNDER_WAY_MAX) {
      Atomics.sub(words, UNDER_WAY, 1)
      Atomics.add(words, LOST, 1)
      return
    }
    this.post(event)
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
