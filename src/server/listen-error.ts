/**
 * Why an address cannot be listened on, in an operator's words; for binding (bind.ts) and for
 * listening (listener.ts), which happen on different threads.
 */

/** Thrown when an address cannot be listened on; `message` is fit for an operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

/** What an operator can do about an address that cannot be listened on. */
export function explain(code: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'the address is in use (is another server running there? choose another with -p or -l)'
    case 'EACCES':
      return 'permission denied (ports below 1024 need privileges; choose a higher one with -p)'
    case 'EADDRNOTAVAIL':
      return 'no interface of this machine has that address (check -l)'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name cannot be resolved (check -l)'
    case 'ENOENT':
      return 'the directory of the socket does not exist (check -s)'
    default:
      return code
  }
}
