/** Keys, as people say them and as dumps have them. */
import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'

/** The bytes of a key, or what is wrong with it, which completes "the key ...". */
export function parseKey(text: string, isEncoded: boolean): Buffer | string {
  const bytes = isEncoded ? decodeKey(text) : Buffer.from(text)
  if (bytes === undefined) return 'is not as a dump shows it: % stands before two digits of 0-9A-F'
  if (bytes.length === 0) return 'is empty'
  if (bytes.length > KEY_BYTES_MAX) return `has ${bytes.length} bytes; at most ${KEY_BYTES_MAX} go`
  return bytes
}

/** The bytes of a percent-encoded key; undefined if it is none. */
export function decodeKey(text: string): Buffer | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is not in an encoded key.
  if (/%(?![0-9A-Fa-f]{2})|[\u0000-\u0020\u007f-\uffff]/.test(text)) return undefined
  const plain = text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return Buffer.from(plain, 'latin1')
}
