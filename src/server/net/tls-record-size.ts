/**
 * What a record of TLS has beside what is in it. Node hands over what it decrypts record by record, so that what a
 * client needed on the wire for what it said is known from without, and what else it sent: wishes for new keys
 * (KeyUpdate, RFC 8446, 4.6.3), or to be keyed anew, of which Node tells nobody. Such a wish has 27 bytes: were a record
 * taken for so many more than it needs, each could bring one along.
 */
import type { SessionFacts } from './tls-session.ts'

const HEADER_BYTES = 5
const TAG_BYTES = 16
/** RFC 8446, 5.2. */
const TYPE_BYTES = 1
/** RFC 5288, 3; ChaCha20 has none. */
const NONCE_BYTES = 8
/** RFC 5246, 6.2.3.2, which only an operator's own list of ciphers brings: with SHA-384, and all the padding there can be. */
const CBC_IV_BYTES = 16
const CBC_MAC_BYTES = 48
const CBC_PADDING_BYTES = 256

const AUTHENTICATED = /GCM|CCM|CHACHA20/

/** At most, without the padding that a client of 1.3 may add. Of a session whose handshake is done. */
export function recordOverheadBytes(
  socket: Pick<SessionFacts, 'getProtocol' | 'getCipher'>,
): number {
  if (socket.getProtocol() === 'TLSv1.3') return HEADER_BYTES + TYPE_BYTES + TAG_BYTES
  if (AUTHENTICATED.test(socket.getCipher().name)) return HEADER_BYTES + NONCE_BYTES + TAG_BYTES
  return HEADER_BYTES + CBC_IV_BYTES + CBC_MAC_BYTES + CBC_PADDING_BYTES
}
