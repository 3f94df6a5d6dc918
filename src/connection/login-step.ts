/**
 * One step of a SASL login, whichever dialect it comes in: the gate gets the mechanism and the response, its answer is
 * written in the dialect's words, and the connection learns what has become of its client.
 */
import { latin1 } from '../base/latin1.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Request } from '../protocol/request.ts'
import { VERB_SASL_START } from '../protocol/verbs.ts'
import type { AuthGate, GateAnswer } from './auth-gate.ts'
import type { Connection } from './connection.ts'
import { suspendLogin } from './suspended-login.ts'

/** Hands on the SASL request that was decoded last: its key names the mechanism, its value is the response. */
export function takeLoginStep(
  gate: AuthGate,
  request: Request,
  bytes: Uint8Array,
): GateAnswer | Promise<GateAnswer> {
  const { keyOffset, keyLength, valueOffset, valueLength } = request
  const response = bytes.subarray(valueOffset, valueOffset + valueLength)
  if (request.verb !== VERB_SASL_START) return gate.step(response)
  // An empty one is none: neither dialect can tell them apart.
  const initialResponse = valueLength === 0 ? undefined : response
  return gate.start(latin1(bytes, keyOffset, keyLength), initialResponse)
}

/** Has `write` write the answer, as soon as it is there; requests behind it wait. */
export function answerLoginStep(
  connection: Connection,
  answer: GateAnswer | Promise<GateAnswer>,
  write: (answer: GateAnswer) => void,
): void {
  const reply = (settled: GateAnswer): void => {
    write(settled)
    settle(connection, settled)
  }
  if (answer instanceof Promise) suspendLogin(connection, answer, reply)
  else reply(answer)
}

function settle(connection: Connection, answer: GateAnswer): void {
  switch (answer.kind) {
    case 'challenge':
      connection.loginContinues()
      return
    case 'success':
      connection.loginChanged()
      return
    case 'failure':
      connection.loginChanged()
      if (answer.isLast) connection.drain()
      return
    default:
      unreachable(answer)
  }
}
