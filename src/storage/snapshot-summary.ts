/**
 * What a snapshot says of itself, in its last chunk, which is read first: JSON, so that a person can look at
 * it and a later version can add to it.
 *
 * Invariant: a summary that was parsed has every field, each a number that can be counted with.
 */
import { NAMESPACES_MAX } from '../base/namespaces-max.ts'
import type { CasMark } from './cas-source.ts'
import { AGE_CLASSES } from './snapshot-ages.ts'
import { CHUNK_HEADER_BYTES, CHUNK_SUMMARY, SnapshotError } from './snapshot-layout.ts'

/** The last moment that a Date can be. */
const DATE_MS_END = 8.64e15

export interface SummaryNamespace {
  readonly name: string
  readonly cas: CasMark
  /** Second of a flush that was still to come, 0 for none. */
  readonly flushAtSeconds: number
  readonly items: number
  readonly bytes: number
  /** Bytes by the class of their age. */
  readonly ageBytes: readonly number[]
}

/** One moment on all clocks: when the writing began. */
export interface SnapshotMoment {
  /** The wall clock. */
  readonly epochMs: number
  /** The server's clock, by which expiries and last accesses count. */
  readonly serverMs: number
  /** The clock of that boot of the machine; '' where that is not known. */
  readonly bootId: string
  readonly monotonicMs: number
}

export interface SnapshotSummary {
  /** `stop`: nothing was changed after it. `periodic`: the server went on. */
  readonly kind: 'stop' | 'periodic'
  readonly written: SnapshotMoment
  /** Chunks before this one. */
  readonly chunks: number
  readonly namespaces: readonly SummaryNamespace[]
}

export function encodeSummary(summary: SnapshotSummary): Uint8Array {
  const text = Buffer.from(JSON.stringify(summary))
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES + text.length)
  bytes[0] = CHUNK_SUMMARY
  bytes.set(text, CHUNK_HEADER_BYTES)
  return bytes
}

/** Throws SnapshotError. */
export function parseSummary(payload: Uint8Array): SnapshotSummary {
  if (payload[0] !== CHUNK_SUMMARY) throw new SnapshotError('the summary is of another kind')
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(payload.subarray(CHUNK_HEADER_BYTES)).toString('utf8'))
  } catch {
    throw new SnapshotError('the summary is no JSON')
  }
  const summary = recordOf(value)
  const { kind, namespaces } = summary
  if (kind !== 'stop' && kind !== 'periodic') throw new SnapshotError('of an unknown kind')
  if (!Array.isArray(namespaces) || namespaces.length > 1 + NAMESPACES_MAX) {
    throw new SnapshotError('the summary has no list of namespaces')
  }
  const written = recordOf(summary.written)
  return {
    kind,
    written: {
      epochMs: numberOf(written.epochMs, DATE_MS_END),
      serverMs: numberOf(written.serverMs),
      bootId: textOf(written.bootId),
      monotonicMs: numberOf(written.monotonicMs),
    },
    chunks: numberOf(summary.chunks),
    namespaces: namespaces.map(parseNamespace),
  }
}

function parseNamespace(value: unknown): SummaryNamespace {
  const namespace = recordOf(value)
  const cas = recordOf(namespace.cas)
  const { ageBytes } = namespace
  if (!Array.isArray(ageBytes) || ageBytes.length > AGE_CLASSES) {
    throw new SnapshotError('the summary has no ages')
  }
  return {
    name: textOf(namespace.name),
    cas: { half: numberOf(cas.half, 2 ** 32), low: numberOf(cas.low, 2 ** 32) },
    flushAtSeconds: numberOf(namespace.flushAtSeconds, 2 ** 32),
    items: numberOf(namespace.items),
    bytes: numberOf(namespace.bytes),
    ageBytes: ageBytes.map((bytes: unknown) => numberOf(bytes)),
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new SnapshotError('a field is no record')
  return value as Readonly<Record<string, unknown>>
}

function numberOf(value: unknown, end: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !(value >= 0) || value >= end) {
    throw new SnapshotError('a field is no number')
  }
  return value
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new SnapshotError('a field is no text')
  return value
}

/**
 * How many milliseconds ago that moment was, by whatever clock says more; undefined where none can tell,
 * because the wall clock stands before it and the machine has been started anew.
 */
export function elapsedMs(then: SnapshotMoment, now: SnapshotMoment): number | undefined {
  const byWall = now.epochMs - then.epochMs
  const isSameBoot = then.bootId !== '' && then.bootId === now.bootId
  const byBoot = isSameBoot ? now.monotonicMs - then.monotonicMs : -1
  const elapsed = Math.max(byWall, byBoot)
  return elapsed < 0 ? undefined : elapsed
}
