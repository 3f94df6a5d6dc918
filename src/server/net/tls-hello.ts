/**
 * Whether bytes can be the first of a TLS client, and how many of them its first message has, without
 * decoding it: what is no ClientHello is not worth a handshake, and gets no answer.
 *
 *     0      1          2        3            5      6        9
 *     | type | version (major, minor) | length | kind | length | ...        RFC 8446, 5.1 and 4
 *     `------ header of a record -------------'`-- the message --
 *
 * A message may go on in the next record, and its own header, too. OpenSSL takes the room for a message when it has
 * that header, and answers it when it has all of it: so it is given none that is not here whole.
 */

const RECORD_HEADER_BYTES = 5
const RECORD_BYTES_MAX = 16 * 1024
/** The records of the message, and what may come with them. */
export const HELLO_BYTES_MAX: number = 2 * (RECORD_HEADER_BYTES + RECORD_BYTES_MAX)
/** The kind, and a length of 24 bits. */
const MESSAGE_HEADER_BYTES = 4
/** What tells most of what is no hello is among the first bytes, whatever the record says of itself. */
export const HELLO_START_BYTES: number = RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES
/** Hellos have less than 4 KiB, keys that withstand quantum computers among it. */
const MESSAGE_BYTES_MAX = 16 * 1024

const TYPE_HANDSHAKE = 0x16
const MAJOR = 0x03
const MINOR_MAX = 0x04
const CLIENT_HELLO = 0x01

const NOTHING = Buffer.alloc(0)

/** The hello of one client as it comes, and what comes behind it while its handshake waits. */
export class HelloIntake {
  private bytes: Buffer = NOTHING
  /** So much of it has to be here. */
  private wantedBytes = 0

  get length(): number {
    return this.bytes.length
  }

  /** No handshake can be begun with it, or more has come than anybody has to say. */
  get isWrong(): boolean {
    return this.wantedBytes < 0 || this.bytes.length > HELLO_BYTES_MAX
  }

  get isWhole(): boolean {
    return this.wantedBytes > 0 && this.bytes.length >= this.wantedBytes
  }

  /** `bytes` are kept. */
  add(bytes: Buffer): void {
    const { wantedBytes } = this
    const before = this.bytes.length
    const wasWhole = this.isWhole
    this.bytes = before === 0 ? bytes : Buffer.concat([this.bytes, bytes])
    // Not with each byte that comes: a hello can have thousands of records.
    const isDue = before < HELLO_START_BYTES || this.bytes.length >= wantedBytes
    if (!wasWhole && isDue) this.wantedBytes = helloBytes(this.bytes)
  }

  /** All of it, which is not kept any more. */
  take(): Buffer {
    const { bytes } = this
    this.bytes = NOTHING
    return bytes
  }
}

/** So many bytes at least have to come before a handshake is begun; -1: these begin none. */
export function helloBytes(bytes: Uint8Array): number {
  /** Of the message, up to the record that is looked at. */
  let count = 0
  /** Its kind and its length, as far as they have come: four bytes are one number. */
  let header = 0
  for (let start = 0; ; ) {
    if (!isPossible(bytes, start)) return -1
    const content = start + RECORD_HEADER_BYTES
    if (bytes.length < content) return content
    const length = (bytes[content - 2]! << 8) | bytes[content - 1]!
    if (length === 0 || length > RECORD_BYTES_MAX) return -1
    const end = content + length
    for (let at = content; at < end && count + at - content < MESSAGE_HEADER_BYTES; at++) {
      const byte = bytes[at]
      if (byte === undefined) return end
      if (at === content && count === 0 && byte !== CLIENT_HELLO) return -1
      header = (header << 8) | byte
    }
    count += length
    if (count >= MESSAGE_HEADER_BYTES) {
      const messageBytes = MESSAGE_HEADER_BYTES + (header & 0xff_ff_ff)
      if (messageBytes > MESSAGE_BYTES_MAX) return -1
      if (count >= messageBytes) return end
    }
    if (bytes.length < end) return end
    start = end
  }
}

/** Whether a record of a handshake can begin at `start`, as far as it has come. */
function isPossible(bytes: Uint8Array, start: number): boolean {
  const type = bytes[start] ?? TYPE_HANDSHAKE
  const major = bytes[start + 1] ?? MAJOR
  const minor = bytes[start + 2] ?? MINOR_MAX
  return type === TYPE_HANDSHAKE && major === MAJOR && minor <= MINOR_MAX
}
