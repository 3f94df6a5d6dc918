/**
 * What the audit says of a key in the place of the key: the same for the same key as long as the server
 * runs, and of no use for finding it out by trying without the secret.
 */
import { createHmac } from 'node:crypto'

const TAG_BYTES = 8

export function keyTag(secret: Uint8Array, key: Uint8Array): string {
  const hashed = createHmac('sha256', secret).update('key\0').update(key).digest('hex')
  return `hmac:${hashed.slice(0, 2 * TAG_BYTES)}`
}
