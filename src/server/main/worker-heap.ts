/**
 * How far the heaps of the server's threads grow before they are collected: the young generation as little, and the old one as much,
 * as has clients wait least.
 */
import { setFlagsFromString } from 'node:v8'

/**
 * Of each worker. What requests leave behind dies at once, so that a collection costs next to nothing
 * however often there is one; with V8's own measure a worker holds 3 MiB more under load. A request took
 * no more CPU with the small one in twenty alternating rounds, on a machine too busy to show a few percent.
 */
const YOUNG_GENERATION_MIB = 3
/** Where the items are elsewhere, thousands of requests wait for replies: they are not to be taken for what stays. */
const YOUNG_GENERATION_REMOTE_MIB = 12

/**
 * So much of what a collection left may come to it, in percent, before the next of the old generation: at 300 it is collected when there
 * is four times as much. V8 goes as far by itself where it has gigabytes, and keeps to 30 where it has 256 MiB or after a quiet time, but
 * to 8 MiB at least. And Node tells it of 48 KB for each TLS session (findings/node-counts-48-kb-for-each-tls-session.sh): every 170
 * handshakes that nobody goes on with were such a collection, 12 ms of work in steps and up to 4 ms at a stretch, and clients waited
 * for three of these a second (test/bench/README.md). With 200 there was still one in that second, for 19 MiB less of memory at most.
 */
const HEAP_GROWING_PERCENT = 300
const HEAP_GROWING_FLAG = /^--heap[-_]growing[-_]percent\b/

/** For `new Worker`; `isRemote`: its items are elsewhere. */
export function resourceLimitsOf(isRemote: boolean): { readonly maxYoungGenerationSizeMb: number } {
  return {
    maxYoungGenerationSizeMb: isRemote ? YOUNG_GENERATION_REMOTE_MIB : YOUNG_GENERATION_MIB,
  }
}

/**
 * For all threads of the process, as often as one likes. V8 reads this flag at the end of each collection, so it does not matter that it is
 * set late, and it holds whichever way the program is started. What the operator gave Node stands.
 */
export function letHeapsGrow(): void {
  if (process.execArgv.some((flag) => HEAP_GROWING_FLAG.test(flag))) return
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
}
