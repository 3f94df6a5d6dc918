/**
 * A login step that may take a while: a key is derived for it on another thread. What is behind it waits,
 * in order, unread.
 */
import type { GateAnswer } from './auth-gate.ts'
import type { Connection, SuspendedRequest } from './connection.ts'

class SuspendedLogin implements SuspendedRequest {
  /** Its bytes are gone already: they may hold a password, and a stranger's buffer is small. */
  readonly frameBytes: number = 0
  private answer: GateAnswer | undefined = undefined
  private readonly reply: (answer: GateAnswer) => void

  constructor(reply: (answer: GateAnswer) => void) {
    this.reply = reply
  }

  settle(answer: GateAnswer): void {
    this.answer = answer
  }

  proceed(): boolean {
    if (this.answer === undefined) return false
    this.reply(this.answer)
    return true
  }

  /** The gate drops what is under way (AuthGate.abort). */
  cancel(): void {}
}

/** `reply` writes the answer in the dialect's words. */
export function suspendLogin(
  connection: Connection,
  answer: Promise<GateAnswer>,
  reply: (answer: GateAnswer) => void,
): void {
  const login = new SuspendedLogin(reply)
  const settled = answer.then((outcome) => login.settle(outcome))
  connection.suspendUntil(login, { onSettled: (run) => void settled.then(run) })
}
