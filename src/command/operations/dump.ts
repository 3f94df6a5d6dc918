/**
 * Lists of all items for operators: `lru_crawler metadump`, `lru_crawler mgdump` and `stats
 * cachedump`. A dump goes through the index a few buckets at a time and keeps nothing but its place,
 * so it may take as long as its reader likes; items that come or go meanwhile are in it or not.
 */

import { escapeKey } from '../../base/escape-key.ts'
import { STATE_FETCHED } from '../../storage/item.ts'
import type { ItemVisitor, Store } from '../../storage/store.ts'
import type { LineSource } from './rows.ts'

export const DUMP_META = 1
export const DUMP_KEYS = 2
export const DUMP_CACHE = 3

/** Buckets at a time: of five to ten items each. */
const BUCKETS_PER_STEP = 8

export class ItemDump implements LineSource, ItemVisitor {
  private readonly store: Store
  private readonly form: number
  private cursor = 0
  private lines = ''

  constructor(store: Store, form: number) {
    this.store = store
    this.form = form
  }

  /** The next lines, maybe none; undefined after the last. */
  next(nowSeconds: number): string | undefined {
    if (this.cursor < 0) return undefined
    this.lines = ''
    this.cursor = this.store.scan(this.cursor, BUCKETS_PER_STEP, nowSeconds, this)
    return this.lines
  }

  visitItem(store: Store): void {
    const { scannedKey, keyBytes } = store
    const key = Buffer.from(scannedKey.buffer, scannedKey.byteOffset, keyBytes)
    switch (this.form) {
      case DUMP_META: {
        const expiry = store.expiry === 0 ? -1 : store.expiry
        const cas = (BigInt(store.casHigh) << 32n) | BigInt(store.casLow)
        const fetched = (store.state & STATE_FETCHED) !== 0 ? 'yes' : 'no'
        this.lines +=
          `key=${escapeKey(key)} exp=${expiry} la=${store.lastAccess} cas=${cas} ` +
          `fetch=${fetched} cls=1 size=${store.itemBytes} flags=${store.flags} \n`
        return
      }
      case DUMP_KEYS:
        this.lines += isPlain(key)
          ? `mg ${key.toString('latin1')}\r\n`
          : `mg ${key.toString('base64')} b\r\n`
        return
      default:
        // This form has no way to write other keys, and a key must not look like a reply.
        if (!isPlain(key)) return
        this.lines += `ITEM ${key.toString('latin1')} [${store.valueBytes} b; ${store.expiry} s]\r\n`
    }
  }
}

/** True if the key can stand in a line as it is. */
function isPlain(key: Buffer): boolean {
  for (const byte of key) if (byte <= 0x20 || byte === 0x7f) return false
  return true
}

/** The first lines of `lines`: so many, and so many bytes of them. */
export class FirstLines implements LineSource {
  private readonly lines: LineSource
  private linesLeft: number
  private bytesLeft: number

  constructor(lines: LineSource, linesMax: number, bytesMax: number) {
    this.lines = lines
    this.linesLeft = linesMax
    this.bytesLeft = bytesMax
  }

  next(nowSeconds: number): string | undefined {
    if (this.linesLeft === 0) return undefined
    const lines = this.lines.next(nowSeconds)
    if (lines === undefined || lines === '') return lines
    let kept = ''
    for (const line of lines.split(/(?<=\n)/)) {
      if (this.linesLeft === 0 || line.length > this.bytesLeft) {
        this.linesLeft = 0
        break
      }
      kept += line
      this.linesLeft--
      this.bytesLeft -= line.length
    }
    return kept
  }
}
