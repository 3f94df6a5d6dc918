/**
 * A certificate that vouches for itself, with its key: something to try TLS with. ECDSA P-256, because
 * every client knows it and a handshake is cheap.
 *
 * It is no authority (CA:FALSE): who trusts it trusts one server, and its key signs for nobody else.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import {
  DER_BIT_STRING,
  DER_BOOLEAN,
  DER_CONTEXT,
  DER_CONTEXT_BYTES,
  DER_GENERALIZED_TIME,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_SEQUENCE,
  DER_SET,
  DER_UTC_TIME,
  DER_UTF8_STRING,
  der,
  derOid,
} from './der.ts'
import { formatPem } from './pem.ts'

export interface SelfSignedOptions {
  /** Host names and IP addresses, at least one; see `problemWithHost`. */
  readonly hosts: readonly string[]
  readonly days: number
  /** When it is made, milliseconds since 1970. */
  readonly nowMs: number
}

export interface SelfSigned {
  /** PEM. */
  readonly certificate: string
  /** PEM, PKCS #8. */
  readonly key: string
}

const DAY_MS = 86_400_000
/** Clocks differ: it is good from a little before. */
const EARLIER_MS = 3_600_000
/** RFC 5280, appendix A: ub-common-name. */
const COMMON_NAME_CHARACTERS_MAX = 64
const HOST_CHARACTERS_MAX = 253
const SERIAL_BYTES = 16
const KEY_ID_BYTES = 20
/** RFC 5280, 4.1.2.5: later dates have four digits for the year. */
const UTC_TIME_YEARS_END = 2050
const YEARS_END = 10_000

const ECDSA_WITH_SHA256 = der(DER_SEQUENCE, derOid('1.2.840.10045.4.3.2'))
const TRUE = der(DER_BOOLEAN, Uint8Array.of(0xff))
const GENERAL_NAME_DNS = DER_CONTEXT_BYTES | 2
const GENERAL_NAME_IP = DER_CONTEXT_BYTES | 7

export function makeSelfSigned({ hosts, days, nowMs }: SelfSignedOptions): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  // As a serial number has to be: positive, and of 20 bytes at most (RFC 5280, 4.1.2.2).
  const serial = randomBytes(SERIAL_BYTES)
  serial[0] = (serial[0]! & 0x3f) | 0x40
  const name = nameOf(hosts)
  const tbs = der(
    DER_SEQUENCE,
    der(DER_CONTEXT, der(DER_INTEGER, Uint8Array.of(2))),
    der(DER_INTEGER, serial),
    ECDSA_WITH_SHA256,
    name,
    der(DER_SEQUENCE, time(nowMs - EARLIER_MS), time(nowMs + days * DAY_MS)),
    name,
    spki,
    der(DER_CONTEXT | 3, der(DER_SEQUENCE, ...extensions(hosts, spki))),
  )
  const signature = sign('sha256', tbs, privateKey)
  const bits = der(DER_BIT_STRING, Uint8Array.of(0), signature)
  return {
    certificate: formatPem('CERTIFICATE', der(DER_SEQUENCE, tbs, ECDSA_WITH_SHA256, bits)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** Why no certificate can be made out to it; undefined if one can. */
export function problemWithHost(host: string): string | undefined {
  if (addressBytes(host) !== undefined) return undefined
  if (host.length > HOST_CHARACTERS_MAX) return 'is longer than a host name can be'
  const labels = host.replace(/^\*\./, '').split('.')
  return labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}$/.test(label))
    ? undefined
    : 'is neither a host name nor an IP address'
}

/** Why it cannot be good for so long; undefined if it can. */
export function problemWithDays(days: number, nowMs: number): string | undefined {
  if (!Number.isInteger(days) || days < 1) return 'is not a whole number of days, 1 or more'
  const end = new Date(nowMs + days * DAY_MS)
  return Number.isNaN(end.getTime()) || end.getUTCFullYear() >= YEARS_END
    ? 'is longer than certificates can count'
    : undefined
}

function nameOf([first = '']: readonly string[]): Uint8Array {
  const text = first.slice(0, COMMON_NAME_CHARACTERS_MAX)
  const value = der(DER_UTF8_STRING, Buffer.from(text))
  return der(DER_SEQUENCE, der(DER_SET, der(DER_SEQUENCE, derOid('2.5.4.3'), value)))
}

function extensions(hosts: readonly string[], spki: Uint8Array): readonly Uint8Array[] {
  const keyId = createHash('sha256').update(spki).digest().subarray(0, KEY_ID_BYTES)
  const names = hosts.map((host) => {
    const address = addressBytes(host)
    return address === undefined
      ? der(GENERAL_NAME_DNS, Buffer.from(host.toLowerCase(), 'latin1'))
      : der(GENERAL_NAME_IP, address)
  })
  return [
    // basicConstraints: CA:FALSE, which is the default and so is left out.
    extension('2.5.29.19', der(DER_SEQUENCE), true),
    // keyUsage: digitalSignature, the first of eight bits.
    extension('2.5.29.15', der(DER_BIT_STRING, Uint8Array.of(7, 0x80)), true),
    // extendedKeyUsage: serverAuth.
    extension('2.5.29.37', der(DER_SEQUENCE, derOid('1.3.6.1.5.5.7.3.1'))),
    extension('2.5.29.17', der(DER_SEQUENCE, ...names)),
    extension('2.5.29.14', der(DER_OCTET_STRING, keyId)),
  ]
}

function extension(oid: string, value: Uint8Array, isCritical: boolean = false): Uint8Array {
  const critical = isCritical ? [TRUE] : []
  return der(DER_SEQUENCE, derOid(oid), ...critical, der(DER_OCTET_STRING, value))
}

function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/\..*|[-:T]/g, '')
  const isShort = new Date(ms).getUTCFullYear() < UTC_TIME_YEARS_END
  const text = `${isShort ? digits.slice(2) : digits}Z`
  return der(isShort ? DER_UTC_TIME : DER_GENERALIZED_TIME, Buffer.from(text, 'latin1'))
}

/** The four or sixteen bytes of an IP address; undefined for what is none. */
function addressBytes(host: string): Uint8Array | undefined {
  const quad = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host)?.slice(1).map(Number)
  if (quad !== undefined)
    return quad.every((byte) => byte < 256) ? Uint8Array.from(quad) : undefined
  if (!host.includes(':')) return undefined
  const url = `http://[${host}]/`
  if (!URL.canParse(url)) return undefined
  // The parser has written it in its shortest form, without a dotted quad.
  const [head = '', tail] = new URL(url).hostname.slice(1, -1).split('::')
  const groupsOf = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const front = groupsOf(head)
  const back = groupsOf(tail ?? '')
  const zeros = new Array<string>(8 - front.length - back.length).fill('0')
  const groups = [...front, ...zeros, ...back].map((group) => Number.parseInt(group, 16))
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))
}
