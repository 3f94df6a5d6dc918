/** Logins: users, mechanisms, tokens, and what nobody may do who is logged in. */
import { flag, integer, list, text } from '../kind.ts'
import { audience, claimPath, SIGNED_BY, tokenAlgorithm } from '../oauth-kinds.ts'
import type { Options } from './option.ts'

export interface LoginValues {
  no_auth: boolean
  users_file: string
  auth_file: string
  mechanisms: readonly string[]
  scram_iterations: number
  disable_flush_all: boolean
  disable_dumping: boolean
  disable_watch: boolean
  enable_shutdown: boolean
  oauth_issuer: string
  oauth_audience: readonly string[]
  oauth_jwks_file: string
  oauth_jwks_url: string
  oauth_jwks_ca_file: string
  oauth_jwks_token_file: string
  oauth_algorithms: readonly string[]
  oauth_clock_skew_seconds: number
  oauth_user_claim: string
  oauth_roles_claim: string
  oauth_roles_prefix: string
}

/**
 * Lets every client in that was tried: those without SCRAM use PLAIN, the libmemcached family takes
 * SCRAM-SHA-256, or SCRAM-SHA-1 where its libsasl2 is old. SCRAM-SHA-512 is not announced unless
 * asked for: libsasl2 prefers it and then spends a fifth to a half more time on every connection,
 * for nothing that a password gains by it.
 */
const ANNOUNCED_MECHANISMS: readonly string[] = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']

/** Whether there is such a mechanism is seen by whoever knows which there are (given-options.ts). */
function mechanismName(word: string): string {
  return word.toUpperCase()
}

export const LOGIN_OPTIONS: Options<LoginValues> = {
  no_auth: {
    group: 'authentication',
    long: 'no-auth',
    kind: flag(),
    default: false,
    description: 'serve without login; on loopback unless -l says otherwise',
  },
  users_file: {
    group: 'authentication',
    long: 'users-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'users; by default users.toml beside the configuration file',
  },
  auth_file: {
    group: 'authentication',
    short: 'Y',
    long: 'auth-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'password file of memcached: lines of user:password',
  },
  mechanisms: {
    group: 'authentication',
    long: 'mechanisms',
    kind: list('<list>', 'a list of mechanism names', mechanismName),
    default: ANNOUNCED_MECHANISMS,
    defaultInWords: ANNOUNCED_MECHANISMS.join(', '),
    description: 'SASL mechanisms to announce, in this order',
    repeatable: true,
  },
  scram_iterations: {
    group: 'authentication',
    long: 'scram-iterations',
    kind: integer(4096, 10_000_000),
    default: 4096,
    description: 'PBKDF2 iterations for new verifiers',
  },
  disable_flush_all: {
    group: 'authentication',
    short: 'F',
    long: 'disable-flush-all',
    kind: flag(),
    default: false,
    description: 'refuse flush_all',
  },
  disable_dumping: {
    group: 'authentication',
    short: 'X',
    long: 'disable-dumping',
    kind: flag(),
    default: false,
    description: 'refuse lists of all keys: metadump, mgdump, cachedump',
  },
  disable_watch: {
    group: 'authentication',
    short: 'W',
    long: 'disable-watch',
    kind: flag(),
    default: false,
    description: 'refuse watch, which shows keys and clients',
  },
  enable_shutdown: {
    group: 'authentication',
    short: 'A',
    long: 'enable-shutdown',
    kind: flag(),
    default: false,
    description: 'let clients that are logged in shut the server down',
  },
  oauth_issuer: {
    group: 'oauth',
    long: 'oauth-issuer',
    kind: text('<issuer>', 'the issuer of tokens'),
    default: '',
    description: 'issuer (iss) whose tokens are taken, on TLS; none: no tokens are',
  },
  oauth_audience: {
    group: 'oauth',
    long: 'oauth-audience',
    kind: list('<list>', 'a list of audiences', audience),
    default: [],
    description: 'audience (aud) that tokens for this server name; one of a list will do',
    repeatable: true,
  },
  oauth_jwks_file: {
    group: 'oauth',
    long: 'oauth-jwks-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'public keys of the issuer, a JWK Set; read again when it changes',
  },
  oauth_jwks_url: {
    group: 'oauth',
    long: 'oauth-jwks-url',
    kind: text('<url>', 'a URL'),
    default: '',
    description: 'the same by https, fetched every ten minutes and for keys not known',
  },
  oauth_jwks_ca_file: {
    group: 'oauth',
    long: 'oauth-jwks-ca-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'CA of that server, PEM; none: those that Node trusts',
  },
  oauth_jwks_token_file: {
    group: 'oauth',
    long: 'oauth-jwks-token-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'token to show to that server; read for each fetch',
  },
  oauth_algorithms: {
    group: 'oauth',
    long: 'oauth-algorithms',
    kind: list('<list>', 'a list of algorithms', tokenAlgorithm),
    default: SIGNED_BY,
    description: 'algorithms that tokens may be signed by',
    repeatable: true,
  },
  oauth_clock_skew_seconds: {
    group: 'oauth',
    long: 'oauth-clock-skew',
    kind: integer(0, 600),
    default: 60,
    description: "seconds by which the issuer's clock may differ",
  },
  oauth_user_claim: {
    group: 'oauth',
    long: 'oauth-user-claim',
    kind: claimPath(),
    default: 'sub',
    description: 'claim that names the user; dots lead into objects',
  },
  oauth_roles_claim: {
    group: 'oauth',
    long: 'oauth-roles-claim',
    kind: claimPath(),
    default: '',
    description: 'claim with the roles of who is no user here: resource_access.cache.roles',
  },
  oauth_roles_prefix: {
    group: 'oauth',
    long: 'oauth-roles-prefix',
    kind: text('<text>', 'the beginning of roles'),
    default: '',
    description: 'what roles in tokens begin with; without one none is admin or operator',
  },
}
