import { defineConfig } from 'vitest/config'
import { ALONE } from './test/alone.ts'

/** What is polled for comes when a busy machine lets it; the default, 1 s, is too short for that. */
const patient = { poll: { timeout: 60_000 } }

// Four kinds of test, one command. `house` checks the code base itself; `unit` runs the sources
// directly; `integration` and `fuzz` start dist/, because worker threads cannot load .ts on Node 20.
//
// What has no state of the process shares its processes and modules (`isolate: false`): for most files of unit tests
// a process and its imports cost more than the tests, and for all others some half a second each.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'house',
          include: ['test/house/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          isolate: false,
        },
      },
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/vectors/**/*.test.ts'],
          exclude: [...ALONE],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: patient,
          isolate: false,
        },
      },
      {
        test: {
          name: 'alone',
          include: [...ALONE],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: patient,
        },
      },
      {
        test: {
          name: 'integration',
          globalSetup: 'test/support/run-folder.ts',
          include: [
            'test/integration/**/*.test.ts',
            'test/transcripts/**/*.test.ts',
            'test/bench/**/*.test.mjs',
          ],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: patient,
          isolate: false,
        },
      },
      {
        test: {
          name: 'fuzz',
          include: ['test/fuzz/**/*.test.ts'],
          exclude: [...ALONE],
          testTimeout: 600_000,
          hookTimeout: 180_000,
          expect: patient,
          isolate: false,
        },
      },
    ],
  },
})
