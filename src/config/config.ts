/**
 * The shape of a configuration after everything is resolved: no `auto`, no units to convert, and
 * every setting knows where it came from.
 *
 * Invariant: a Config that exists is frozen and usable; nobody below checks a value again. Whether
 * an address can be bound and whether a users file makes sense is found by those who use them.
 * load.ts makes it.
 */

import type { LogLevel } from '../base/log-level.ts'
import type { Protocol } from './options/network-options.ts'
import type { Group } from './options/option.ts'
import type { LogFormat } from './options/process-options.ts'
import type { TlsMinVersion, TlsVerify } from './options/tls-options.ts'
import type { OptionName } from './options.ts'
import type { Secret } from './secret.ts'

export interface ListenAddress {
  /** A name or an IP literal without brackets; `*` is every interface, IPv4 and IPv6. */
  readonly host: string
  /** 0 lets the system pick a free port. */
  readonly port: number
  /**
   * Another address of the one before: on the same port where the system picks it, and left out where
   * this machine has no such address.
   */
  readonly isSecond?: true
  /** Whoever connects there is this user, without a login; only of loopback addresses. */
  readonly identity?: string
  /** How it was marked: in the clear, TLS that asks for no client certificate, or that requires one. */
  readonly security?: 'notls' | 'btls' | 'mtls'
  /** It speaks TLS, and what it asks of a client's certificate; undefined: in the clear. */
  readonly tls?: TlsVerify
  /** Undefined: as all others, see `network.protocol`. */
  readonly protocol?: Protocol
  /** A name for it. */
  readonly tag?: string
}

/** A socket that whoever starts the server has opened for it, by the name that it has there (systemd.socket, FileDescriptorName). */
export interface PassedListener
  extends Pick<ListenAddress, 'identity' | 'security' | 'tls' | 'protocol' | 'tag'> {
  readonly name: string
}

/** A node of a cluster, as clients are told of it. */
export interface ClusterNode {
  readonly host: string
  /** The address of the host; the host itself where none was given. */
  readonly address: string
  readonly port: number
}

/** A cluster that others run, and how it is reached. */
export interface StoreConfig {
  /** At least one. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly user: string | undefined
  readonly passwordFile: string | undefined
  /** Undefined: in the clear. */
  readonly tls:
    | {
        readonly caFile: string | undefined
        readonly certificateFile: string | undefined
        readonly keyFile: string | undefined
      }
    | undefined
  readonly timeoutMs: number
  readonly connections: number
  readonly missesOnFailure: boolean
  /** Copies that the gate keeps; undefined: none. */
  readonly near: { readonly bytesMax: number; readonly ttlMs: number } | undefined
}

/** A certificate and its key: files in PEM. */
export interface TlsPair {
  readonly certificateFile: string
  readonly keyFile: string
  /** Holds the password of the key, if that is encrypted. */
  readonly keyPasswordFile: string | undefined
}

export interface TlsConfig {
  /** At least one. */
  readonly pairs: readonly TlsPair[]
  /** Who signs the certificates of clients. */
  readonly caFile: string | undefined
  /** Which of these were revoked. */
  readonly crlFile: string | undefined
  readonly minVersion: TlsMinVersion
  /** As OpenSSL writes a list; undefined: the server's own choice. */
  readonly ciphers: string | undefined
  /** Of listeners that do not say it themselves. */
  readonly verify: TlsVerify
}

/** Who is answered over HTTP, and where. */
export interface HttpConfig {
  /** Those that speak TLS say so. */
  readonly listen: readonly ListenAddress[]
  /** Unix sockets, with the permissions of the others. */
  readonly sockets: readonly string[]
  /** Metrics take a login. */
  readonly asksForLogin: boolean
  /** Without a login, metrics are for who reaches the port also where that is not this machine alone. */
  readonly isOpen: boolean
  /** Names that the server may be asked by, lower case, beside those that no page can have. */
  readonly hostNames: readonly string[]
}

/** Where users come from. An empty list means: none, and the server makes one for this run. */
export type CredentialOrigin =
  /** users.toml. */
  | { readonly kind: 'users-file'; readonly path: string }
  /** memcached's own, lines of `user:password`: the file of -Y, and that of MEMCACHED_SASL_PWDB. */
  | { readonly kind: 'authfile' | 'pwdb'; readonly path: string }
  /** One user from the environment. `from` names the variables, for messages. */
  | {
      readonly kind: 'inline'
      readonly user: string
      readonly password: Secret
      readonly from: string
      /** What is to be said of the file that the password is in. */
      readonly warning: string | undefined
    }

/** Where the public keys of an issuer are. */
export type KeyOrigin =
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'url'
      readonly url: string
      readonly caFile: string | undefined
      /** What is shown to the server that has the keys. */
      readonly tokenFile: string | undefined
    }

export interface TokenConfig {
  readonly issuer: string
  /** Never empty. */
  readonly audiences: readonly string[]
  readonly keys: KeyOrigin
  /** Never empty, and all of them asymmetric. */
  readonly algorithms: readonly string[]
  readonly clockSkewSeconds: number
  readonly userClaim: string
  readonly rolesClaim: string | undefined
  /** What roles in tokens begin with; empty: nothing of their own. */
  readonly rolesPrefix: string
}

export interface Config {
  readonly network: {
    /** Empty when only Unix sockets are served. */
    readonly listen: readonly ListenAddress[]
    readonly unixSocket: string | undefined
    /** Unix sockets on which everybody is a certain user, beside all others. */
    readonly identitySockets: readonly { readonly path: string; readonly identity: string }[]
    /** What is said of sockets that are passed; all others that are speak what an address of -l does. */
    readonly passed: readonly PassedListener[]
    /** Permission bits of the Unix sockets. */
    readonly unixMask: number
    /** Name or number of the group that they are given; undefined: the one of whom the server runs as. */
    readonly unixGroup: string | undefined
    /** Whom clients are told of that discover nodes; empty: they are told nothing. */
    readonly clusterNodes: readonly ClusterNode[]
    readonly backlog: number
    readonly protocol: Protocol
    /** MEMCACHED_PORT_FILENAME: the file that gets one line for each bound port. */
    readonly portFile: string | undefined
  }
  /** Undefined: nobody is offered TLS. */
  readonly tls: TlsConfig | undefined
  /** Undefined: there is none. */
  readonly http: HttpConfig | undefined
  readonly memory: {
    readonly limitBytes: number
    /** The highest limit that it may be given at run time. */
    readonly limitBytesMax: number
    readonly itemBytesMax: number
    readonly evicts: boolean
    /** Whether eviction weighs how often an item is read against its size. */
    readonly ranksBySize: boolean
    readonly casEnabled: boolean
  }
  readonly auth: {
    /** False only with --no-auth. */
    readonly required: boolean
    readonly sources: readonly CredentialOrigin[]
    /** The users.toml that `saslcached user` edits by default; it need not exist. */
    readonly usersFile: string
    /** False: a password that others on the network could read is not asked for, and not taken. */
    readonly passwordsInTheClear: boolean
    /** Upper case, in the order to announce them. */
    readonly mechanisms: readonly string[]
    /** What of a client's certificate names its user; undefined: nobody logs in by one. */
    readonly certificateField: 'cn' | 'dns' | 'email' | 'uri' | undefined
    readonly iterations: number
    readonly flushEnabled: boolean
    /** False: nobody may list all keys. */
    readonly dumpEnabled: boolean
    /** False: nobody may watch what others do. */
    readonly watchEnabled: boolean
    /** True: a client may shut the server down. */
    readonly shutdownEnabled: boolean
    /** Which tokens are taken; undefined: none. */
    readonly tokens: TokenConfig | undefined
  }
  readonly limits: {
    readonly connectionsMax: number
    /** True: who comes when all places are taken waits; false: is refused at once. */
    readonly waitsForPlace: boolean
    /** Of those over the limit, so many wait at a time: 0 unless they do. */
    readonly heldConnectionsMax: number
    /** Shared out to the addresses of HTTP, each of which keeps its own; 0 where nobody is answered over HTTP. */
    readonly httpConnectionsMax: number
    readonly unauthenticatedConnectionsMax: number
    readonly loginTimeoutMs: number
    readonly loginAttemptsMax: number
    readonly preLoginRequestBytesMax: number
    readonly keyDerivationsMax: number
    readonly derivationQueueMax: number
    /** Undefined: failed logins are not held against anybody. */
    readonly throttle:
      | {
          readonly failuresMax: number
          /** The first refusal, and the longest. */
          readonly refusalMsMin: number
          readonly refusalMsMax: number
          /** Networks in CIDR notation, each valid. */
          readonly allowed: readonly string[]
        }
      | undefined
    readonly requestsPerTurnMax: number
    /** 0: never. */
    readonly idleTimeoutMs: number
    /** 0: never. */
    readonly stalledWriteTimeoutMs: number
    readonly sendBufferBytesMax: number
    readonly watcherBufferBytesMax: number
    readonly workerLogBytesMax: number
    /** 0: connections are closed at once. */
    readonly drainTimeoutMs: number
  }
  readonly process: {
    readonly threads: number
    readonly daemonize: boolean
    /** False: in the background, standard output and error are left behind. */
    readonly keepsOutput: boolean
    readonly pidFile: string | undefined
    readonly runAsUser: string | undefined
  }
  /** Undefined: the items are in this process. */
  readonly store: StoreConfig | undefined
  /** Undefined: items do not outlive the server. */
  readonly snapshot:
    | {
        readonly path: string
        /** 0: only at the end. */
        readonly everyMs: number
        /** Undefined: it is not encrypted. */
        readonly keyFile: string | undefined
        /** Nobody is served before all is back. */
        readonly waits: boolean
        /** One of a server that did not end in order is taken, too. */
        readonly takesStale: boolean
      }
    | undefined
  /** Undefined: there is none. */
  readonly audit:
    | {
        /** `-` is standard output. */
        readonly path: string
        /** While it cannot be written, nobody logs in. */
        readonly refusesLogins: boolean
        readonly showsKeys: boolean
      }
    | undefined
  readonly log: {
    readonly level: LogLevel
    /** How many -v. */
    readonly verbosity: number
    readonly format: LogFormat
    /** The character that ends a key's prefix: prefixes are counted from the start. */
    readonly prefixDelimiter: string | undefined
    readonly tracksSizes: boolean
    /** How long requests take, by verb, and the collector. */
    readonly takesTimes: boolean
    /** False: statistics as of a memcached without its LRU maintainer. */
    readonly showsLruMaintainer: boolean
  }
  /** -l as it was given, for those who look at what was meant; empty without one. */
  readonly listenGiven: readonly string[]
  /** The configuration file that was read, if any. */
  readonly file: string | undefined
  /** What an operator should know at start: flags of memcached that have no effect here. */
  readonly notices: readonly string[]
  /** Every option in the order of the table, with its value as TOML and where it came from. */
  readonly settings: readonly Setting[]
}

export interface Setting {
  readonly group: Group
  readonly name: OptionName
  /** As TOML. */
  readonly value: string
  /** `default`, `-p`, `SASLCACHED_PORT`, `/etc/saslcached/saslcached.toml:12`. */
  readonly source: string
}
