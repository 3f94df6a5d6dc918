/**
 * The audit log: a file of its own with a line for each login, each refused command, each operation of an
 * administrator, each reload, and what else changes who may do what. Nothing is left out for being
 * frequent: what comes faster than it is written is counted (server/worker/audit-backlog.ts). The main thread alone writes, in the order in which events come to it.
 *
 * - Events have numbers, also those that could not be written: a gap shows that a line is missing.
 * - When the file takes nothing, events are lost and counted. The log says so once; when lines can be
 *   written again, the first is `lost` with how many of what, and by whom. Where it is configured so, nobody logs in meanwhile.
 * - The file is opened again on SIGHUP, and when its name does not stand for it any more.
 *
 * Invariant: `sequence` grows by one for each event, whatever becomes of it.
 */
import {
  type AuditEvent,
  type AuditEventName,
  auditLine,
  auditTime,
} from '../../observe/audit-line.ts'
import type { AppendFile } from '../files/append-file.ts'
import type { AuditQueue } from '../worker/worker-audit.ts'
import type { Say } from './say.ts'

/** How often a look is taken at the file's name, and a write is tried that failed before. */
export const AUDIT_LOOK_MS = 1000
/** Of those whose events were lost, so many are named. */
const LOST_USERS_MAX = 100

export interface AuditOptions {
  readonly file: Pick<AppendFile, 'append' | 'reopen' | 'isMoved' | 'close'>
  readonly queue: AuditQueue
  readonly say: Say
  /** Of this process, for those who read lines of several. */
  readonly run: string
  readonly now?: () => Date
}

export class Audit {
  private readonly options: AuditOptions
  private readonly now: () => Date
  private sequence = 0
  /** Not written, and not told of yet. */
  private lostCount = 0
  /** What these were, and who made them, as far as they are named. */
  private readonly lostEvents: Map<AuditEventName, number> = new Map()
  private readonly lostUsers: Set<string> = new Set()
  private isFailing = false
  private isOpenUnderItsName = true
  /** Lost as the audit log has it, but not the log yet, which is told once a look. */
  private toldCount = 0

  constructor(options: AuditOptions) {
    this.options = options
    this.now = options.now ?? auditTime
  }

  /** An event of the main thread. */
  record(event: AuditEvent): void {
    const isWritable = this.tellLost()
    const line = this.format(event)
    if (isWritable && this.options.file.append(line)) return
    this.noteLost(event)
    this.setFailing(true)
  }

  /** An event that a worker sent. */
  recordOfWorker(event: AuditEvent): void {
    this.options.queue.arrived(event)
    this.record(event)
  }

  /** To be called every AUDIT_LOOK_MS. */
  look(): void {
    if (this.options.file.isMoved) this.reopen()
    this.tellLost()
    this.sayLost()
  }

  /** The file has been rotated, says whoever did it. */
  reopen(): void {
    const { file, say } = this.options
    const isOpen = file.reopen()
    const wasOpen = this.isOpenUnderItsName
    this.isOpenUnderItsName = isOpen
    // A look each second would say it each second.
    if (isOpen || !wasOpen) return
    const message = 'the audit log cannot be opened again: lines go on into the file from before'
    say('error', 'audit_not_reopened', message)
  }

  close(): void {
    this.tellLost()
    this.sayLost()
    this.options.file.close()
  }

  private format(event: AuditEvent): string {
    this.sequence++
    const { run } = this.options
    return auditLine({ run, sequence: this.sequence, time: this.now() }, event)
  }

  /** A line that stands for several events is one that is missing, and so many events. */
  private noteLost(event: AuditEvent): void {
    const { lostEvents, lostUsers } = this
    this.lostCount++
    const { count = 1, user }: Readonly<Record<string, unknown>> = event
    lostEvents.set(event.event, (lostEvents.get(event.event) ?? 0) + Number(count))
    if (typeof user === 'string' && lostUsers.size < LOST_USERS_MAX) lostUsers.add(user)
  }

  private lostLine(): string {
    const events = [...this.lostEvents].map(([name, count]) => `${name} ${count}`)
    const users = [...this.lostUsers]
    return this.format({ event: 'lost', count: this.lostCount, events, users })
  }

  /** Writes how many are missing, if any are. False: the file takes nothing. */
  private tellLost(): boolean {
    const { file } = this.options
    if (this.lostCount === 0) return true
    const { lostCount, sequence } = this
    if (!file.append(this.lostLine())) {
      this.sequence = sequence
      this.setFailing(true)
      return false
    }
    this.lostCount = 0
    this.lostEvents.clear()
    this.lostUsers.clear()
    this.setFailing(false)
    this.toldCount += lostCount
    return true
  }

  private sayLost(): void {
    if (this.toldCount === 0) return
    const message = 'the audit log is written again; what happened meanwhile is not in it'
    this.options.say('warn', 'audit_lines_lost', message, { lost: this.toldCount })
    this.toldCount = 0
  }

  private setFailing(isFailing: boolean): void {
    if (isFailing === this.isFailing) return
    this.isFailing = isFailing
    this.options.queue.setFailing(isFailing)
    if (!isFailing) return
    this.options.say(
      'error',
      'audit_failed',
      'the audit log cannot be written: is the disk full, or its reader gone?',
    )
  }
}
