/**
 * One full collection, for what a start leaves behind in the heap of its thread: V8 collects when a heap
 * grows, and that of a thread which only waits does not. With Node 24, 5 MiB of the main thread would stay resident for as
 * long as the server runs (test/bench/README.md).
 *
 * No documented call does it. V8 puts `gc` into the contexts that are made while its flag is set: into
 * one that is dropped here. The flag is one for all threads: if each took it back, one would between the two steps of
 * another. So the main thread alone does, which collects when the others have.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** `last-resort` also shrinks the young generation, and drops compiled code that has not run again. */
const EVERYTHING = { type: 'major', execution: 'sync', flavor: 'last-resort' }

/** The first Node whose V8 knows what `EVERYTHING` asks for; others take it for a small collection. */
const NODE_MAJOR_LEAST = 22

/** False where this V8 has no such call. `isLast` says that no other thread collects any more. */
export function collectGarbage(isLast: boolean): boolean {
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_LEAST) return false
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('globalThis.gc')
  if (isLast) setFlagsFromString('--no-expose-gc')
  if (typeof collect !== 'function') return false
  collect(EVERYTHING)
  return true
}
