/**
 * What one worker has to say to the log, which the main thread writes: what is below the level stays
 * here, and so does detail that comes faster than a disk should fill.
 */
import type { LogLevel } from '../../base/log-level.ts'
import type { LogEvent } from '../../observe/log.ts'
import type { CoarseTime } from './thread-clock.ts'

const SEVERITY: Readonly<Record<LogLevel, number>> = {
  trace: 0,
  debug: 1,
  info: 2,
  warn: 3,
  error: 4,
  fatal: 5,
}

/** Of the process, below `info`; whoever connects a thousand times must not fill a disk with them. */
const DETAIL_LINES_PER_SECOND = 200

export class WorkerLog {
  level: LogLevel

  private readonly post: (event: LogEvent) => void
  private readonly time: CoarseTime
  private readonly detailLinesPerSecond: number
  private detailSecond = 0
  private detailCount = 0

  constructor(
    post: (event: LogEvent) => void,
    level: LogLevel,
    workerCount: number,
    time: CoarseTime,
  ) {
    this.post = post
    this.level = level
    this.time = time
    this.detailLinesPerSecond = Math.ceil(DETAIL_LINES_PER_SECOND / workerCount)
  }

  /** Whether events of `debug` are wanted: for whoever has one for each connection. */
  get hasDetail(): boolean {
    return SEVERITY.debug >= SEVERITY[this.level]
  }

  write(event: LogEvent): void {
    if (SEVERITY[event.level] < SEVERITY[this.level]) return
    if (SEVERITY[event.level] < SEVERITY.info && !this.hasRoomForDetail()) return
    this.post(event)
  }

  private hasRoomForDetail(): boolean {
    const second = Math.floor(this.time.nowMs / 1000)
    if (second !== this.detailSecond) {
      const leftOut = this.detailCount - this.detailLinesPerSecond
      this.detailSecond = second
      this.detailCount = 0
      if (leftOut > 0) this.sayLeftOut(leftOut)
    }
    return ++this.detailCount <= this.detailLinesPerSecond
  }

  private sayLeftOut(count: number): void {
    this.post({
      level: 'info',
      event: 'detail_left_out',
      message: 'there were more lines of detail in a second than are written',
      fields: { left_out: count },
    })
  }
}
