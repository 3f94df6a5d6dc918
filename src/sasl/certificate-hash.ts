/**
 * Which hash stands for a certificate in tls-server-end-point (RFC 5929, 4.1): that of the algorithm
 * by which the certificate is signed, and SHA-256 where that is MD5 or SHA-1. Reads as little of the
 * DER as that takes:
 *
 *   Certificate  ::=  SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm, signature }
 *   signatureAlgorithm  ::=  SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY }
 *
 * Undefined for whatever has no hash of its own (Ed25519, Ed448: the RFC leaves them open, and OpenSSL's
 * users and PostgreSQL offer nothing there) or more than one, and for bytes that are no certificate.
 */

const TAG_SEQUENCE = 0x30
const TAG_OBJECT_IDENTIFIER = 0x06
/** Explicit tags of RSASSA-PSS-params (RFC 8017, A.2.3): the hash, and the mask generation's. */
const TAG_PSS_HASH = 0xa0
const TAG_PSS_MASK = 0xa1

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

interface Element {
  readonly content: Uint8Array
  /** Whatever stands behind it. */
  readonly rest: Uint8Array
}

/** The hash's name as node:crypto has it. `certificate` is in DER. */
export function certificateHash(certificate: Uint8Array): string | undefined {
  if (certificate.length > CERTIFICATE_BYTES_MAX) return undefined
  const body = readElement(certificate, TAG_SEQUENCE)
  const signed = body && readElement(body.content, TAG_SEQUENCE)
  const algorithm = signed && readElement(signed.rest, TAG_SEQUENCE)
  const identifier = algorithm && readElement(algorithm.content, TAG_OBJECT_IDENTIFIER)
  if (identifier === undefined) return undefined
  const name = hexOf(identifier.content)
  return name === RSASSA_PSS ? hashOfPss(identifier.rest) : HASH_OF_SIGNATURE[name]
}

function hashOfPss(parameters: Uint8Array): string | undefined {
  const fields = readElement(parameters, TAG_SEQUENCE)
  if (fields === undefined) return undefined
  const hash = readElement(fields.content, TAG_PSS_HASH)
  const mask = readElement(hash?.rest ?? fields.content, TAG_PSS_MASK)
  const signed = hash === undefined ? 'sha1' : digestIn(hash.content)
  // The mask generation's own hash is the parameter of its algorithm, MGF1.
  const generator = mask && readElement(mask.content, TAG_SEQUENCE)
  const generatorName = generator && readElement(generator.content, TAG_OBJECT_IDENTIFIER)
  const masked = mask === undefined ? 'sha1' : generatorName && digestIn(generatorName.rest)
  if (signed === undefined || signed !== masked) return undefined
  return signed === 'sha1' ? 'sha256' : signed
}

/** The hash that an AlgorithmIdentifier names. */
function digestIn(bytes: Uint8Array): string | undefined {
  const algorithm = readElement(bytes, TAG_SEQUENCE)
  const identifier = algorithm && readElement(algorithm.content, TAG_OBJECT_IDENTIFIER)
  return identifier && HASH_OF_DIGEST[hexOf(identifier.content)]
}

/** The first element, if it has this tag and all of it is there. */
function readElement(bytes: Uint8Array, tag: number): Element | undefined {
  const [found, short] = bytes
  if (found !== tag || short === undefined) return undefined
  // Above 0x80 the length follows in as many bytes; four are more than CERTIFICATE_BYTES_MAX.
  const lengthBytes = short < 0x80 ? 0 : short - 0x80
  if (short === 0x80 || lengthBytes > 4 || bytes.length < 2 + lengthBytes) return undefined
  let length = short < 0x80 ? short : 0
  for (const byte of bytes.subarray(2, 2 + lengthBytes)) length = length * 256 + byte
  const start = 2 + lengthBytes
  if (bytes.length - start < length) return undefined
  const end = start + length
  return { content: bytes.subarray(start, end), rest: bytes.subarray(end) }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
