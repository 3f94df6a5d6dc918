/**
 * Who is at the other end of a connection. Made once, when the connection is accepted, and handed to
 * whoever asks: the log, admission, the turns at key derivation.
 */
import { type SourceKey, sourceKey, sourceNetwork, sourceSite } from './source-network.ts'

export class Peer {
  /** `192.0.2.1` or `2001:db8::1`; of a peer without one, the same as `text`. */
  readonly address: string
  /** `192.0.2.1:5`, `[2001:db8::1]:5`, or a name in the place of an address, for people to read. */
  readonly text: string
  /** Whom it is taken to be one source with, see source-network.ts. */
  readonly network: string
  /** The same, for whoever counts by it. */
  readonly networkKey: SourceKey

  constructor(address: string, text: string) {
    this.address = address
    this.text = text
    this.network = sourceNetwork(address)
    this.networkKey = sourceKey(this.network)
  }

  /** Who shares turns and lines with it, however many sources of theirs there are; seldom asked for. */
  get site(): string {
    return sourceSite(this.network)
  }

  /** Nothing between it and us leaves the machine: a loopback address. */
  get isThisMachine(): boolean {
    return this.address.startsWith('127.') || this.address === '::1'
  }

  static at(address: string, port: number): Peer {
    const host = address.includes(':') ? `[${address}]` : address
    return new Peer(address, `${host}:${port}`)
  }
}

/** Peers on Unix sockets have no names: all of them are one source. */
export const UNIX_PEER: Peer = new Peer('unix', 'unix')

/** Of a connection that was reset before anybody asked whose it was; its last bytes may still be read. */
export const UNKNOWN_PEER: Peer = new Peer('unknown', 'unknown')
