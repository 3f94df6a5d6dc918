/**
 * Assertions for programmer errors. They throw, the worker dies, the process follows (exit code
 * 70). Expected trouble (a bad client, a full memory) is never an assertion. Not for use inside
 * accessors that run a few times per request.
 */

/** Throws an Error unless `condition` holds. `message` says which invariant was broken. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}
