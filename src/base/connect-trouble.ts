/** Why a server cannot be reached, in words: what `health` and the client tell of the system's codes. */

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there: is the server running, and is the address right?',
  ENOENT: 'there is no such socket: is the server running, with -s and this path?',
  EACCES: 'this user may not use the socket: look at its mode, and at -a of the server',
  ENOTSOCK: 'this is no socket',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'there is no way to this host',
  ENETUNREACH: 'there is no way to this network',
  ETIMEDOUT: 'it does not answer',
  ECONNRESET: 'it ended the connection',
  EPIPE: 'it ended the connection',
}

/** Codes of a look-up. */
const UNKNOWN_HOST: readonly string[] = ['ENOTFOUND', 'EAI_AGAIN']
const SOCKET_NAME = /\.sock(et)?$/

/** The code of an error of a connection; '' where it has none. */
export function codeOfTrouble(error: Error): string {
  // A name with several addresses fails with all their errors.
  const [first] = error instanceof AggregateError ? error.errors : []
  const codes = [error, first as unknown].map((each) => (each as NodeJS.ErrnoException)?.code)
  return codes.find((code) => code !== undefined && code !== '') ?? ''
}

/** Completes "... cannot be reached: ". `host`: the name that was looked up, if one was. */
export function describeConnectTrouble(error: Error, host: string | undefined): string {
  const code = codeOfTrouble(error)
  const reason = REASONS[code] ?? (code === '' ? error.message : code)
  if (host === undefined || !UNKNOWN_HOST.includes(code) || !SOCKET_NAME.test(host)) return reason
  return `${reason}; the path of a socket has a slash in it: ./${host}`
}
