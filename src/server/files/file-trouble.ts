/** What the system says of a file, for an operator. Anything else that was thrown is thrown again. */
export function describeFileTrouble(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  switch (code) {
    case undefined:
      throw error
    case 'ENOSPC':
    case 'EDQUOT':
      return `the disk is full (${code})`
    case 'EROFS':
      return `the disk can only be read (${code})`
    case 'EACCES':
    case 'EPERM':
      return `no permission for the file or its folder (${code})`
    case 'ENOENT':
      return `there is no such folder (${code})`
    default:
      return `the system says ${code}`
  }
}
