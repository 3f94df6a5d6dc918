/** An accepted socket's handle, as Node has it inside: what every way of serving it needs of it. */
import type { WritableHandle } from './handle-writer.ts'

export interface AcceptedHandle extends WritableHandle {
  close(): void
  getpeername?(out: PeerName): number
}

export interface PeerName {
  address?: string
  port?: number
}
