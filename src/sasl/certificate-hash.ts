/**
 * Which hash stands for a certificate in tls-server-end-point (RFC 5929, 4.1): that of the algorithm
 * by which the certificate is signed, and SHA-256 where that is MD5 or SHA-1. Reads as little of the
 * DER as that takes:
 *
 *   Certificate  ::=  SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm, signature }
 *   signatureAlgorithm  ::=  SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY }
 *
 * Undefined for whatever has no hash of its own (Ed25519, Ed448) or more than one, which the RFC leaves
 * open, and for bytes that are no certificate.
 */
import {
  DER_CONTEXT,
  DER_OID,
  DER_SEQUENCE,
  type DerElement,
  derParts,
  readDer,
} from '../credential/der.ts'

/** Of RSASSA-PSS-params (RFC 8017, A.2.3): the hash, the mask generation, and what both are without. */
const PSS_HASH = DER_CONTEXT
const PSS_MASK = DER_CONTEXT | 1
const PSS_DEFAULT = 'sha1'

/** Longer ones are none: an RSA key of 16384 bits makes a certificate of some 5 KiB. */
const CERTIFICATE_BYTES_MAX = 65536

/** By the algorithm's object identifier, its DER in hexadecimal digits. */
const HASH_OF_SIGNATURE: Readonly<Record<string, string>> = {
  // RSA (RFC 8017): md5, sha1, sha256, sha384, sha512, sha224, sha512-224, sha512-256.
  '2a864886f70d010104': 'sha256',
  '2a864886f70d010105': 'sha256',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a864886f70d01010e': 'sha224',
  '2a864886f70d01010f': 'sha512-224',
  '2a864886f70d010110': 'sha512-256',
  // ECDSA (RFC 5758): sha1, sha224, sha256, sha384, sha512.
  '2a8648ce3d0401': 'sha256',
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  // DSA (RFC 5758): sha1, sha224, sha256.
  '2a8648ce380403': 'sha256',
  '608648016503040301': 'sha224',
  '608648016503040302': 'sha256',
}

const RSASSA_PSS = '2a864886f70d01010a'

/** The hashes that RSASSA-PSS names (RFC 8017, B.1); SHA-1 if it names none. */
const HASH_OF_DIGEST: Readonly<Record<string, string>> = {
  '2b0e03021a': 'sha1',
  '608648016503040204': 'sha224',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}

/** The hash's name as node:crypto has it. `certificate` is in DER. */
export function certificateHash(certificate: Uint8Array): string | undefined {
  if (certificate.length > CERTIFICATE_BYTES_MAX) return undefined
  const [whole] = readDer(certificate) ?? []
  const [, algorithm] = derParts(whole, DER_SEQUENCE) ?? []
  const [identifier, parameters] = derParts(algorithm, DER_SEQUENCE) ?? []
  const name = nameIn(identifier)
  return name === RSASSA_PSS ? hashOfPss(parameters) : HASH_OF_SIGNATURE[name]
}

function hashOfPss(parameters: DerElement | undefined): string | undefined {
  const fields = derParts(parameters, DER_SEQUENCE)
  if (fields === undefined) return undefined
  const signed = fields.find(({ tag }) => tag === PSS_HASH)
  const mask = fields.find(({ tag }) => tag === PSS_MASK)
  const hash = digestIn(derParts(signed, PSS_HASH)?.[0], signed === undefined)
  // The mask generation's own hash is the parameter of its algorithm, MGF1.
  const [, ofMask] = derParts(derParts(mask, PSS_MASK)?.[0], DER_SEQUENCE) ?? []
  if (hash === undefined || hash !== digestIn(ofMask, mask === undefined)) return undefined
  return hash === PSS_DEFAULT ? 'sha256' : hash
}

/** The hash that an AlgorithmIdentifier names; the default where the field is left out. */
function digestIn(algorithm: DerElement | undefined, isLeftOut: boolean): string | undefined {
  if (isLeftOut) return PSS_DEFAULT
  const [identifier] = derParts(algorithm, DER_SEQUENCE) ?? []
  return HASH_OF_DIGEST[nameIn(identifier)]
}

/** The object identifier, in hexadecimal digits; empty if it is none. */
function nameIn(identifier: DerElement | undefined): string {
  return identifier?.tag === DER_OID ? Buffer.from(identifier.content).toString('hex') : ''
}
