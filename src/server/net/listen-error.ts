/**
 * Why an address cannot be listened on, in an operator's words; for binding (bound-sockets.ts) and for
 * listening (listener.ts), which happen on different threads.
 */

/** Thrown when an address cannot be listened on; `message` is fit for an operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError'

  /** There was no socket to listen on: who tried before has failed, and Node closed it. */
  get isFollowing(): boolean {
    const { code } = (this.cause ?? {}) as NodeJS.ErrnoException
    return code === 'EINVAL' || code === 'EBADF'
  }
}

/** What an operator can do about an address, or a Unix socket, that cannot be listened on. */
export function explain(code: string, isUnix: boolean = false): string {
  switch (code) {
    case 'EADDRINUSE':
      return isUnix
        ? 'a server is running there (stop it, or choose another path with -s or --http)'
        : 'the address is in use (is another server running there? choose another with -p, -l or --http)'
    case 'EACCES':
    case 'EPERM':
      return isUnix
        ? 'permission denied (its directory must be writable for this user; check -s or --http)'
        : 'permission denied (ports below 1024 need privileges; choose a higher one with -p or --http)'
    case 'EROFS':
      return 'the file system is read-only (check -s or --http)'
    case 'EADDRNOTAVAIL':
      return 'no interface of this machine has that address (check -l or --http)'
    case 'EAFNOSUPPORT':
      return 'this machine does not have that kind of address (check -l or --http)'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name cannot be resolved (check -l or --http)'
    case 'ENOENT':
      return 'the directory of the socket does not exist (check -s or --http)'
    case 'ENOTDIR':
      return 'a part of the path of the socket is not a directory (check -s or --http)'
    case 'EMFILE':
      return 'this process may not open more files (ulimit -n)'
    default:
      return code
  }
}
