/** What a listener makes handshakes with: the certificates that a test gives, if any, and all else as it comes. */
import type { TlsMaterial } from '../../src/server/net/tls-material.ts'

export function tlsMaterial(identities: TlsMaterial['identities'] = []): TlsMaterial {
  return {
    identities,
    ca: undefined,
    crl: undefined,
    ticketKeys: new Uint8Array(48),
    minVersion: 'TLSv1.2',
    ciphers: undefined,
    verifyMode: 0,
    generation: 1,
    loadedAtSeconds: 0,
  }
}
