/**
 * The log. One JSON line an event through pino, or one readable line where a person watches a
 * terminal. Events are records made here-abouts from named fields: no caller hands over a request,
 * a SASL message or a configuration, so a secret has no way in.
 *
 * Only the main thread writes (server/main/supervisor.ts); workers post their events. The
 * destination is asynchronous with a bounded buffer: a full disk or a reader that stopped reading
 * costs log lines, counted and reported, never a stalled cache, and never an end that does not come.
 *
 * Invariant: one write is under way at a time, the last included, so lines leave in their order.
 */
import { type EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import pino from 'pino'
import type { LogLevel } from '../base/log-level.ts'

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface LogEvent {
  readonly level: LogLevel
  readonly event: string
  readonly message: string
  readonly fields: LogFields
}

export interface EventLog {
  write(event: LogEvent): void
  setLevel(level: LogLevel): void
  /**
   * Resolves when everything is written, or when the destination has not taken it in time. Nothing
   * is written after it.
   */
  close(): Promise<void>
}

export interface LogOptions {
  readonly level: LogLevel
  readonly pretty: boolean
  readonly fd: number
}

/** Bytes of log that may wait for a slow destination; what comes beyond is dropped and counted. */
const BUFFERED_BYTES_MAX = 1024 * 1024
/** How long the end of the process waits for a destination that takes nothing. */
const CLOSE_WAIT_MS = 1000

const LABEL: Record<LogLevel, string> = {
  fatal: 'FATAL',
  error: 'ERROR',
  warn: 'WARN ',
  info: 'INFO ',
  debug: 'DEBUG',
  trace: 'TRACE',
}
const COLOUR: Record<LogLevel, string> = {
  fatal: '41',
  error: '31',
  warn: '33',
  info: '32',
  debug: '36',
  trace: '90',
}

/**
 * One event as one readable line. Control characters in values are written as `\u00XX`: a user
 * name chosen by a stranger must not be able to drive a terminal or fake a second line.
 */
export function formatPretty(event: LogEvent, time: Date, colour: boolean): string {
  const clock = time.toISOString().slice(11, 23)
  const label = colour
    ? `\u001b[${COLOUR[event.level]}m${LABEL[event.level]}\u001b[0m`
    : LABEL[event.level]
  let line = `${clock} ${label} ${printable(event.message)}`
  for (const [name, value] of Object.entries(event.fields)) {
    if (value === undefined) continue
    const text = String(value)
    line += ` ${name}=${/^[^\s"=]+$/.test(text) ? printable(text) : printable(JSON.stringify(text))}`
  }
  return `${line}\n`
}

function printable(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the point.
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export function createLog(options: LogOptions): EventLog {
  const destination = pino.destination({
    fd: options.fd,
    sync: false,
    minLength: 0,
    maxLength: BUFFERED_BYTES_MAX,
  })
  let droppedCount = 0
  /** The last write failed: a full disk takes no more at the end than it did before. */
  let isFailing = false
  /** Lines are buffered or on their way. */
  let isBusy = false
  destination.on('drop', () => {
    droppedCount++
  })
  // ENOSPC, EPIPE and the like: the cache goes on without its log rather than dying with it.
  destination.on('error', () => {
    droppedCount++
    isFailing = true
  })
  destination.on('write', () => {
    isFailing = false
  })
  destination.on('drain', () => {
    isBusy = false
  })
  const logger = pino(
    {
      base: null,
      level: options.level,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
  const emit = (event: LogEvent): void => {
    if (!logger.isLevelEnabled(event.level)) return
    isBusy = true
    if (options.pretty) destination.write(formatPretty(event, new Date(), true))
    else logger[event.level]({ event: event.event, ...event.fields }, event.message)
  }
  return {
    write(event) {
      if (droppedCount > 0) {
        const lost = droppedCount
        droppedCount = 0
        emit({
          level: 'warn',
          event: 'log_lines_lost',
          message: 'log lines were lost: the destination is full or too slow',
          fields: { lost },
        })
      }
      emit(event)
    },
    setLevel(level) {
      logger.level = level
    },
    async close() {
      // Not flushSync: it writes beside the write under way, so that later lines come first, and it
      // tries again for ever where the destination takes nothing.
      if (isBusy && !isFailing) await takenWithin(destination, CLOSE_WAIT_MS)
      // pino calls flushSync at exit unless the destination is gone by then.
      destination.destroy()
    },
  }
}

/** Resolves when `destination` has taken all there is, has failed, or `waitMs` are over. */
async function takenWithin(
  destination: pino.DestinationStream & EventEmitter,
  waitMs: number,
): Promise<void> {
  const patience = new AbortController()
  const { signal } = patience
  await Promise.race([
    once(destination, 'drain', { signal }),
    delay(waitMs, undefined, { signal }),
  ]).catch(() => undefined)
  patience.abort()
}
