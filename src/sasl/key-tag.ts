/**
 * What is told of a key, or of a connection, in its place: the same for the same one as long as the server
 * runs, and of no use for finding it out by trying without the secret.
 */
import { createHmac } from 'node:crypto'

const TAG_BYTES = 8

export function keyTag(secret: Uint8Array, key: Uint8Array): string {
  const hashed = createHmac('sha256', secret).update('key\0').update(key).digest('hex')
  return `hmac:${hashed.slice(0, 2 * TAG_BYTES)}`
}

/** The number of a connection as a namespace is told it: 31 bits, as of a file descriptor. */
export function connectionTag(secret: Uint8Array, namespace: number, id: number): number {
  const hashed = createHmac('sha256', secret).update(`connection\0${namespace}\0${id}`).digest()
  return hashed.readInt32BE() & 0x7fffffff
}
