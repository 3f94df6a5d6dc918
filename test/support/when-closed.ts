/** Waiting for the end of a connection whose peer may cut it. */
import type { Duplex } from 'node:stream'

/** Resolves when it is closed, be it by a reset: whether that overtakes the end of the stream is the kernel's affair. */
export function whenClosed(socket: Duplex): Promise<void> {
  socket.on('error', () => undefined)
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
  })
}
