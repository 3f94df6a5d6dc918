/**
 * What the system does not give, in an operator's words: open files, threads and memory run out in
 * many places of a start, all of which end here. It imports nothing: it must be there when no more
 * file can be opened.
 */

/** The sentence about an error that says that the system is short of something; else undefined. */
export function describeShortage(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code } = error as NodeJS.ErrnoException
  switch (code) {
    case 'EMFILE':
      return (
        'this process may not open enough files to start: ' +
        'allow more (ulimit -n 1024), or give fewer threads with -t'
      )
    case 'ENFILE':
      return 'the system has no more open files to give (fs.file-max)'
    case 'ENOMEM':
      return 'there is not enough memory to start: lower -m, or allow more (ulimit -v)'
    case 'ERR_WORKER_INIT_FAILED':
    case 'EAGAIN':
      return (
        'a thread cannot be started: allow more threads and files (ulimit -u, ulimit -n, the ' +
        "container's limit of processes), or give fewer with -t"
      )
    case 'ERR_WORKER_OUT_OF_MEMORY':
      return 'there is not enough memory for a thread: give fewer with -t, or allow more (ulimit -v)'
    default:
      return undefined
  }
}
