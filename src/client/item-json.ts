/** Keys and items as JSON: text where the bytes are text, base64 where they are not. */
import { decodeUtf8 } from './printable.ts'
import type { Item } from './session.ts'

export function keyJson(key: Uint8Array): Record<string, unknown> {
  return bytesJson('key', key)
}

export function itemJson({ value, flags, cas, ttl }: Item): Record<string, unknown> {
  // 64 bits are more than a JSON number is sure to keep: CAS is a string.
  return { ...bytesJson('value', value), flags, cas, ttl: ttl === 'never' ? null : ttl }
}

function bytesJson(name: string, bytes: Uint8Array): Record<string, unknown> {
  const text = decodeUtf8(bytes)
  return text === undefined
    ? { [`${name}_base64`]: Buffer.from(bytes).toString('base64') }
    : { [name]: text }
}
