/**
 * What is wrong with a configuration, said so that a person can fix it: where the value came from,
 * the value, what is allowed. All problems of one start are collected and thrown as one
 * ConfigError, so that nobody repairs a file one message at a time.
 *
 * No secret gets in here: passwords are never validated by content, and the value of a variable or
 * flag that nobody knows is not repeated, because it may be a misspelt password.
 */

export interface ConfigProblem {
  /** `-p`, `SASLCACHED_PORT`, `/etc/saslcached/saslcached.toml:12`. */
  readonly where: string
  readonly message: string
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super(formatProblems(problems))
    this.problems = problems
  }
}

/** One problem a line, for stderr; one that is there twice, as two words too many are, is told once. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  return [...new Set(problems.map(({ where, message }) => `${where}: ${message}`))].join('\n')
}

/**
 * The name in `known` that `given` was probably meant to be, or undefined. The tolerance grows
 * with the length of the word, so that `prot` finds `port` and `x` finds nothing.
 */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const name of known) {
    const distance = editDistance(given, name)
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}

/** Names come from a command line or a file: nothing sensible is longer, and the work is squared. */
const NAME_CHARACTERS_MAX = 64

/** Optimal string alignment distance: insert, delete, replace, swap of neighbours cost one each. */
function editDistance(from: string, to: string): number {
  if (from.length > NAME_CHARACTERS_MAX || to.length > NAME_CHARACTERS_MAX) {
    return Number.POSITIVE_INFINITY
  }
  let beforePrevious: number[] = []
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const current = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      let cost = Math.min(
        (previous[j] ?? 0) + 1,
        (current[j - 1] ?? 0) + 1,
        (previous[j - 1] ?? 0) + (same ? 0 : 1),
      )
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        cost = Math.min(cost, (beforePrevious[j - 2] ?? 0) + 1)
      }
      current.push(cost)
    }
    beforePrevious = previous
    previous = current
  }
  return previous[to.length] ?? 0
}
