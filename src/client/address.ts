/** Where a server is, as `--server` and SASLCACHED_SERVER say it. */
import { Refusal } from '../config/kind.ts'
import { formatListenAddress, parseListenAddress } from '../config/listen.ts'

export type ServerAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }

export const PORT_DEFAULT = 11211
export const SERVER_DEFAULT: string = `127.0.0.1:${PORT_DEFAULT}`

/** `host`, `host:port`, `[IPv6]:port`, or a path with a slash in it. A string completes "the server ...". */
export function parseAddress(text: string): ServerAddress | string {
  if (text.includes('@')) {
    return 'is not an address: a user belongs to --user, and a password on no command line'
  }
  if (text.includes('/')) {
    return /^[a-z]+:\/\//.test(text)
      ? 'is not a URL: write host:port, or the path of a Unix socket'
      : { path: text }
  }
  const address = parseListenAddress(text, PORT_DEFAULT)
  if (address instanceof Refusal) return address.reason
  const { host, port, security, protocol, tag } = address
  if (security !== undefined || protocol !== undefined || tag !== undefined) {
    return 'is not an address: prefixes are for -l of the server; --tls asks for TLS'
  }
  if (host === '*' || port === 0) return 'is not the address of one server: write host:port'
  return { host, port }
}

export function formatAddress(address: ServerAddress): string {
  return 'path' in address ? address.path : formatListenAddress(address)
}
