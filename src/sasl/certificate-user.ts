/**
 * Whom a client's certificate names: one field of it, by configuration, and it must be a user of ours. A CA
 * vouches for a name, and never makes a user of it.
 *
 * Invariant: exactly one user is named, or nobody. A certificate that fits two users is refused rather
 * than taken for the first of them.
 */
import type { Channel, PeerCertificate } from '../base/channel.ts'
import { unreachable } from '../base/unreachable.ts'
import type { CredentialStore } from '../credential/credential-store.ts'
import { NAME_BYTES_MAX, prepare } from '../credential/prepare.ts'
import type { FailureReason } from './failure-reason.ts'

/** Which names of a certificate are looked at: of its subject, or of one kind of alternative name. */
export type CertificateField = 'cn' | 'dns' | 'email' | 'uri'

/** Certificates of clients have a few; each takes a SASLprep and a look-up. */
const NAMES_MAX = 32

interface NamedUser {
  readonly user: string
  /** Until when the certificate vouches for it, in seconds since 1970. */
  readonly validTo: number
}

/** What is needed to tell whom a certificate names. */
interface Naming {
  readonly certificateField: CertificateField | undefined
  readonly credentials: Pick<CredentialStore, 'has'>
  readonly epochSeconds: () => number
}

/** The one user whom the channel's client certificate names, or why there is none. */
export function userOfCertificate(
  { tls }: Channel,
  { certificateField, credentials, epochSeconds }: Naming,
): NamedUser | FailureReason {
  if (certificateField === undefined) return 'unknown-mechanism'
  const certificate = tls?.certificate
  if (certificate === undefined) return 'no-certificate'
  // It was good when the handshake was, or when the session began that was resumed.
  if (certificate.validTo <= epochSeconds()) return 'certificate-expired'
  const names = namesOf(certificate, certificateField)
  if (names.length > NAMES_MAX) return 'certificate-of-several'
  const users = new Set<string>()
  for (const raw of names) {
    if (Buffer.byteLength(raw) > NAME_BYTES_MAX) continue
    const name = prepare(raw)
    if (credentials.has(name)) users.add(name)
  }
  const [user] = users
  if (user === undefined) return 'certificate-of-nobody'
  return users.size === 1 ? { user, validTo: certificate.validTo } : 'certificate-of-several'
}

function namesOf(certificate: PeerCertificate, field: CertificateField): readonly string[] {
  switch (field) {
    case 'cn':
      return certificate.commonNames
    case 'dns':
      return certificate.dnsNames
    case 'email':
      return certificate.emailAddresses
    case 'uri':
      return certificate.uris
    default:
      return unreachable(field)
  }
}
