/**
 * Tests that put something in the place of a module or a timer, or measure the memory of the process. Each has a
 * process of its own (vitest.config.ts); test/house/alone.test.ts holds this list.
 */
export const ALONE: readonly string[] = [
  'test/fuzz/store-fill.test.ts',
  'test/unit/command/transfers/large-extensions.test.ts',
  'test/unit/connection/watchers.test.ts',
  'test/unit/credential/prepare-cost.test.ts',
  'test/unit/remote/reply-reader.test.ts',
  'test/unit/sasl/equal-work.test.ts',
  'test/unit/sasl/scram-vectors.test.ts',
  'test/unit/server/admission/short-connections.test.ts',
  'test/unit/server/http/http-listener.test.ts',
  'test/unit/server/main/thread-pool.test.ts',
  'test/unit/server/net/tls-remains.test.ts',
  'test/unit/storage/layout.test.ts',
  'test/unit/storage/memory-limit.test.ts',
]
