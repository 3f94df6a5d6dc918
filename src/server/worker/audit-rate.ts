/**
 * How fast one actor can make the audit grow: a user from one network, or a stranger's network, by kind of
 * event. The first lines of a second leave one by one; what comes beyond them is counted together
 * (audit-backlog.ts) and leaves when the second is over, so that no one actor fills a disk.
 *
 * Actors are bounded. Those for whom there is no place share one, but for who logged in: of these each is
 * told by name, and worker-audit.ts bounds them.
 *
 * Invariant: an event was passed on, or is held and counted; what is held waits for a second at most, if
 * flush() is called.
 */
import type { AuditEvent } from '../../observe/audit-line.ts'
import { AuditBacklog } from './audit-backlog.ts'
import type { ThreadClock } from './thread-clock.ts'

/** Of one actor and one kind, in a second, from one thread. */
export const LINES_PER_SECOND_MAX = 10
/** What is held of one actor is told apart so far: so many lines, so many users, and the rest. */
const HELD_MAX = 4
export const ACTORS_MAX = 1000
const SECOND_MS = 1000
const OTHERS = ''

interface Actor {
  beganMs: number
  lineCount: number
  readonly held: AuditBacklog
}

export class AuditRate {
  private readonly pass: (event: AuditEvent) => void
  private readonly clock: Pick<ThreadClock, 'nowMs'>
  private readonly actors: Map<string, Actor> = new Map()

  constructor(pass: (event: AuditEvent) => void, clock: Pick<ThreadClock, 'nowMs'>) {
    this.pass = pass
    this.clock = clock
  }

  /** `network` is where whoever made it comes from. */
  add(event: AuditEvent, network: string): void {
    const name = actorOf(event, network)
    const actor = name === undefined ? undefined : this.find(name)
    if (actor === undefined) {
      this.pass(event)
      return
    }
    const nowMs = this.clock.nowMs()
    if (actor.held.isEmpty && nowMs - actor.beganMs >= SECOND_MS) {
      actor.beganMs = nowMs
      actor.lineCount = 0
    }
    if (actor.lineCount >= LINES_PER_SECOND_MAX) {
      actor.held.add(event)
      return
    }
    actor.lineCount++
    this.pass(event)
  }

  /** Passes on what was held for a second, and forgets who did nothing since. */
  flush(): void {
    const nowMs = this.clock.nowMs()
    for (const [name, actor] of this.actors) {
      if (nowMs - actor.beganMs < SECOND_MS) continue
      if (actor.held.isEmpty) this.actors.delete(name)
      actor.beganMs = nowMs
      actor.lineCount = this.release(actor)
    }
  }

  /** Passes on all that is held: nothing comes behind. */
  end(): void {
    for (const actor of this.actors.values()) this.release(actor)
    this.actors.clear()
  }

  /** How many lines it took. */
  private release({ held }: Actor): number {
    let count = 0
    for (let event = held.take(); event !== undefined; event = held.take()) {
      this.pass(event)
      count++
    }
    return count
  }

  /** Undefined: there is no place, and none that may be shared. */
  private find(name: string): Actor | undefined {
    const { actors } = this
    const known = actors.get(name)
    if (known !== undefined) return known
    if (actors.size < ACTORS_MAX) return this.create(name, HELD_MAX)
    if (name.startsWith(SUCCESS)) return undefined
    return actors.get(OTHERS) ?? this.create(OTHERS, undefined)
  }

  private create(name: string, heldMax: number | undefined): Actor {
    const actor = { beganMs: this.clock.nowMs(), lineCount: 0, held: new AuditBacklog(heldMax) }
    this.actors.set(name, actor)
    return actor
  }
}

const SUCCESS = 'login success'

/** Undefined: of an event that nobody makes as often as they like. */
function actorOf(event: AuditEvent, network: string): string | undefined {
  switch (event.event) {
    case 'login':
      // What strangers try is theirs, whatever names they try.
      if (event.outcome !== 'success') return `stranger ${network}`
      return `${SUCCESS} ${event.user} ${network}`
    case 'handshake':
      return `stranger ${network}`
    case 'refused':
    case 'operation':
      return `${event.event} ${event.user} ${network}`
    default:
      return undefined
  }
}
