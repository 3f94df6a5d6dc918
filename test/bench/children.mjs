/**
 * The processes of a run: servers, generators, attackers. Told to stop, it kills those there are and
 * each that is started afterwards, so that whatever waits for one of them fails at once and the
 * harness can show what it has.
 */
import { constants } from 'node:os'

/** As shells have it: the exit code of a process that ended for a signal. */
const SIGNAL_EXIT_CODE = 128

export class Children extends Set {
  /** The signal that ended the run; null while none did. */
  signal = null

  /** @param {import('node:child_process').ChildProcess} child */
  add(child) {
    if (this.signal !== null) child.kill('SIGKILL')
    return super.add(child)
  }

  kill() {
    for (const child of this) child.kill('SIGKILL')
  }

  /** @param {'SIGINT' | 'SIGTERM'} signal */
  stop(signal) {
    this.signal = signal
    this.kill()
  }

  get isStopped() {
    return this.signal !== null
  }

  get exitCode() {
    return SIGNAL_EXIT_CODE + constants.signals[this.signal]
  }
}
