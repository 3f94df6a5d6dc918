/**
 * The audit log: a file of its own with a line for each login, each refused command, each operation of an
 * administrator, each reload, and what else changes who may do what. Nothing is left out for being
 * frequent. The main thread alone writes, in the order in which events come to it.
 *
 * - Events have numbers, also those that could not be written: a gap shows that a line is missing.
 * - When the file takes nothing, events are lost and counted. The log says so once; when lines can be
 *   written again, the first is `lost` with the count. Where it is configured so, nobody logs in meanwhile.
 * - The file is opened again on SIGHUP, and when its name does not stand for it any more.
 *
 * Invariant: `sequence` grows by one for each event, whatever becomes of it.
 */
import { type AuditEvent, auditLine, auditTime } from '../../observe/audit-line.ts'
import type { AppendFile } from '../files/append-file.ts'
import type { AuditQueue } from '../worker/worker-audit.ts'
import type { Say } from './say.ts'

/** How often a look is taken at the file's name, and a write is tried that failed before. */
export const AUDIT_LOOK_MS = 1000

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
    this.countLost()
    const isWritable = this.tellLost()
    const line = this.format(event)
    if (isWritable && this.options.file.append(line)) return
    this.lostCount++
    this.setFailing(true)
  }

  /** An event that a worker sent. */
  recordOfWorker(event: AuditEvent): void {
    this.options.queue.arrived()
    this.record(event)
  }

  /** To be called every AUDIT_LOOK_MS. */
  look(): void {
    if (this.options.file.isMoved) this.reopen()
    this.countLost()
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
    this.countLost()
    this.tellLost()
    this.sayLost()
    this.options.file.close()
  }

  private format(event: AuditEvent): string {
    this.sequence++
    const { run } = this.options
    return auditLine({ run, sequence: this.sequence, time: this.now() }, event)
  }

  /** What was lost between the threads has numbers as well. */
  private countLost(): void {
    const count = this.options.queue.takeLost()
    this.sequence += count
    this.lostCount += count
  }

  /** Writes how many are missing, if any are. False: the file takes nothing. */
  private tellLost(): boolean {
    const { file } = this.options
    if (this.lostCount === 0) return true
    const { lostCount, sequence } = this
    if (!file.append(this.format({ event: 'lost', count: lostCount }))) {
      this.sequence = sequence
      this.setFailing(true)
      return false
    }
    this.lostCount = 0
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
