/**
 * The parts of certificates and of lists of revoked ones (RFC 5280) that node:crypto does not tell, by
 * position. Nothing is verified here.
 */
import {
  DER_BIT_STRING,
  DER_BOOLEAN,
  DER_CONTEXT,
  DER_GENERALIZED_TIME,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  DER_UTC_TIME,
  type DerElement,
  derParts,
  readDer,
} from './der.ts'
import type { Signed } from './revocation-signature.ts'

export interface TbsCertificate {
  readonly issuer: DerElement
  readonly subject: DerElement
  /** Milliseconds since 1970, the last at which it is good. */
  readonly notAfterMs: number
  readonly extensions: readonly DerElement[]
}

/** RFC 5280, 4.1; undefined if it is not that. */
export function readTbsCertificate(raw: Uint8Array): TbsCertificate | undefined {
  const tbs = derParts(signedPart(raw), DER_SEQUENCE)
  if (tbs === undefined) return undefined
  const fields = tbs[0]?.tag === DER_CONTEXT ? tbs.slice(1) : tbs
  const [serial, algorithm, issuer, validity, subject, publicKey, ...optional] = fields
  if (serial?.tag !== DER_INTEGER || issuer === undefined || subject === undefined) return undefined
  for (const sequence of [algorithm, issuer, validity, subject, publicKey]) {
    if (sequence?.tag !== DER_SEQUENCE) return undefined
  }
  const notAfterMs = readEnd(validity)
  if (notAfterMs === undefined) return undefined
  const wrapper = optional.find(({ tag }) => tag === (DER_CONTEXT | 3))
  if (wrapper === undefined) return { issuer, subject, notAfterMs, extensions: [] }
  const [list, ...others] = readDer(wrapper.content) ?? []
  const extensions = others.length > 0 ? undefined : derParts(list, DER_SEQUENCE)
  return extensions === undefined ? undefined : { issuer, subject, notAfterMs, extensions }
}

/**
 * The value of the extension with this OID, in hexadecimal digits; `wrong` if it stands there twice, or
 * any of them is not what RFC 5280, 4.1 says.
 */
export function extensionOf(
  extensions: readonly DerElement[],
  oid: string,
): Uint8Array | 'none' | 'wrong' {
  let found: Uint8Array | undefined
  for (const extension of extensions) {
    const parts = derParts(extension, DER_SEQUENCE) ?? []
    const [type, second] = parts
    const value = second?.tag === DER_BOOLEAN ? parts[2] : second
    if (type?.tag !== DER_OID || value?.tag !== DER_OCTET_STRING) return 'wrong'
    if (Buffer.from(type.content).toString('hex') !== oid) continue
    if (found !== undefined) return 'wrong'
    found = value.content
  }
  return found ?? 'none'
}

export interface RevocationList {
  /** DER of the name of who made it. */
  readonly issuer: Uint8Array
  /** Milliseconds since 1970 from which on it is not good any more; undefined if it does not say. */
  readonly nextUpdateMs: number | undefined
  readonly signed: Signed
}

/** RFC 5280, 5.1; undefined if it is not that. */
export function readRevocationList(raw: Uint8Array): RevocationList | undefined {
  const signed = readSigned(raw)
  const tbs = derParts(signedPart(raw), DER_SEQUENCE)
  if (tbs === undefined || signed === undefined) return undefined
  const [algorithm, issuer, thisUpdate, next] = tbs[0]?.tag === DER_INTEGER ? tbs.slice(1) : tbs
  if (algorithm?.tag !== DER_SEQUENCE || issuer?.tag !== DER_SEQUENCE) return undefined
  if (thisUpdate === undefined || readTime(thisUpdate) === undefined) return undefined
  const nextUpdateMs = next === undefined ? undefined : readTime(next)
  return { issuer: issuer.whole, nextUpdateMs, signed }
}

function readSigned(raw: Uint8Array): Signed | undefined {
  const [tbs, algorithm, signature] = derParts(readDer(raw)?.[0], DER_SEQUENCE) ?? []
  if (tbs === undefined || algorithm?.tag !== DER_SEQUENCE) return undefined
  // The first byte of a BIT STRING counts bits that are not used.
  if (signature?.tag !== DER_BIT_STRING || signature.content[0] !== 0) return undefined
  return { bytes: tbs.whole, algorithm, signature: signature.content.subarray(1) }
}

/** What is signed: the first of the three parts. */
function signedPart(raw: Uint8Array): DerElement | undefined {
  const [whole, ...others] = readDer(raw) ?? []
  const parts = others.length > 0 ? undefined : derParts(whole, DER_SEQUENCE)
  return parts?.length === 3 ? parts[0] : undefined
}

/** RFC 5280, 4.1.2.5. */
function readEnd(validity: DerElement | undefined): number | undefined {
  const [begin, end, ...others] = derParts(validity, DER_SEQUENCE) ?? []
  if (begin === undefined || end === undefined || others.length > 0) return undefined
  return readTime(begin) === undefined ? undefined : readTime(end)
}

/** UTCTime `yymmddhhmmssZ`, GeneralizedTime `yyyymmddhhmmssZ`. */
function readTime({ tag, content }: DerElement): number | undefined {
  const text = Buffer.from(content).toString('latin1')
  const [, century, rest = ''] = /^(\d\d)?(\d{12})Z$/.exec(text) ?? []
  if (tag !== (century === undefined ? DER_UTC_TIME : DER_GENERALIZED_TIME)) return undefined
  const [year = 0, month = 0, ...others] = (rest.match(/\d\d/g) ?? []).map(Number)
  // RFC 5280, 4.1.2.5.1.
  const centuryYears = century === undefined ? (year < 50 ? 2000 : 1900) : 100 * Number(century)
  const [day = 0, hour = 0, minute = 0, second = 0] = others
  return rest === ''
    ? undefined
    : Date.UTC(centuryYears + year, month - 1, day, hour, minute, second)
}
