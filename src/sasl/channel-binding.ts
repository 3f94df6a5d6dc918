/**
 * Channel binding (RFC 5056): what a SCRAM client proves to share with us of the TLS connection under
 * its login. Who sits in between, with a certificate that the client took for ours, has another
 * connection to each side, so the proof that it passes on does not fit.
 *
 * - `tls-exporter` (RFC 9266) tells connections apart; on TLS 1.3 only.
 * - `tls-server-end-point` (RFC 5929, 4) tells servers' certificates apart; on any TLS, unless the
 *   certificate's signature has no hash of its own (certificate-hash.ts). All it shows is that the client
 *   saw our certificate, which is enough as long as nobody else has its key.
 *
 * `tls-unique` is not offered: TLS 1.3 does not have it (RFC 9266, 2), and on TLS 1.2 it is safe only with
 * the extended master secret (RFC 7627), of which Node cannot tell whether a connection has it. The
 * same is why there is no exporter on TLS 1.2.
 */
import { createHash } from 'node:crypto'
import type { Channel } from '../base/channel.ts'
import { certificateHash } from './certificate-hash.ts'

const TLS_1_3 = 'TLSv1.3'

/** Whether a channel has anything that a login could be bound to. */
export function canBind({ tls }: Channel): boolean {
  if (tls === undefined) return false
  if (tls.version === TLS_1_3) return true
  const { localCertificate } = tls
  return localCertificate !== undefined && certificateHash(localCertificate) !== undefined
}

/**
 * What a login on this channel is bound to, of a type by its registered name (RFC 5056, 7.1); undefined
 * for a type that is not known here or that the channel does not have. Secret.
 */
export function bindingData({ tls }: Channel, type: string): Uint8Array | undefined {
  if (tls === undefined) return undefined
  switch (type) {
    case 'tls-exporter':
      return tls.version === TLS_1_3 ? tls.exporter() : undefined
    case 'tls-server-end-point':
      return endPoint(tls.localCertificate)
    default:
      return undefined
  }
}

function endPoint(certificate: Uint8Array | undefined): Uint8Array | undefined {
  const hash = certificate && certificateHash(certificate)
  if (certificate === undefined || hash === undefined) return undefined
  return createHash(hash).update(certificate).digest()
}
