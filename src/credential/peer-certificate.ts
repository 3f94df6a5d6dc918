/**
 * Who a client's certificate is made out to. The names are read from its DER, not from the texts that
 * OpenSSL or Node make of it: there a name with a comma, a line end or a quotation mark in it has been
 * taken for two (CVE-2021-44532).
 *
 * Invariant: a name is given whole and as it stands, or not at all. One with a character that no name
 * needs (a control character, a NUL, anything but visible ASCII where the type is IA5) is left out, so
 * that what looks like another name can never be compared with it.
 */
import { createHash } from 'node:crypto'
import type { PeerCertificate } from '../base/channel.ts'
import {
  DER_CONTEXT_BYTES,
  DER_OID,
  DER_SEQUENCE,
  DER_SET,
  DER_UTF8_STRING,
  type DerElement,
  derParts,
  readDer,
} from './der.ts'
import { extensionOf, readTbsCertificate } from './x509.ts'

/** What is used of node:crypto's X509Certificate. */
export interface CertificateBytes {
  /** DER. */
  readonly raw: Uint8Array
}

/** A subject or a list of names with more is not one that anybody made for a client. */
const NAMES_MAX = 100
const NAME_CHARACTERS_MAX = 1024
const SUBJECT_CHARACTERS_MAX = 256

const COMMON_NAME = '550403'
const SUBJECT_ALTERNATIVE_NAME = '551d11'

/** Attributes of subjects by the OID in hexadecimal digits, as RFC 4514 abbreviates them. */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  [COMMON_NAME]: 'CN',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '550409': 'STREET',
  '55040a': 'O',
  '55040b': 'OU',
  '550405': 'serialNumber',
  '0992268993f22c640101': 'UID',
  '0992268993f22c640119': 'DC',
  '2a864886f70d010901': 'emailAddress',
}

const GENERAL_NAME_EMAIL = DER_CONTEXT_BYTES | 1
const GENERAL_NAME_DNS = DER_CONTEXT_BYTES | 2
const GENERAL_NAME_URI = DER_CONTEXT_BYTES | 6

interface Attribute {
  readonly type: string
  readonly value: string | undefined
}

/**
 * The names of a certificate that was verified; undefined if it is not one that can be read here. That a
 * signature vouches for it is for the caller to know.
 */
export function peerCertificate({ raw }: CertificateBytes): PeerCertificate | undefined {
  const certificate = readTbsCertificate(raw)
  if (certificate === undefined) return undefined
  const subject = readName(certificate.subject)
  const alternatives = readAlternativeNames(certificate.extensions)
  if (subject === undefined || alternatives === undefined) return undefined
  const ofKind = (tag: number): string[] =>
    alternatives.flatMap((name) => (name.tag === tag ? (ia5(name.content) ?? []) : []))
  return {
    subject: subjectLine(subject),
    fingerprint: createHash('sha256').update(raw).digest('hex'),
    validTo: Math.floor(certificate.notAfterMs / 1000),
    commonNames: subject.flatMap(({ type, value }) => (type === 'CN' ? (value ?? []) : [])),
    dnsNames: ofKind(GENERAL_NAME_DNS).map((name) => name.toLowerCase()),
    emailAddresses: ofKind(GENERAL_NAME_EMAIL),
    uris: ofKind(GENERAL_NAME_URI),
  }
}

/** RFC 5280, 4.1.2.4: a SEQUENCE of SETs of SEQUENCEs of a type and a value. */
function readName(name: DerElement): readonly Attribute[] | undefined {
  const attributes: Attribute[] = []
  for (const relative of derParts(name, DER_SEQUENCE) ?? [undefined]) {
    const pairs = derParts(relative, DER_SET)
    if (pairs === undefined) return undefined
    for (const pair of pairs) {
      const [type, value, ...others] = derParts(pair, DER_SEQUENCE) ?? []
      if (type?.tag !== DER_OID || value === undefined || others.length > 0) return undefined
      if (attributes.length === NAMES_MAX) return undefined
      const oid = Buffer.from(type.content).toString('hex')
      attributes.push({ type: ATTRIBUTES[oid] ?? `oid.${oid}`, value: directoryString(value) })
    }
  }
  return attributes
}

/** Of a certificate without any, none. */
function readAlternativeNames(
  extensions: readonly DerElement[],
): readonly DerElement[] | undefined {
  const value = extensionOf(extensions, SUBJECT_ALTERNATIVE_NAME)
  if (value === 'none') return []
  if (value === 'wrong') return undefined
  const [list, ...others] = readDer(value) ?? []
  const names = others.length > 0 ? undefined : derParts(list, DER_SEQUENCE)
  return names === undefined || names.length > NAMES_MAX ? undefined : names
}

/** UTF8String, PrintableString, IA5String, TeletexString, BMPString; undefined for all else. */
function directoryString({ tag, content }: DerElement): string | undefined {
  switch (tag) {
    case DER_UTF8_STRING:
      return acceptable(decode('utf-8', content))
    case 0x13:
    case 0x16:
      return content.every((byte) => byte < 0x80) ? acceptable(decode('utf-8', content)) : undefined
    case 0x14:
      // What is beyond ASCII in it is a matter of opinion.
      return content.every((byte) => byte < 0x80) ? acceptable(decode('utf-8', content)) : undefined
    case 0x1e:
      return content.length % 2 === 0 ? acceptable(decodeUtf16(content)) : undefined
    default:
      return undefined
  }
}

function ia5(content: Uint8Array): string | undefined {
  const isVisible = content.every((byte) => byte > 0x20 && byte < 0x7f)
  return isVisible ? acceptable(decode('utf-8', content)) : undefined
}

function acceptable(text: string | undefined): string | undefined {
  if (text === undefined || text === '' || text.length > NAME_CHARACTERS_MAX) return undefined
  return /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text) ? undefined : text
}

function decode(encoding: string, content: Uint8Array): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}

function decodeUtf16(content: Uint8Array): string {
  let text = ''
  for (let index = 0; index < content.length && index < 2 * NAME_CHARACTERS_MAX + 2; index += 2) {
    text += String.fromCharCode(content[index]! * 256 + content[index + 1]!)
  }
  return text
}

/** RFC 4514, in the order of the certificate. */
function subjectLine(subject: readonly Attribute[]): string {
  const line = subject
    .map(({ type, value }) => `${type}=${value === undefined ? '?' : escapeValue(value)}`)
    .join(',')
  return line.length > SUBJECT_CHARACTERS_MAX ? `${line.slice(0, SUBJECT_CHARACTERS_MAX)}...` : line
}

function escapeValue(value: string): string {
  return value.replace(/[,+"\\<>;=]/g, '\\$&').replace(/^[ #]| $/g, '\\$&')
}
