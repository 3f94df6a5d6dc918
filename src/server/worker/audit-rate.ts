/**
 * How fast anybody can make the audit grow: by actors (a user from one site, or the strangers of one site, by
 * kind of event), and for all strangers of a thread together, since they may have as many sites as they like.
 * The first lines of a second leave one by one; what comes beyond them is counted together (audit-backlog.ts)
 * and leaves when the second is over, so that nobody fills a disk.
 *
 *     a user's events ------> lines of that actor ---------------------------> passed on
 *     a stranger's events --> lines of that site ----> lines of strangers --^
 *
 * A site is an IPv4 address or an IPv6 /48, which is what one owner is given. Actors are bounded. Those for whom
 * there is no place share one, strangers that of all strangers; but for who logged in: of these each is told by
 * name, and worker-audit.ts bounds them.
 *
 * Invariant: an event was passed on, or is held and counted; what is held waits for a second at most, of
 * strangers two, if flush() is called.
 */
import type { Peer } from '../../base/peer.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { AuditBacklog } from './audit-backlog.ts'
import type { ThreadClock } from './thread-clock.ts'

/** Of one actor and one kind, in a second, from one thread. */
export const LINES_PER_SECOND_MAX = 10
/** Of all strangers together: ten sites are told apart at full length, and 30 KB a second are no full disk. */
export const STRANGER_LINES_PER_SECOND_MAX = 100
export const ACTORS_MAX = 1000
const SECOND_MS = 1000
/** Kinds of events that strangers make, or of those that one actor makes. */
const KINDS_MAX = 2
/** Of users beyond the actors as many are told by name as there are places in a backlog. */
const OTHERS = ''

type Pass = (event: AuditEvent) => void

/** So many lines in full, so many users, and one of each kind: no more than would leave one by one. */
function heldMaxOf(linesMax: number): number {
  return Math.floor((linesMax - KINDS_MAX) / 2)
}

/** Some lines a second, and what is held beyond them. */
class Lines {
  private readonly linesMax: number
  private readonly pass: Pass
  private readonly held: AuditBacklog
  private beganMs: number
  private lineCount = 0

  constructor(linesMax: number, heldMax: number | undefined, pass: Pass, nowMs: number) {
    this.linesMax = linesMax
    this.pass = pass
    this.beganMs = nowMs
    this.held = new AuditBacklog(heldMax)
  }

  add(event: AuditEvent, nowMs: number): void {
    if (this.held.isEmpty && nowMs - this.beganMs >= SECOND_MS) {
      this.beganMs = nowMs
      this.lineCount = 0
    }
    if (this.lineCount >= this.linesMax) {
      this.held.add(event)
      return
    }
    this.lineCount++
    this.pass(event)
  }

  /** Passes on what was held for a second. False: nothing happened since. */
  flush(nowMs: number): boolean {
    if (nowMs - this.beganMs < SECOND_MS) return true
    const isAwake = !this.held.isEmpty
    this.beganMs = nowMs
    this.lineCount = this.release()
    return isAwake
  }

  /** Passes on all that is held, and says how many lines that took. */
  release(): number {
    let count = 0
    for (let event = this.held.take(); event !== undefined; event = this.held.take()) {
      this.pass(event)
      count++
    }
    return count
  }
}

export class AuditRate {
  private readonly pass: Pass
  private readonly clock: Pick<ThreadClock, 'nowMs'>
  private readonly actors: Map<string, Lines> = new Map()
  private readonly strangers: Lines

  constructor(pass: Pass, clock: Pick<ThreadClock, 'nowMs'>) {
    this.pass = pass
    this.clock = clock
    const linesMax = STRANGER_LINES_PER_SECOND_MAX
    this.strangers = new Lines(linesMax, heldMaxOf(linesMax), pass, clock.nowMs())
  }

  /** `peer` is who made it. */
  add(event: AuditEvent, peer: Pick<Peer, 'site'>): void {
    const name = actorOf(event, peer)
    const nowMs = this.clock.nowMs()
    const lines = name === undefined ? undefined : this.find(name, nowMs)
    if (lines === undefined) this.pass(event)
    else lines.add(event, nowMs)
  }

  /** Passes on what was held for a second, and forgets who did nothing since. */
  flush(): void {
    const nowMs = this.clock.nowMs()
    for (const [name, lines] of this.actors) {
      if (!lines.flush(nowMs)) this.actors.delete(name)
    }
    this.strangers.flush(nowMs)
  }

  /** Passes on all that is held: nothing comes behind. */
  end(): void {
    for (const lines of this.actors.values()) lines.release()
    this.actors.clear()
    this.strangers.release()
  }

  /** Undefined: there is no place, and none that may be shared. */
  private find(name: string, nowMs: number): Lines | undefined {
    const { actors, strangers } = this
    const known = actors.get(name)
    if (known !== undefined) return known
    if (actors.size < ACTORS_MAX) return this.create(name, nowMs)
    if (name.startsWith(SUCCESS)) return undefined
    if (name.startsWith(STRANGER)) return strangers
    return actors.get(OTHERS) ?? this.create(OTHERS, nowMs)
  }

  private create(name: string, nowMs: number): Lines {
    const { strangers, pass } = this
    const passOn: Pass = name.startsWith(STRANGER)
      ? (event) => strangers.add(event, this.clock.nowMs())
      : pass
    const heldMax = name === OTHERS ? undefined : heldMaxOf(LINES_PER_SECOND_MAX)
    const lines = new Lines(LINES_PER_SECOND_MAX, heldMax, passOn, nowMs)
    this.actors.set(name, lines)
    return lines
  }
}

const SUCCESS = 'login success'
const STRANGER = 'stranger'

/** Undefined: of an event that nobody makes as often as they like. */
function actorOf(event: AuditEvent, { site }: Pick<Peer, 'site'>): string | undefined {
  switch (event.event) {
    case 'login':
      // What strangers try is theirs, whatever names they try.
      if (event.outcome !== 'success') return `${STRANGER} ${site}`
      return `${SUCCESS} ${event.user} ${site}`
    case 'handshake':
      return `${STRANGER} ${site}`
    case 'refused':
    case 'operation':
      return `${event.event} ${event.user} ${site}`
    default:
      return undefined
  }
}
