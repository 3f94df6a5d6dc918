/**
 * What one worker has to tell the audit, which the main thread writes. Events wait in the way between the
 * threads, so many of all workers together and no more. What does not fit waits in the worker, where equal
 * events are counted together (audit-backlog.ts), until there is room: nothing is lost between the threads.
 *
 * The way has lanes, so that nobody keeps what matters from being told one by one: what strangers fail at,
 * what is refused to those who are logged in, what operators have carried out, and who logged in. Who makes
 * more refusals or operations than are written waits.
 *
 * Before all that, what one actor makes is held to so many lines a second, and so is what all strangers make
 * (audit-rate.ts).
 *
 *     shared memory: | 1 while the file takes nothing | on their way, a word a lane |
 *
 * Invariant: an event is either posted, and counted as on its way until the main thread has dealt with it,
 * or counted in the backlog of its lane, or held as one of an actor who makes many.
 */
import type { Peer } from '../../base/peer.ts'
import type { LoginEvent, OperationEvent, RefusalEvent } from '../../connection/auth-gate.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { keyTag } from '../../sasl/key-tag.ts'
import type { Throttled } from '../../sasl/throttle/throttled-list.ts'
import { AuditBacklog } from './audit-backlog.ts'
import { AuditRate } from './audit-rate.ts'
import type { ThreadClock } from './thread-clock.ts'

const IS_FAILING = 0

/** Each lane: how many events may be on their way, and from how many on whoever makes more waits. */
const LANES = {
  strangers: { word: 1, underWayMax: 2500, behindMin: 2500 },
  refusals: { word: 2, underWayMax: 5000, behindMin: 2500 },
  operations: { word: 3, underWayMax: 1250, behindMin: 625 },
  logins: { word: 4, underWayMax: 1250, behindMin: 1250 },
} as const
const WORDS = 5

type LaneName = keyof typeof LANES
const LANE_NAMES = Object.keys(LANES) as readonly LaneName[]

function laneOf(event: AuditEvent): LaneName {
  switch (event.event) {
    case 'refused':
      return 'refusals'
    case 'operation':
      return 'operations'
    case 'handshake':
      return 'strangers'
    case 'login':
      return event.outcome === 'success' ? 'logins' : 'strangers'
    default:
      return 'logins'
  }
}

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

  /** An event that was on its way has been dealt with. */
  arrived(event: AuditEvent): void {
    Atomics.sub(this.words, LANES[laneOf(event)].word, 1)
  }

  setFailing(isFailing: boolean): void {
    Atomics.store(this.words, IS_FAILING, isFailing ? 1 : 0)
  }
}

export class WorkerAudit {
  private readonly memory: AuditMemory
  private readonly words: Int32Array
  private readonly post: (event: AuditEvent) => void
  private readonly backlogs: Readonly<Record<LaneName, AuditBacklog>> = {
    strangers: new AuditBacklog(),
    refusals: new AuditBacklog(),
    operations: new AuditBacklog(),
    logins: new AuditBacklog(),
  }

  private readonly rate: AuditRate

  constructor(
    memory: AuditMemory,
    post: (event: AuditEvent) => void,
    clock: Pick<ThreadClock, 'nowMs'>,
  ) {
    this.rate = new AuditRate((event) => this.deliver(event), clock)
    this.words = new Int32Array(memory.buffer)
    this.memory = memory
    this.post = post
  }

  login(login: LoginEvent): void {
    const { peer, mechanism, tls } = login
    const certificate = tls?.certificate
    this.recordOf(peer, {
      event: 'login',
      ...(login.succeeded
        ? { outcome: 'success', user: login.principal.name }
        : {
            outcome: 'failure',
            ...(login.user === '' ? {} : { user: login.user }),
            unknown_user: login.unknownUser,
            reason: login.reason,
          }),
      peer: peer.text,
      mechanism,
      tls: tls?.version,
      certificate: certificate?.subject,
      fingerprint: certificate?.fingerprint,
    })
  }

  refusal({ principal, peer, command, lack: lacks, key }: RefusalEvent): void {
    const { showsKeys, keySecret } = this.memory
    let shown: string | undefined
    if (key !== undefined) {
      shown = showsKeys ? Buffer.from(key).toString('latin1') : keyTag(keySecret, key)
    }
    const user = principal?.name
    this.recordOf(peer, { event: 'refused', user, peer: peer.text, command, lacks, key: shown })
  }

  operation({ principal, peer, operation, number, namespace }: OperationEvent): void {
    const shown = number === 0 ? undefined : number
    const user = principal?.name
    this.recordOf(peer, {
      event: 'operation',
      user,
      peer: peer.text,
      operation,
      number: shown,
      namespace,
    })
  }

  /** One that came to nothing; those that come to something are told of with their logins. */
  handshake(peer: Peer, reason: string): void {
    this.recordOf(peer, { event: 'handshake', outcome: 'failure', peer: peer.text, reason })
  }

  throttle(state: 'began' | 'ended', { kind, name }: Throttled): void {
    this.deliver({ event: 'throttle', state, [kind]: name })
  }

  /** So many as are not named one by one. */
  throttledMore(count: number): void {
    this.deliver({ event: 'throttle', state: 'began', more: count })
  }

  /** Of whoever makes as many of these as they like. */
  private recordOf(peer: Peer, event: AuditEvent): void {
    this.rate.add(event, peer)
  }

  private deliver(event: AuditEvent): void {
    const lane = laneOf(event)
    if (!this.send(lane, event)) this.backlogs[lane].add(event)
  }

  /** False: there is no room on the way. */
  private send(lane: LaneName, event: AuditEvent): boolean {
    const { word, underWayMax } = LANES[lane]
    if (Atomics.add(this.words, word, 1) >= underWayMax) {
      Atomics.sub(this.words, word, 1)
      return false
    }
    this.post(event)
    return true
  }

  /** To be called regularly: sends what waits, as far as there is room. */
  flush(): void {
    this.rate.flush()
    for (const lane of LANE_NAMES) {
      const backlog = this.backlogs[lane]
      while (!backlog.isEmpty && this.hasRoom(lane)) this.deliver(backlog.take()!)
    }
  }

  /** Nothing comes behind: sends all that waits, which is bounded. */
  end(): void {
    this.rate.end()
    for (const lane of LANE_NAMES) {
      for (;;) {
        const event = this.backlogs[lane].take()
        if (event === undefined) break
        Atomics.add(this.words, LANES[lane].word, 1)
        this.post(event)
      }
    }
  }

  private hasRoom(lane: LaneName): boolean {
    const { word, underWayMax } = LANES[lane]
    return Atomics.load(this.words, word) < underWayMax
  }

  /** Whoever makes more of these is to wait. */
  isBehind(of: 'refusals' | 'operations'): boolean {
    const { word, behindMin } = LANES[of]
    return Atomics.load(this.words, word) >= behindMin
  }

  /** False while what happens could not be recorded, and that is not to be. */
  get mayLogIn(): boolean {
    const { words, memory } = this
    if (!memory.refusesLogins) return true
    return Atomics.load(words, IS_FAILING) === 0 && !this.backlogs.logins.isFull
  }
}

/** Undefined where there is none. */
export function createAudit(
  { audit }: { readonly audit: AuditMemory | undefined },
  post: (event: AuditEvent) => void,
  clock: Pick<ThreadClock, 'nowMs'>,
): WorkerAudit | undefined {
  return audit === undefined ? undefined : new WorkerAudit(audit, post, clock)
}
