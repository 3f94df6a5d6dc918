/**
 * Which of the 16384 slots of a cluster a key is in (cluster specification, "Keys distribution model"): the CRC16
 * of the key, or of what stands between its first `{` and the next `}` if that is not empty. Hot path.
 */

export const KEY_SLOTS = 16384
const OPEN = 0x7b
const CLOSE = 0x7d

/** CRC-16/XMODEM. */
const CRC: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  return crc & 0xffff
})

export function slotOf(key: Uint8Array): number {
  const { length } = key
  let crc = 0
  for (let at = 0; at < length; at++) {
    const byte = key[at]!
    if (byte === OPEN) return slotOfTag(key, at)
    crc = ((crc << 8) & 0xffff) ^ CRC[(crc >>> 8) ^ byte]!
  }
  return crc % KEY_SLOTS
}

/** Of a key whose first `{` is at `open`. */
function slotOfTag(key: Uint8Array, open: number): number {
  const close = key.indexOf(CLOSE, open + 1)
  const isTagged = close > open + 1
  const end = isTagged ? close : key.length
  let crc = 0
  for (let at = isTagged ? open + 1 : 0; at < end; at++) {
    crc = ((crc << 8) & 0xffff) ^ CRC[(crc >>> 8) ^ key[at]!]!
  }
  return crc % KEY_SLOTS
}
