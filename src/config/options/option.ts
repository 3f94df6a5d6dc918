/**
 * What an option is, apart from which there are (options.ts).
 *
 * Invariant: an option stands in one group, and a group is a table of the TOML file and a part of --help.
 */
import { type Kind, Refusal } from '../kind.ts'

export type Group =
  | 'network'
  | 'tls'
  | 'memory'
  | 'snapshot'
  | 'store'
  | 'authentication'
  | 'oauth'
  | 'limits'
  | 'http'
  | 'process'
  | 'log'

/** Tables of the TOML file and their headings in --help, in this order. */
export const GROUPS: Readonly<Record<Group, string>> = {
  network: 'Listening',
  tls: 'TLS',
  memory: 'Memory',
  snapshot: 'Warm restart',
  store: 'Items in a cluster',
  authentication: 'Logins and rights',
  oauth: 'Logins by token (OAUTHBEARER)',
  limits: 'Limits',
  http: 'Metrics and health over HTTP',
  process: 'Process',
  log: 'Logging',
}

export interface Option<T> {
  readonly group: Group
  /** One character, as in memcached's getopt string. */
  readonly short?: string
  readonly long: string
  readonly kind: Kind<T>
  readonly default: T
  /** One line: the comment in config/saslcached.toml and, without the default, the line in help. */
  readonly description: string
  /** For help, where the default is long. */
  readonly defaultInWords?: string
  /** Environment variables of container images in use today that mean the same. */
  readonly aliases?: readonly string[]
  /** The flag may be given several times and the values are joined. */
  readonly repeatable?: boolean
}

/** The options of a group, by the values that they give. */
export type Options<Values> = { readonly [Name in keyof Values]: Option<Values[Name]> }

export function nonEmpty(word: string): string | Refusal {
  return word === '' ? new Refusal('has an empty address in it') : word
}
