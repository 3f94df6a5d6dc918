/**
 * Logging in over text. Two ways, one gate:
 *
 *   set <any> <flags> <exptime> <length>\r\n<user> <password>\r\n       as with memcached -Y
 *   sasl mech | sasl auth <mechanism> <length> | sasl auth <length>     as with arcus-memcached
 *
 * The first is a PLAIN login and works where PLAIN is announced. The second takes every mechanism,
 * so that a text client need not send its password.
 */

import { unreachable } from '../base/unreachable.ts'
import type { Request } from '../protocol/request.ts'
import { parseUint32 } from '../protocol/text/number.ts'
import {
  PROBLEM_LINES,
  PROBLEM_LOGIN_FAILED,
  PROBLEM_LOGIN_FORMAT,
  PROBLEM_LOGIN_NEEDS_TLS,
  PROBLEM_LOGIN_TERMINATION,
  PROBLEM_LOGIN_TOO_LONG,
  PROBLEM_SASL_OFF,
} from '../protocol/text/problems.ts'
import { VERB_SET } from '../protocol/verbs.ts'
import type { Connection } from './connection.ts'
import { answerLoginStep, takeLoginStep } from './login-step.ts'
import type { TextReplies } from './text-replies.ts'

const STORED = Buffer.from('STORED\r\n')
const SASL_OK = Buffer.from('SASL_OK\r\n')
const AUTH_ERROR = Buffer.from('AUTH_ERROR\r\n')
const LINE_END = '\r\n'
const SPACE = 0x20
const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
const LENGTH_MAX = 0x7ffffffd

export class TextLogin {
  private readonly replies: TextReplies
  private readonly saslBytesMax: number

  constructor(replies: TextReplies, saslBytesMax: number) {
    this.replies = replies
    this.saslBytesMax = saslBytesMax
  }

  /**
   * True if the line is a `set` with a length, whatever its key, flags and expiry are; then the
   * request's value and frame are those of the login.
   */
  isLogin(bytes: Uint8Array, offset: number, request: Request): boolean {
    const { tokens } = request
    if (request.verb !== VERB_SET || request.tokenCount < 5) return false
    const length = parseUint32(bytes, tokens[8]!, tokens[9]!)
    if (length < 0 || length > LENGTH_MAX) return false
    request.valueOffset = request.lineEnd + 1
    request.valueLength = length
    request.frameBytes = request.valueOffset + length + 2 - offset
    return true
  }

  /** True if there is enough to answer: all of it, or a length that will not be waited for. */
  isComplete(offset: number, end: number, request: Request): boolean {
    return request.valueLength > this.saslBytesMax || end - offset >= request.frameBytes
  }

  /** Logs in with the `<user> <password>` of a `set`. */
  start(connection: Connection, bytes: Uint8Array, request: Request): void {
    if (request.valueLength > this.saslBytesMax) {
      this.answer(connection, PROBLEM_LOGIN_TOO_LONG)
      return
    }
    const { valueOffset, valueLength } = request
    const valueEnd = valueOffset + valueLength
    if (bytes[valueEnd] !== CARRIAGE_RETURN || bytes[valueEnd + 1] !== LINE_FEED) {
      this.answer(connection, PROBLEM_LOGIN_TERMINATION)
      return
    }
    const space = bytes.indexOf(SPACE, valueOffset)
    if (space < 0 || space >= valueEnd) {
      this.answer(connection, PROBLEM_LOGIN_FORMAT)
      return
    }
    // The message of PLAIN (RFC 4616): no authorization identity, NUL, user, NUL, password.
    const message = Buffer.alloc(valueLength + 1)
    message.set(bytes.subarray(valueOffset, space), 1)
    message.set(bytes.subarray(space + 1, valueEnd), space - valueOffset + 2)
    const refusesPasswords = connection.transport.channel.refusesPasswords === true
    answerLoginStep(connection, connection.gate.start('PLAIN', message), (answer) => {
      if (answer.kind === 'success') this.replies.send(connection, STORED)
      else if (refusesPasswords) this.answer(connection, PROBLEM_LOGIN_NEEDS_TLS)
      else this.answer(connection, PROBLEM_LOGIN_FAILED)
    })
    message.fill(0)
  }

  /** sasl mech */
  list(connection: Connection): void {
    const { gate } = connection
    if (!gate.isRequired) this.answer(connection, PROBLEM_SASL_OFF)
    else this.replies.sendLine(connection, `SASL_MECH ${gate.mechanisms()}`)
  }

  /** sasl auth: the mechanism, if any, is the key; the message is the value. */
  sasl(connection: Connection, bytes: Uint8Array, request: Request): void {
    const { gate } = connection
    if (!gate.isRequired) {
      this.answer(connection, PROBLEM_SASL_OFF)
      return
    }
    answerLoginStep(connection, takeLoginStep(gate, request, bytes), (settled) => {
      switch (settled.kind) {
        case 'challenge':
          this.replies.sendLine(connection, `SASL_CONTINUE ${settled.bytes.length}`)
          this.replies.send(connection, Buffer.concat([settled.bytes, Buffer.from(LINE_END)]))
          return
        case 'success':
          this.replies.send(connection, SASL_OK)
          return
        case 'failure':
          this.replies.send(connection, AUTH_ERROR)
          return
        default:
          unreachable(settled)
      }
    })
  }

  private answer(connection: Connection, problem: number): void {
    this.replies.send(connection, PROBLEM_LINES[problem]!)
  }
}
