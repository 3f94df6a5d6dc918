/**
 * Whether an authority has signed a list of revoked certificates. OpenSSL looks only when a client comes,
 * and then refuses everybody: a list that is spoiled has to be found before it is in force.
 */
import { verify, type X509Certificate } from 'node:crypto'
import { DER_OID, DER_SEQUENCE, type DerElement, derParts } from './der.ts'

/** What was signed, and how. */
export interface Signed {
  readonly bytes: Uint8Array
  /** An AlgorithmIdentifier. */
  readonly algorithm: DerElement
  readonly signature: Uint8Array
}

/** Hashes by the algorithm's object identifier in hexadecimal digits; null where it has its own. */
const HASHES: Readonly<Record<string, string | null>> = {
  // RSA with PKCS #1 1.5 (RFC 8017).
  '2a864886f70d010105': 'sha1',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  // ECDSA (RFC 5758).
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  // Ed25519, Ed448 (RFC 8410).
  '2b6570': null,
  '2b6571': null,
}

/** Undefined: it is signed by an algorithm that is left to OpenSSL. */
export function isListSignedBy(
  { bytes, algorithm, signature }: Signed,
  authority: Pick<X509Certificate, 'publicKey'>,
): boolean | undefined {
  const [identifier] = derParts(algorithm, DER_SEQUENCE) ?? []
  const isNamed = identifier?.tag === DER_OID
  const hash = isNamed ? HASHES[Buffer.from(identifier.content).toString('hex')] : undefined
  if (hash === undefined) return undefined
  try {
    return verify(hash, bytes, authority.publicKey, signature)
  } catch {
    // A key of another kind than the signature.
    return false
  }
}
