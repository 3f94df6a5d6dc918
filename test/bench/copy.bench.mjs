/**
 * Nanoseconds of one copy between a private Buffer and shared memory: each way of doing it, and
 * copyBytes() of src/base/bytes.ts, which chooses among them. Run after `npm run build:modules`:
 * `node test/bench/copy.bench.mjs`. STORE_DIST= names another build. Lower quartile of short slices.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const dist = resolve(process.env.STORE_DIST ?? '.modules')
const { ByteBlock, copyBytes } = await import(pathToFileURL(`${dist}/src/base/bytes.js`).href)

const SLICE = 500
const SLICES = 200
const LENGTHS = [16, 64, 100, 256, 320, 384, 512, 1024, 4096, 65_536]

const { fill } = Buffer.prototype
const shared = new ByteBlock(new Uint8Array(new SharedArrayBuffer(1 << 20)))
const buffer = new ByteBlock(Buffer.allocUnsafeSlow(1 << 20))

const WAYS = {
  'byte loop'(source, from, target, to, length) {
    for (let index = 0; index < length; index++)
      target.bytes[to + index] = source.bytes[from + index]
  },
  'DataView loop'(source, from, target, to, length) {
    let done = 0
    for (; done <= length - 4; done += 4) {
      target.view.setInt32(to + done, source.view.getInt32(from + done, true), true)
    }
    for (; done < length; done++) target.view.setUint8(to + done, source.view.getUint8(from + done))
  },
  'set, in step modulo 8'(source, from, target, to, length) {
    target.bytes.set(source.bytes.subarray(from & ~7, (from & ~7) + length), to & ~7)
  },
  'set, out of step'(source, from, target, to, length) {
    target.bytes.set(source.bytes.subarray(from | 7, (from | 7) + length), (to & ~7) | 3)
  },
  'Buffer.fill'(source, from, target, to, length) {
    fill.call(target.bytes, source.bytes.subarray(from, from + length), to, to + length)
  },
  copyBytes,
}

function measure(way, source, target, length) {
  const slices = []
  for (let slice = 0; slice < SLICES; slice++) {
    const start = process.hrtime.bigint()
    for (let index = 0; index < SLICE; index++) {
      way(source, ((index * 67) & 0x3fff) + 8, target, ((index * 193) & 0x7fff) + 8, length)
    }
    slices.push(Number(process.hrtime.bigint() - start) / SLICE)
  }
  slices.sort((left, right) => left - right)
  return slices[SLICES >> 2]
}

console.log(
  `${process.version}\n${''.padEnd(34)}${LENGTHS.map((n) => String(n).padStart(8)).join('')}`,
)
for (const [direction, source, target] of [
  ['in', buffer, shared],
  ['out', shared, buffer],
]) {
  for (const [name, way] of Object.entries(WAYS)) {
    const cells = LENGTHS.map((length) =>
      measure(way, source, target, length).toFixed(0).padStart(8),
    )
    console.log(`${direction.padEnd(4)}${name.padEnd(30)}${cells.join('')}`)
  }
}
