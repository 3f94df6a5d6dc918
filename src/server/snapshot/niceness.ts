/** Whether the thread that calls goes before clients or behind them where there is not CPU for all. */
import { setPriority } from 'node:os'

export const NICENESS_BEHIND_CLIENTS = 10

/** On Linux that is of this thread alone. */
export function setNiceness(niceness: number): void {
  try {
    if (process.platform === 'linux') setPriority(0, niceness)
  } catch {
    // Some sandboxes forbid it, and only some users may take it back.
  }
}
