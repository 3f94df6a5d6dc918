/**
 * Binary frames written apart from src/: from the specification alone, so that the decoder and the
 * encoder are tested against something that cannot share their mistakes.
 */

export interface FrameFields {
  readonly opcode: number
  readonly extras?: Uint8Array | undefined
  readonly key?: string | Uint8Array | undefined
  readonly value?: string | Uint8Array | undefined
  readonly opaque?: number | undefined
  readonly cas?: bigint | undefined
  /** Lies, for tests of lies. */
  readonly keyLength?: number | undefined
  readonly extrasLength?: number | undefined
  readonly bodyLength?: number | undefined
  readonly magic?: number | undefined
}

export interface ResponseFrame {
  readonly magic: number
  readonly opcode: number
  readonly status: number
  readonly extras: Buffer
  readonly key: Buffer
  readonly value: Buffer
  readonly opaque: number
  readonly cas: bigint
}

export function requestFrame(fields: FrameFields): Buffer {
  const extras = Buffer.from(fields.extras ?? [])
  const key = Buffer.from(fields.key ?? '')
  const value = Buffer.from(fields.value ?? '')
  const header = Buffer.alloc(24)
  header.writeUInt8(fields.magic ?? 0x80, 0)
  header.writeUInt8(fields.opcode, 1)
  header.writeUInt16BE(fields.keyLength ?? key.length, 2)
  header.writeUInt8(fields.extrasLength ?? extras.length, 4)
  header.writeUInt32BE(fields.bodyLength ?? extras.length + key.length + value.length, 8)
  header.writeUInt32BE(fields.opaque ?? 0, 12)
  header.writeBigUInt64BE(fields.cas ?? 0n, 16)
  return Buffer.concat([header, extras, key, value])
}

/** Extras made of 32-bit words, as all extras of this dialect are. */
export function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

export function storeFrame(
  opcode: number,
  key: string,
  value: string | Uint8Array,
  options: { flags?: number; expiry?: number; cas?: bigint; opaque?: number } = {},
): Buffer {
  return requestFrame({
    opcode,
    extras: words(options.flags ?? 0, options.expiry ?? 0),
    key,
    value,
    cas: options.cas,
    opaque: options.opaque,
  })
}

/** Cuts whole responses off the front of `bytes`; `rest` is what is left over. */
export function parseResponses(bytes: Buffer): { frames: ResponseFrame[]; rest: Buffer } {
  const frames: ResponseFrame[] = []
  let offset = 0
  while (bytes.length - offset >= 24) {
    const bodyLength = bytes.readUInt32BE(offset + 8)
    if (bytes.length - offset < 24 + bodyLength) break
    const keyLength = bytes.readUInt16BE(offset + 2)
    const extrasLength = bytes.readUInt8(offset + 4)
    const extrasStart = offset + 24
    const keyStart = extrasStart + extrasLength
    const valueStart = keyStart + keyLength
    const end = offset + 24 + bodyLength
    frames.push({
      magic: bytes.readUInt8(offset),
      opcode: bytes.readUInt8(offset + 1),
      status: bytes.readUInt16BE(offset + 6),
      extras: bytes.subarray(extrasStart, keyStart),
      key: bytes.subarray(keyStart, valueStart),
      value: bytes.subarray(valueStart, end),
      opaque: bytes.readUInt32BE(offset + 12),
      cas: bytes.readBigUInt64BE(offset + 16),
    })
    offset = end
  }
  return { frames, rest: bytes.subarray(offset) }
}
