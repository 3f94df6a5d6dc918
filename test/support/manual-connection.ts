/**
 * A connection of the server's own code whose other parts a test moves by hand, where no kernel can
 * be told to do so to the byte: a pipe that lets go of its bytes when told to, turns that come when
 * they are given, a clock that stands still. The gate is open.
 */
import { AuthGate } from '../../src/connection/auth-gate.ts'
import {
  Connection,
  type ConnectionContext,
  type ConnectionLimits,
  type Dialect,
} from '../../src/connection/connection.ts'
import type { SendBuffer } from '../../src/connection/send-buffer.ts'
import type { Transport } from '../../src/connection/transport.ts'

/** A pipe that takes what it is given; what of it is sent, its owner says by `unsentBytes`. */
export class ManualTransport implements Transport {
  readonly peer: string = '192.0.2.1:5'
  unsentBytes = 0
  isOpen = true
  private readonly parts: Uint8Array[] = []

  get output(): Buffer {
    return Buffer.concat(this.parts)
  }

  /** What is not sent yet is looked at when it is, as a socket does. */
  write(bytes: Uint8Array): number {
    this.unsentBytes += bytes.length
    this.parts.push(bytes)
    return this.unsentBytes
  }

  resume(): void {}

  end(): void {
    this.isOpen = false
  }

  destroy(): void {
    this.isOpen = false
  }
}

export interface ManualConnection {
  readonly connection: Connection
  readonly transport: ManualTransport
  /** Who waits for a turn, in order: whoever takes one out calls its `continueServing`. */
  readonly deferred: Connection[]
}

export function openManualConnection(
  dialect: Dialect,
  sendBuffer: SendBuffer,
  lane: Float64Array,
  limits: Partial<ConnectionLimits> = {},
): ManualConnection {
  const deferred: Connection[] = []
  const context: ConnectionContext = {
    limits: {
      loginTimeoutMs: 1000,
      crowdedLoginTimeoutMs: 1000,
      idleTimeoutMs: 0,
      stalledWriteTimeoutMs: 0,
      sendBufferBytesMax: 20_000,
      ...limits,
    },
    lane,
    sendBuffer,
    nowMs: 0,
    isCrowded: false,
    isStopping: false,
    lingerMs: 1000,
    hasRoomFor: () => true,
    detect: () => dialect,
    defer: (connection) => deferred.push(connection),
    onGateChanged: () => undefined,
    onClosed: () => undefined,
  }
  const transport = new ManualTransport()
  const gate = new AuthGate(
    { sasl: undefined, loginAttemptsMax: 5, lane, onLogin: () => undefined },
    transport.peer,
  )
  return { connection: new Connection(context, transport, gate, 1), transport, deferred }
}
