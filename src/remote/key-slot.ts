/**
 * Which of the 16384 slots of a cluster a key is in (cluster specification, "Keys distribution model"): the CRC16
 * of the key, or of what stands between its first `{` and the next `}` if that is not empty.
 */

const SLOTS = 16384
const OPEN = 0x7b
const CLOSE = 0x7d

/** CRC-16/XMODEM. */
const CRC: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  return crc & 0xffff
})

export function slotOf(key: Uint8Array): number {
  let start = 0
  let end = key.length
  const open = key.indexOf(OPEN)
  if (open >= 0) {
    const close = key.indexOf(CLOSE, open + 1)
    if (close > open + 1) {
      start = open + 1
      end = close
    }
  }
  let crc = 0
  for (let at = start; at < end; at++) {
    crc = ((crc << 8) & 0xffff) ^ (CRC[(crc >>> 8) ^ (key[at] ?? 0)] ?? 0)
  }
  return crc % SLOTS
}
