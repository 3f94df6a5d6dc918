/** Where the store is that others run, and how it is to be reached. */

export interface Seed {
  readonly host: string
  readonly port: number
}

export interface RemoteSettings {
  /** Any nodes of the cluster, at least one. */
  readonly seeds: readonly Seed[]
  readonly user: string | undefined
  readonly password: string | undefined
  /** Undefined: in the clear. */
  readonly tls:
    | {
        /** Who has signed the nodes' certificates, in PEM; undefined: those that Node knows. */
        readonly ca: string | undefined
        /** What a node is shown that asks for a certificate. */
        readonly identity: { readonly cert: string; readonly key: string } | undefined
      }
    | undefined
  /** Within which a request is answered. */
  readonly timeoutMs: number
  /** Connections to each node, from each thread. */
  readonly connections: number
  /** What is read while the store cannot be reached is told to be missing. */
  readonly missesOnFailure: boolean
  /** Copies of what is read often; undefined: none are kept. */
  readonly near: NearSettings | undefined
}

export interface NearSettings {
  /** Of all threads together. */
  readonly bytesMax: number
  /** No copy is shown for longer. */
  readonly ttlMs: number
}
