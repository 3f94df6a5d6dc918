/**
 * DER (X.690), as far as certificates need it. Reading is bounded by what it is given, and takes nothing
 * but definite lengths in their shortest form: of one certificate there are no two readings.
 */

export const DER_BOOLEAN = 0x01
export const DER_INTEGER = 0x02
export const DER_BIT_STRING = 0x03
export const DER_OCTET_STRING = 0x04
export const DER_OID = 0x06
export const DER_UTF8_STRING = 0x0c
export const DER_UTC_TIME = 0x17
export const DER_GENERALIZED_TIME = 0x18
export const DER_SEQUENCE = 0x30
export const DER_SET = 0x31

/** The tag [n] of a context, around other elements; without 0x20, around bytes. */
export const DER_CONTEXT = 0xa0
export const DER_CONTEXT_BYTES = 0x80

export interface DerElement {
  readonly tag: number
  /** With its tag and length. */
  readonly whole: Uint8Array
  readonly content: Uint8Array
}

/** A certificate has a few dozen in a row, a list of revoked ones a hundred thousand. */
const ELEMENTS_MAX = 1_000_000

/** The elements that follow one another in `bytes`, up to their end; undefined if they are not DER. */
export function readDer(bytes: Uint8Array): readonly DerElement[] | undefined {
  const elements: DerElement[] = []
  for (let offset = 0; offset < bytes.length; ) {
    const element = readElement(bytes, offset)
    if (element === undefined || elements.length === ELEMENTS_MAX) return undefined
    elements.push(element)
    offset += element.whole.length
  }
  return elements
}

/** The parts of an element that has the tag; undefined if it has another, or is no element. */
export function derParts(
  element: DerElement | undefined,
  tag: number,
): readonly DerElement[] | undefined {
  return element?.tag === tag ? readDer(element.content) : undefined
}

function readElement(bytes: Uint8Array, start: number): DerElement | undefined {
  const tag = bytes[start]
  const first = bytes[start + 1]
  // A tag of several bytes has no place in a certificate.
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined
  let offset = start + 2
  let length = first
  if (first >= 0x80) {
    const count = first & 0x7f
    if (count === 0 || count > 4 || offset + count > bytes.length) return undefined
    length = 0
    for (let index = 0; index < count; index++) length = length * 256 + bytes[offset + index]!
    if (length < 0x80 || length < 256 ** (count - 1)) return undefined
    offset += count
  }
  const end = offset + length
  if (end > bytes.length) return undefined
  return { tag, whole: bytes.subarray(start, end), content: bytes.subarray(offset, end) }
}

/** An element of `parts`, one behind the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  return Buffer.concat([Uint8Array.of(tag, ...lengthOctets(content.length)), content])
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return [0x80 | octets.length, ...octets]
}

/** An object identifier in dotted form, whose first two numbers are below 40. */
export function derOid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number)
  const octets = [first * 40 + second]
  for (const number of others) {
    const groups = [number % 128]
    for (let rest = Math.floor(number / 128); rest > 0; rest = Math.floor(rest / 128)) {
      groups.unshift(0x80 | (rest % 128))
    }
    octets.push(...groups)
  }
  return der(DER_OID, Uint8Array.from(octets))
}
