/** Random tests take SEED= and print it when they fail; fast-check does the printing. */

export function fuzzParameters(runs = 500): { seed: number; numRuns: number } {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
  return { seed, numRuns: runs }
}
