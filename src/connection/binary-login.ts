/**
 * The login of a binary client: SASL list mechs, auth and step, as the protocol has them. What an answer means is the
 * gate's; here it gets its status and its body.
 */

import { unreachable } from '../base/unreachable.ts'
import {
  MECHANISM_NAME_BYTES_MAX,
  STATUS_AUTH_CONTINUE,
  STATUS_AUTH_ERROR,
  STATUS_OK,
} from '../protocol/binary/wire.ts'
import { OUTCOME_INVALID, OUTCOME_UNKNOWN_COMMAND, type Request } from '../protocol/request.ts'
import { VERB_SASL_LIST } from '../protocol/verbs.ts'
import type { GateAnswer } from './auth-gate.ts'
import type { Connection } from './connection.ts'
import { answerLoginStep, takeLoginStep } from './login-step.ts'

const encoder = new TextEncoder()
const BODY_AUTHENTICATED = encoder.encode('Authenticated')
const BODY_AUTH_FAILURE = encoder.encode('Auth failure.')

/** Who writes the replies. */
export interface BinaryWriter {
  writeOutcome(outcome: number): void
  writeBody(connection: Connection, status: number, body: Uint8Array): void
}

export class BinaryLogin {
  private readonly request: Request
  private readonly writer: BinaryWriter

  constructor(request: Request, writer: BinaryWriter) {
    this.request = request
    this.writer = writer
  }

  /** Serves the request of one of the SASL verbs that was decoded last, whose offsets point into `bytes`. */
  serve(connection: Connection, bytes: Uint8Array): void {
    const { request, writer } = this
    const { gate } = connection
    if (!gate.isRequired) {
      writer.writeOutcome(OUTCOME_UNKNOWN_COMMAND)
      return
    }
    if (request.verb === VERB_SASL_LIST) {
      writer.writeBody(connection, STATUS_OK, encoder.encode(gate.mechanisms()))
      return
    }
    if (request.keyLength > MECHANISM_NAME_BYTES_MAX) {
      writer.writeOutcome(OUTCOME_INVALID)
      return
    }
    // The request record is used for others while the answer is awaited: keep what it echoes.
    const { opcode, opaque } = request
    answerLoginStep(connection, takeLoginStep(gate, request, bytes), (answer) => {
      request.opcode = opcode
      request.opaque = opaque
      this.answer(connection, answer)
    })
  }

  private answer(connection: Connection, answer: GateAnswer): void {
    const { writer } = this
    switch (answer.kind) {
      case 'challenge':
        writer.writeBody(connection, STATUS_AUTH_CONTINUE, answer.bytes)
        return
      case 'success':
        writer.writeBody(connection, STATUS_OK, BODY_AUTHENTICATED)
        return
      case 'failure':
        writer.writeBody(connection, STATUS_AUTH_ERROR, BODY_AUTH_FAILURE)
        return
      default:
        unreachable(answer)
    }
  }
}
