/**
 * What is wrong with the files that hold users: every problem at once, each with its file, its line
 * and what to do about it. No message repeats a password, a verifier or a line of the file, because
 * messages end up in logs.
 */

export interface CredentialFileProblem {
  readonly file: string
  /** 1-based; 0 when the problem is with the file as a whole. */
  readonly line: number
  readonly message: string
}

export class CredentialFileError extends Error {
  readonly problems: readonly CredentialFileProblem[]

  constructor(problems: readonly CredentialFileProblem[]) {
    super([...new Set(problems.map(formatProblem))].join('\n'))
    this.name = 'CredentialFileError'
    this.problems = problems
  }
}

export function formatProblem(problem: CredentialFileProblem): string {
  const { file, line, message } = problem
  return line === 0 ? `${file}: ${message}` : `${file}:${line}: ${message}`
}
