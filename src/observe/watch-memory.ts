/**
 * What the threads share so that a `watch` on one of them sees the events of all: a block of control
 * words and a ring of event records for each worker. A ring has one writer, its worker, and up to as
 * many readers as there are workers; each reader has a cursor of its own.
 *
 *   control, in 32-bit words
 *     0          what anybody watches, and whether key prefixes are counted (OBSERVED_WORD)
 *     2, 3       the number of the last event, 64 bits
 *     4          whether `stats sizes` answers (SIZES_WORD)
 *     5          grows whenever other namespaces are watched (NAMESPACES_VERSION_WORD)
 *     16 + n     watchers that are users of namespace n, of all workers
 *     272 + w*s  worker w, s words each: how far it has written its ring, what its watchers watch,
 *                in which namespaces, a bit each, and how far each reader has read that ring
 *
 * Positions count units of 8 bytes and wrap at 2^32; a ring is a power of two of them.
 *
 * While several namespaces are watched, each has an equal share of every ring: what one writes and its
 * readers have not taken leaves the others theirs, so that nobody's flood costs another's lines. Events of
 * a namespace that nobody watches are not written.
 *
 * Invariants: a writer never passes the cursor of a worker that has watchers: what does not fit is
 * dropped and counted. Only worker w writes its position and what its watchers watch; only reader r
 * moves cursor r.
 */
import { NAMESPACE_IDS } from '../base/namespaces-max.ts'

/** Which events a watcher wants; the same bits tell a record's kind. */
export const WATCH_FETCHERS = 1
export const WATCH_MUTATIONS = 2
export const WATCH_EVICTIONS = 4
export const WATCH_CONNEVENTS = 8
export const WATCH_DELETIONS = 16
/** In the shared word only: keys are counted by prefix (`stats detail on`). */
export const OBSERVE_PREFIXES: number = 1 << 16

export const OBSERVED_WORD = 0
/** Of the control words as 64-bit integers. */
export const EVENT_ID_INDEX = 1
/** `stats sizes_enable`. */
export const SIZES_WORD = 4
export const NAMESPACES_VERSION_WORD = 5
export const WATCHER_COUNT_WORDS = 16
const WORKERS_WORD: number = WATCHER_COUNT_WORDS + NAMESPACE_IDS
export const WORKER_WRITTEN = 0
export const WORKER_WANTED = 1
/** A bit for each namespace that a record can have. */
export const WORKER_NAMESPACES = 2
export const NAMESPACE_WORDS = 8
export const WORKER_CURSORS: number = WORKER_NAMESPACES + NAMESPACE_WORDS

const LINE_WORDS = 16
export const UNIT_BYTES = 8
/** The shares of as many namespaces as there may be, each for one record of the largest. */
const RING_BYTES_MIN = 32768
/** The length of a record, or of the filler at the end, is told in 24 bits. */
const RING_BYTES_MAX: number = 2 ** 23 * UNIT_BYTES

export interface WatchMemory {
  readonly control: SharedArrayBuffer
  readonly rings: readonly SharedArrayBuffer[]
  /** What connections are named by to those who may not know how many there are. */
  readonly secret: Uint8Array
}

const SECRET_BYTES = 32

/** Rings of at least `ringBytes` each: the next power of two. Untouched they cost no memory. */
export function createWatchMemory(workerCount: number, ringBytes: number): WatchMemory {
  const wanted = Math.min(Math.max(ringBytes, RING_BYTES_MIN), RING_BYTES_MAX)
  const bytes = 2 ** Math.ceil(Math.log2(wanted))
  return {
    control: new SharedArrayBuffer(4 * workerWord(workerCount, workerCount)),
    rings: Array.from({ length: workerCount }, () => new SharedArrayBuffer(bytes)),
    secret: crypto.getRandomValues(new Uint8Array(SECRET_BYTES)),
  }
}

/** What the configuration turns on before there are workers. */
export function startObserving(
  memory: WatchMemory,
  countsPrefixes: boolean,
  tracksSizes: boolean,
): void {
  const control = new Int32Array(memory.control)
  if (countsPrefixes) control[OBSERVED_WORD] = OBSERVE_PREFIXES
  if (tracksSizes) control[SIZES_WORD] = 1
}

/** Where the words of a worker begin. */
export function workerWord(workerCount: number, workerIndex: number): number {
  // Whole cache lines, so that no two writers share one.
  const stride = Math.ceil((WORKER_CURSORS + workerCount) / LINE_WORDS) * LINE_WORDS
  return WORKERS_WORD + workerIndex * stride
}

/** Makes the shared word say what the workers' words say; the bit of prefixes stays as it is. */
export function gatherWanted(control: Int32Array, workerCount: number): void {
  for (;;) {
    const before = Atomics.load(control, OBSERVED_WORD)
    const wanted = wantedBy(control, workerCount)
    const after = (before & OBSERVE_PREFIXES) | wanted
    const isSet = Atomics.compareExchange(control, OBSERVED_WORD, before, after) === before
    // Another worker may have changed its word in between and lost the race for the shared one.
    if (isSet && wantedBy(control, workerCount) === wanted) return
  }
}

function wantedBy(control: Int32Array, workerCount: number): number {
  let wanted = 0
  for (let worker = 0; worker < workerCount; worker++) {
    wanted |= Atomics.load(control, workerWord(workerCount, worker) + WORKER_WANTED)
  }
  return wanted
}
