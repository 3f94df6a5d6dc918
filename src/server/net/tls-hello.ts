/**
 * Whether bytes can be the first of a TLS client, and how many of them its first message has, without
 * decoding it: what is no ClientHello is not worth a handshake, and gets no answer.
 *
 *     0      1          2        3            5      6
 *     | type | version (major, minor) | length | kind of message | ...        RFC 8446, 5.1 and 4
 */

const RECORD_HEADER_BYTES = 5
const RECORD_BYTES_MAX = 16 * 1024
/** The first record, and what may come with it. */
export const HELLO_BYTES_MAX: number = 2 * (RECORD_HEADER_BYTES + RECORD_BYTES_MAX)

const TYPE_HANDSHAKE = 0x16
const MAJOR = 0x03
const MINOR_MAX = 0x04
const CLIENT_HELLO = 0x01

/** So many bytes at least have to come before a handshake is begun; -1: these begin none. */
export function helloBytes(bytes: Uint8Array): number {
  if (!isPossible(bytes)) return -1
  if (bytes.length < RECORD_HEADER_BYTES) return RECORD_HEADER_BYTES
  const length = (bytes[3]! << 8) | bytes[4]!
  return length === 0 || length > RECORD_BYTES_MAX ? -1 : RECORD_HEADER_BYTES + length
}

function isPossible(bytes: Uint8Array): boolean {
  const [type = TYPE_HANDSHAKE, major = MAJOR, minor = MINOR_MAX, , , kind = CLIENT_HELLO] = bytes
  return type === TYPE_HANDSHAKE && major === MAJOR && minor <= MINOR_MAX && kind === CLIENT_HELLO
}
