/**
 * Every way in which saslcached answers otherwise than memcached and means to. A transcript that
 * shows one names it; one that nobody shows is a line too many, and the test says so.
 */
export const DIFFERS_ON_PURPOSE: Readonly<Record<string, string>> = {
  'sasl-over-text': 'sasl mech and sasl auth log in over text with every mechanism',
  'version-before-login': 'version is answered before login, as in the binary dialect',
  'quit-before-login': 'quit is carried out before login',
  'reason-before-login': 'a stranger whose connection is ended is told why',
  'each-answered-before-login': 'of several requests of a stranger in one packet each is answered',
  'limited-attempts': 'failed logins of a connection are counted, and the last one ends it',
  'late-expiry': 'an expiry of 2038 or later is an expiry',
  'strict-base64': 'a key that is not base64 is refused, not read around',
  'exact-last-access': 'the last access is known to the second, not to the minute',
  'no-empty-line': 'no empty line follows the error of a retrieval whose key is too long',
  'flags-of-32-bits': 'flags of 2^32 and more are refused, not cut',
  'debug-of-base64': 'me finds the item of a base64 key',
  'invalid-flag': 'punctuation as a meta flag is an invalid flag, and ms skips its block',
  'minus-zero': 'a minus without digits is no number, and -0 no length',
  'plus-in-times': 'a plus may stand before every time, as in a set',
  'times-of-32-bits': 'an expiry beyond 32 bits is refused, not cut',
  'numbers-of-2-kib': 'incr takes no value longer than 2048 bytes for a number',
  'blank-is-no-number': 'a value of blanks alone is no number',
  'delay-of-flush': 'flush_all 1 waits for its second',
  'key-as-asked': 'the key of an answer is in the form of its request',
  'longer-number': 'a number that gets longer keeps its marks, and T and E of ma hold for it',
  'sizes-switch': 'stats sizes_enable and sizes_disable are there',
  'whole-words': 'words of operators are not taken for longer ones that they begin',
  'no-slabs': 'there are no slabs to move',
  'no-extstore': 'items are kept in memory only',
  'tls-bytes': 'a TLS handshake on a plain port is ended at once',
}
