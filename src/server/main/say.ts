/** What the main thread has to say to whoever runs the server, into the log. */
import type { LogLevel } from '../../base/log-level.ts'
import type { EventLog, LogFields } from '../../observe/log.ts'

export type Say = (level: LogLevel, event: string, message: string, fields?: LogFields) => void

export function sayInto(log: Pick<EventLog, 'write'>): Say {
  return (level, event, message, fields = {}) => log.write({ level, event, message, fields })
}
