/**
 * What a worker needs to speak TLS: certificates, keys, and what they are offered with. The main thread
 * makes it (server/main/certificate-reload.ts), and a new one for every reload and every rotation of the
 * ticket keys; workers apply it whole (server/net/tls-contexts.ts).
 *
 * Invariant: a plain record that survives the structured clone. It holds private keys: never in a log.
 */
import type { TlsIdentity } from '../../credential/tls-identity.ts'

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'

/** As memcached's ssl_verify_mode: none, ask for one, require one, ask once. */
export type TlsVerifyMode = 0 | 1 | 2 | 3

export interface TlsMaterial {
  /** At least one; the first is for clients that name no host, or one that nobody has. */
  readonly identities: readonly TlsIdentity[]
  /** PEM: who signs the certificates of clients. */
  readonly ca: string | undefined
  /** PEM: which of these certificates were revoked. */
  readonly crl: string | undefined
  /** 48 bytes, the same for all workers, so that each resumes what another began. */
  readonly ticketKeys: Uint8Array
  readonly minVersion: TlsVersion
  /** In OpenSSL's syntax; undefined: Node's. */
  readonly ciphers: string | undefined
  readonly verifyMode: TlsVerifyMode
  /** Counts from 1; a worker tells which one it has. */
  readonly generation: number
  /** When the certificates were read, in seconds since 1970: time_since_server_cert_refresh. */
  readonly loadedAtSeconds: number
}
