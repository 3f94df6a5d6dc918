import { defineConfig } from 'vitest/config'

// Four kinds of test, one command. `house` checks the code base itself; `unit` runs the sources
// directly; `integration` and `fuzz` start dist/, because worker threads cannot load .ts on Node 20.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'house', include: ['test/house/**/*.test.ts'] } },
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/vectors/**/*.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: [
            'test/integration/**/*.test.ts',
            'test/transcripts/**/*.test.ts',
            'test/bench/**/*.test.mjs',
          ],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], testTimeout: 600_000 },
      },
    ],
  },
})
