/**
 * What a client hears that does not speak a dialect of this server: one line that says so, and the
 * end. A text client must never wait for an answer that does not come.
 */
import { COUNTER } from '../observe/counters.ts'
import type { Connection, Dialect } from './connection.ts'
import type { SendBuffer } from './send-buffer.ts'

const REPLY = Buffer.from('SERVER_ERROR this server speaks the binary protocol only\r\n')
const REPLY_BEFORE_LOGIN = Buffer.from('CLIENT_ERROR unauthenticated\r\n')

export class RefusingDialect implements Dialect {
  private readonly sendBuffer: SendBuffer
  private readonly lane: Float64Array
  private readonly reply: Buffer

  constructor(sendBuffer: SendBuffer, lane: Float64Array, isLoginRequired: boolean) {
    this.sendBuffer = sendBuffer
    this.lane = lane
    this.reply = isLoginRequired ? REPLY_BEFORE_LOGIN : REPLY
  }

  serve(connection: Connection, _bytes: Uint8Array, _start: number, end: number): number {
    this.lane[COUNTER.protocol_errors]!++
    const sendBuffer = this.sendBuffer
    sendBuffer.bytes.set(this.reply, sendBuffer.used)
    sendBuffer.used += this.reply.length
    connection.drain()
    return end
  }
}
