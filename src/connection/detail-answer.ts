/**
 * The answer to a binary STAT that tells lines: all of them are the value of one row, as in memcached. So the packet
 * says first how long they are, and a count may have a digit more the next time: they are gathered, a portion a
 * turn, and leave together.
 *
 * Invariant: what is gathered counts as unread replies do (reply-memory.ts) from the first line on. Many may ask
 * side by side, and each of them may be told megabytes; whom there is no room for is told that.
 */
import type { Commands } from '../command/commands.ts'
import type { LineSource } from '../command/operations/rows.ts'
import { writeBinaryBody, writeBinaryStat } from '../protocol/binary/encode.ts'
import { HEADER_BYTES, STATUS_OUT_OF_MEMORY } from '../protocol/binary/wire.ts'
import { Request } from '../protocol/request.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { makePortion } from './portions.ts'
import type { ReplyMemory } from './reply-memory.ts'

const ROW_NAME = Buffer.from('detailed')
const LINES_END = Buffer.from('END\r\n')
const NO_MEMORY = Buffer.from('Out of memory')
const EMPTY = new Uint8Array(0)

export class DetailAnswer implements SuspendedRequest {
  readonly frameBytes: number
  readonly rights: number
  private readonly request: Request = new Request()
  private readonly lines: LineSource
  private readonly commands: Commands
  private readonly memory: ReplyMemory
  /** The namespace under which the gathered is counted. */
  private readonly holder: number
  private gathered: Uint8Array[] = []
  private gatheredBytes = 0
  private isRefused = false

  constructor(
    lines: LineSource,
    request: Request,
    commands: Commands,
    memory: ReplyMemory,
    holder: number,
    rights: number,
  ) {
    this.lines = lines
    this.rights = rights
    this.frameBytes = request.frameBytes
    this.request.opcode = request.opcode
    this.request.opaque = request.opaque
    this.commands = commands
    this.memory = memory
    this.holder = holder
  }

  proceed(connection: Connection): boolean {
    if (!makePortion(connection, () => this.gather())) return false
    const answer = this.isRefused ? this.refusal() : this.packets()
    // From here on it is counted as what its reader has not taken.
    this.letGo()
    connection.send(answer)
    return true
  }

  cancel(): void {
    this.letGo()
  }

  /** Returns how many bytes came, and less than none after the last. */
  private gather(): number {
    const { memory, holder } = this
    const lines = this.lines.next(this.commands.nowSeconds)
    if (lines === undefined) return -1
    if (!memory.hasRoomFor(lines.length, holder)) {
      memory.refuse(lines.length, holder)
      this.isRefused = true
      return -1
    }
    memory.hold(lines.length, holder)
    this.gatheredBytes += lines.length
    // As bytes: a text put together of many takes several times its length.
    this.gathered.push(Buffer.from(lines, 'latin1'))
    return lines.length
  }

  /** The row, and the empty one behind the last. */
  private packets(): Uint8Array {
    const { request, gathered } = this
    const value = Buffer.concat([...gathered, LINES_END])
    const bytes = new Uint8Array(2 * HEADER_BYTES + ROW_NAME.length + value.length)
    const end = writeBinaryStat(bytes, 0, request, ROW_NAME, value)
    writeBinaryStat(bytes, end, request, EMPTY, EMPTY)
    return bytes
  }

  private refusal(): Uint8Array {
    const bytes = new Uint8Array(HEADER_BYTES + NO_MEMORY.length)
    writeBinaryBody(bytes, 0, this.request, STATUS_OUT_OF_MEMORY, NO_MEMORY)
    return bytes
  }

  private letGo(): void {
    this.memory.letGo(this.gatheredBytes, this.holder)
    this.gatheredBytes = 0
    this.gathered = []
  }
}
