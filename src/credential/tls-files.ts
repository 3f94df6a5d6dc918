/** Which files are behind a TLS listener, what each is for, and how it is told what is wrong with one. */

export interface TlsFilePair {
  readonly certificateFile: string
  /** May be the file of the certificate. */
  readonly keyFile: string
  /** Holds the password of the key, if that is encrypted. */
  readonly keyPasswordFile: string | undefined
}

export interface TlsFiles {
  /** At least one. */
  readonly pairs: readonly TlsFilePair[]
  readonly caFile: string | undefined
  readonly crlFile: string | undefined
}

/** What a file is read for. */
export type TlsFileRole = 'chain' | 'key' | 'pair' | 'ca' | 'crl'

export interface TlsFileProblem {
  readonly role: TlsFileRole
  /** Its path, or the option that is wrong where no file is. */
  readonly file: string
  /** 1-based; 0: the file as a whole. */
  readonly line: number
  readonly message: string
}

export class TlsFileError extends Error {
  readonly problems: readonly TlsFileProblem[]

  /** Of a file that is read for two things, what is wrong is told once. */
  constructor(problems: readonly TlsFileProblem[]) {
    super([...new Set(problems.map(formatTlsProblem))].join('\n'))
    this.name = 'TlsFileError'
    this.problems = problems
  }
}

/** One line a problem; several behind one another are one text. */
export function formatTlsProblem({ file, line, message }: TlsFileProblem): string {
  return line === 0 ? `${file}: ${message}` : `${file}:${line}: ${message}`
}

/** All files, in the order in which they are read; none of them twice. */
export function tlsFilePaths({ pairs, caFile, crlFile }: TlsFiles): readonly string[] {
  const all = pairs.flatMap(({ certificateFile, keyFile, keyPasswordFile }) => [
    certificateFile,
    keyFile,
    keyPasswordFile,
  ])
  return [...new Set([...all, caFile, crlFile].filter((path) => path !== undefined))]
}
