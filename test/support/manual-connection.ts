/**
 * A connection of the server's own code whose other parts a test moves by hand, where no kernel can
 * be told to do so to the byte: a pipe that lets go of its bytes when told to, turns that come when
 * they are given, a clock that stands still.
 */

import type { Channel } from '../../src/base/channel.ts'
import { Peer } from '../../src/base/peer.ts'
import { AuthGate, type LoginEvent } from '../../src/connection/auth-gate.ts'
import {
  Connection,
  type ConnectionContext,
  type Dialect,
} from '../../src/connection/connection.ts'
import { createNamespaceShares } from '../../src/connection/namespace-shares.ts'
import { ReplyMemory } from '../../src/connection/reply-memory.ts'
import type { SendBuffer } from '../../src/connection/send-buffer.ts'
import type { Receiver, Transport } from '../../src/connection/transport.ts'
import type { TurnCounts } from '../../src/connection/turn-counts.ts'
import type { ConnectionLimits } from '../../src/connection/worker-context.ts'
import type { SaslEnvironment } from '../../src/sasl/environment.ts'
import { manualCounts } from './turn-counts.ts'

const MEBIBYTE = 1024 * 1024

/** A pipe that takes what it is given; what of it is sent, its owner says by `unsentBytes`. */
export class ManualTransport implements Transport {
  readonly peer: Peer
  readonly channel: Channel
  unsentBytes = 0
  isOpen = true
  /** The client has reset it, and nobody reads. */
  wasReset = false
  /** How often the room that a connection had named was left. */
  leftRooms = 0
  /** All that was written. */
  writtenBytes = 0
  private receiver: Receiver | undefined = undefined
  private readonly parts: Uint8Array[] = []
  private tellWritten: () => void = () => undefined

  constructor(
    peer: Peer = Peer.at('192.0.2.1', 5),
    channel: Channel = { kind: 'tcp', listenerIndex: 0 },
  ) {
    this.peer = peer
    this.channel = channel
  }

  get output(): Buffer {
    return Buffer.concat(this.parts)
  }

  /** What is not sent yet is looked at when it is, as a socket does. */
  write(bytes: Uint8Array): number {
    this.unsentBytes += bytes.length
    this.writtenBytes += bytes.length
    this.parts.push(bytes)
    this.tellWritten()
    return this.unsentBytes
  }

  attach(receiver: Receiver): void {
    this.receiver = receiver
  }

  /** Resolves when something is written. */
  nextWrite(): Promise<void> {
    return new Promise((resolve) => {
      this.tellWritten = resolve
    })
  }

  /** The client sends. */
  deliver(bytes: Uint8Array): void {
    this.receiver?.receive(bytes, bytes.length)
  }

  /** The client, or who has dropped it, is gone. */
  leave(): void {
    this.receiver?.finish()
  }

  isReset(): boolean {
    return this.wasReset
  }

  resume(): void {}

  leaveRoom(): void {
    this.leftRooms++
  }

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
  readonly context: ConnectionContext
}

/** What an opened connection has of its server. */
export interface ManualParts {
  readonly sendBuffer: SendBuffer
  readonly lane: Float64Array
  readonly counts?: TurnCounts
  readonly replyMemory?: ReplyMemory
}

export interface ManualConnectionOptions {
  readonly limits?: Partial<ConnectionLimits>
  /** Undefined: the gate is open. */
  readonly sasl?: SaslEnvironment
  readonly loginAttemptsMax?: number
  readonly onLogin?: (event: LoginEvent) => void
  readonly hasRoomFor?: ConnectionContext['hasRoomFor']
  readonly countUnfinished?: ConnectionContext['countUnfinished']
  readonly refuseArriving?: ConnectionContext['refuseArriving']
  readonly isInputWanted?: ConnectionContext['isInputWanted']
  readonly isStrangersTurn?: ConnectionContext['isStrangersTurn']
  /** What it comes through; by default a TCP connection. */
  readonly channel?: Channel
}

/** So much that no test comes to the end of it. */
function manualReplyMemory(lane: Float64Array): ReplyMemory {
  return new ReplyMemory({
    lane,
    bytesMax: MEBIBYTE,
    valueBytesMax: MEBIBYTE,
    shares: createNamespaceShares(1),
    workerIndex: 0,
    namespaceCount: () => 1,
  })
}

export function openManualConnection(
  { sendBuffer, lane, counts, replyMemory }: ManualParts,
  dialect: Dialect,
  {
    limits = {},
    sasl,
    loginAttemptsMax = 5,
    onLogin = () => undefined,
    hasRoomFor = () => true,
    countUnfinished = () => undefined,
    refuseArriving = () => undefined,
    isInputWanted = () => false,
    isStrangersTurn = () => true,
    channel,
  }: ManualConnectionOptions = {},
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
    counts: counts ?? manualCounts(lane).counts,
    sendBuffer,
    replyMemory: replyMemory ?? manualReplyMemory(lane),
    nowMs: 0,
    epochSeconds: 0,
    isCrowded: false,
    isStopping: false,
    lingerMs: 1000,
    hasRoomFor,
    countUnfinished,
    refuseArriving,
    isInputWanted,
    isStrangersTurn,
    detect: () => dialect,
    defer: (connection) => deferred.push(connection),
    onGateChanged: () => undefined,
    onExpired: () => undefined,
    onLoginTimeout: () => undefined,
    onClosed: () => undefined,
  }
  const transport = new ManualTransport(undefined, channel)
  const gate = new AuthGate({ sasl, loginAttemptsMax, lane, onLogin }, transport)
  return { connection: new Connection(context, transport, gate, 1), transport, deferred, context }
}
