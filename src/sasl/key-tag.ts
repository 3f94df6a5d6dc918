/**
 * What is told of a key, or of a connection, in its place: the same for the same one as long as the server
 * runs, and of no use for finding it out by trying without the secret.
 */
import { createHmac } from 'node:crypto'
import { NAMESPACE_IDS } from '../base/namespaces-max.ts'

const TAG_BYTES = 8
/** Of connections that a thread keeps the numbers of: about 200 KiB. */
export const CONNECTION_TAGS_MAX = 4096

export function keyTag(secret: Uint8Array, key: Uint8Array): string {
  const hashed = createHmac('sha256', secret).update('key\0').update(key).digest('hex')
  return `hmac:${hashed.slice(0, 2 * TAG_BYTES)}`
}

/** The numbers of connections as namespaces are told them. Those asked for are kept: a hash costs more than a line. */
export class ConnectionTags {
  private readonly secret: Uint8Array
  private readonly tags: Map<number, number> = new Map()

  constructor(secret: Uint8Array) {
    this.secret = secret
  }

  of(namespace: number, id: number): number {
    // Still a whole number that a double holds.
    const key = id * NAMESPACE_IDS + namespace
    let tag = this.tags.get(key)
    if (tag === undefined) {
      tag = connectionTag(this.secret, namespace, id)
      // All at once: it costs no order to keep, and each is made again at most once in as many.
      if (this.tags.size >= CONNECTION_TAGS_MAX) this.tags.clear()
      this.tags.set(key, tag)
    }
    return tag
  }

  /** Nobody asks any more. */
  clear(): void {
    this.tags.clear()
  }
}

/** 31 bits, as of a file descriptor. */
function connectionTag(secret: Uint8Array, namespace: number, id: number): number {
  const hashed = createHmac('sha256', secret).update(`connection\0${namespace}\0${id}`).digest()
  return hashed.readInt32BE() & 0x7fffffff
}
