/**
 * Unit tests that put something in the place of a module. Each has a process of its own (vitest.config.ts);
 * test/house/mocks.test.ts holds this list.
 */
export const MOCKING: readonly string[] = [
  'test/unit/command/transfers/large-extensions.test.ts',
  'test/unit/credential/prepare-cost.test.ts',
  'test/unit/sasl/equal-work.test.ts',
  'test/unit/sasl/scram-vectors.test.ts',
]
