/**
 * The audit of logins: who, from where, by which mechanism, with which outcome and, for the
 * operator only, why. Logins come at the pace of whoever attacks, so at most LINES_PER_SECOND
 * are written one by one; the rest of a second is summed up in one line, never lost from the count.
 */
import type { LoginEvent } from '../../connection/auth-gate.ts'
import type { LogEvent } from '../../observe/log.ts'

/** Of the process: each worker writes its share. */
const LINES_PER_SECOND = 100

export class LoginLog {
  private readonly write: (event: LogEvent) => void
  private readonly linesPerSecond: number
  private secondStartedMs = 0
  private lineCount = 0
  private suppressedFailures = 0
  private suppressedSuccesses = 0

  constructor(write: (event: LogEvent) => void, workerCount: number) {
    this.write = write
    this.linesPerSecond = Math.ceil(LINES_PER_SECOND / workerCount)
  }

  record(login: LoginEvent, nowMs: number): void {
    this.rollOver(nowMs)
    if (this.lineCount >= this.linesPerSecond) {
      if (login.succeeded) this.suppressedSuccesses++
      else this.suppressedFailures++
      return
    }
    this.lineCount++
    const fields = { ...nameOf(login), peer: login.peer.text, mechanism: login.mechanism }
    this.write(
      login.succeeded
        ? { level: 'info', event: 'login', message: 'logged in', fields }
        : {
            level: 'warn',
            event: 'login_failed',
            message: 'login failed',
            fields: { ...fields, reason: login.reason },
          },
    )
  }

  /** Writes the sum of a second that is over; called by the worker's coarse timer. */
  rollOver(nowMs: number): void {
    if (nowMs - this.secondStartedMs < 1000) return
    const { suppressedFailures, suppressedSuccesses } = this
    this.secondStartedMs = nowMs
    this.lineCount = 0
    this.suppressedFailures = 0
    this.suppressedSuccesses = 0
    if (suppressedFailures + suppressedSuccesses === 0) return
    this.write({
      level: suppressedFailures > 0 ? 'warn' : 'info',
      event: 'logins_summed_up',
      message: 'more logins in the last second than are written one by one',
      fields: { failed: suppressedFailures, succeeded: suppressedSuccesses },
    })
  }
}

function nameOf(login: LoginEvent): Record<string, string> {
  if (login.succeeded) return { user: login.principal.name }
  const { user, unknownUser } = login
  // A name that is no user's is not repeated: it may be a password, or somebody's data.
  if (unknownUser !== '') return { unknown_user: unknownUser }
  // Nobody was named: a certificate of nobody, a token that was not looked at, a message that makes no sense.
  return user === '' ? {} : { user }
}
