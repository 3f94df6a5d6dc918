/**
 * Who asks for a request to be carried out, and what it is held to: what a connection tells the command face, and all
 * that the rules about rights and namespaces are asked with. The gate of a connection is one.
 */
import type { KeyPrefixes } from '../credential/key-prefixes.ts'

export interface Caller {
  /** True while it is logged in, or where nobody need be. */
  readonly isOpen: boolean
  /** Undefined: once open, it may do everything. */
  readonly restriction: Restriction | undefined
  /**
   * To be told of what it had carried out that others notice, by the name in operations.ts, and of the
   * namespace if it named one.
   */
  operated?(operation: string, number: number, namespace?: string): void
  /** To be told of what it asked for and nobody has here, as that was switched off at the start. */
  withheld?(command: string): void
  /** The number of the namespace whose items it sees. */
  readonly namespace: number
}

/** What a caller is held to who may not do everything. */
export interface Restriction {
  /** Bits of RIGHT. */
  readonly rights: number
  /** Keys have to begin with one of them; undefined: any key will do. */
  readonly keyPrefixes: KeyPrefixes | undefined
  /**
   * To be told of each request that is refused: what was asked, what it lacks, and the key, if it has one,
   * whose bytes are the caller's.
   */
  refused(command: string, lack: Lack, key?: Uint8Array): void
}

export type Lack = 'right' | 'key'
