/**
 * The answer to a binary STAT, a portion a turn: one packet a row, and an empty one behind the last.
 * The request stays in the receive buffer; what its packets echo is kept here.
 */
import type { Commands } from '../command/commands.ts'
import type { Answer } from '../command/operations/operations.ts'
import { FixedRows, type RowSource } from '../command/operations/rows.ts'
import { writeBinaryStat } from '../protocol/binary/encode.ts'
import { HEADER_BYTES } from '../protocol/binary/wire.ts'
import { Request } from '../protocol/request.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { makePortion } from './portions.ts'
import type { SendBuffer } from './send-buffer.ts'

/** The rows of what came of a STAT that does not tell lines; undefined: there is nothing of that name. */
export function rowsOfAnswer(answer: Answer): RowSource | undefined {
  switch (answer.kind) {
    case 'rows':
      return answer.rows
    case 'done':
      return new FixedRows([])
    default:
      return undefined
  }
}

export class StatAnswer implements SuspendedRequest {
  readonly frameBytes: number
  readonly rights: number
  private readonly request: Request = new Request()
  private readonly rows: RowSource
  private readonly commands: Commands
  private readonly sendBuffer: SendBuffer

  constructor(
    rows: RowSource,
    request: Request,
    commands: Commands,
    sendBuffer: SendBuffer,
    rights: number,
  ) {
    this.rows = rows
    this.rights = rights
    this.frameBytes = request.frameBytes
    this.request.opcode = request.opcode
    this.request.opaque = request.opaque
    this.commands = commands
    this.sendBuffer = sendBuffer
  }

  proceed(connection: Connection): boolean {
    if (!makePortion(connection, () => this.step(connection))) return false
    this.write(connection, '', '')
    return true
  }

  cancel(): void {}

  private step(connection: Connection): number {
    const rows = this.rows.next(this.commands.nowSeconds)
    if (rows === undefined) return -1
    let bytes = 0
    for (const [name, value] of rows) bytes += this.write(connection, name, value)
    return bytes
  }

  /** Returns the length of the packet. */
  private write(connection: Connection, name: string, value: string): number {
    const { request, sendBuffer } = this
    const nameBytes = Buffer.from(name)
    // Keys are bytes, and so is what tells of them.
    const valueBytes = Buffer.from(value, 'latin1')
    const length = HEADER_BYTES + nameBytes.length + valueBytes.length
    if (length > sendBuffer.capacity) {
      const packet = new Uint8Array(length)
      writeBinaryStat(packet, 0, request, nameBytes, valueBytes)
      connection.send(packet)
      return length
    }
    if (sendBuffer.capacity - sendBuffer.used < length) connection.flush()
    sendBuffer.used = writeBinaryStat(
      sendBuffer.bytes,
      sendBuffer.used,
      request,
      nameBytes,
      valueBytes,
    )
    return length
  }
}
