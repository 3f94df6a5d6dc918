/**
 * Whether a request was meant for this server by whoever sent it. A page in a browser can have its own
 * name resolve to 127.0.0.1, or to a server inside the network, and then reads the answers as its own
 * (DNS rebinding); but the browser sends that name along. Names that nobody can own on the internet are
 * taken: addresses, names without a dot, `.localhost`, and those that the operator gives.
 */

/** `header` is that of Host, which only HTTP/1.0 may leave out, and browsers do not. */
export function isMeantForUs(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined) return true
  const host = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(header)?.[1]?.toLowerCase()
  if (host === undefined) return false
  if (host.startsWith('[') || /^\d{1,3}(\.\d{1,3}){3}$/.test(host)) return true
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host)) return false
  return !host.includes('.') || host.endsWith('.localhost') || names.includes(host)
}
