/**
 * Every way in which saslcached answers otherwise than memcached and means to. A transcript that
 * shows one names it; one that nobody shows is a line too many, and the test says so.
 */
export const DIFFERS_ON_PURPOSE: Readonly<Record<string, string>> = {
  'sasl-over-text': 'sasl mech and sasl auth log in over text with every mechanism',
  'version-before-login': 'version is answered before login, as in the binary dialect',
  'quit-before-login': 'quit is carried out before login',
  'reason-before-login': 'a stranger whose connection is ended is told why',
  'limited-attempts': 'failed logins of a connection are counted, and the last one ends it',
  'late-expiry': 'an expiry of 2038 or later is an expiry',
  'strict-base64': 'a key that is not base64 is refused, not read around',
  'exact-last-access': 'the last access is known to the second, not to the minute',
  'no-slabs': 'there are no slabs to move and no LRU to tune',
  'no-crawler': 'expired items leave by themselves: there is no crawler to steer',
  'no-extstore': 'items are kept in memory only',
  'tls-bytes': 'a TLS handshake on a plain port is ended at once',
}
