/** Where the items are: in this process, or in a cluster that others run. */
import { choice, flag, integer, list, optionalSize, seconds, text } from '../kind.ts'
import { nonEmpty, type Options } from './option.ts'

export interface StoreValues {
  store: 'local' | 'cluster'
  store_nodes: readonly string[]
  store_user: string
  store_password_file: string
  store_tls: boolean
  store_tls_ca: string
  store_tls_cert: string
  store_tls_key: string
  store_timeout_seconds: number
  store_connections: number
  on_store_failure: 'error' | 'miss'
  near_cache: number
  near_cache_ttl_seconds: number
}

const NEAR_BYTES_MIN: number = 1024 * 1024
const NEAR_BYTES_MAX: number = 4 * 1024 * 1024 * 1024

export const STORE_OPTIONS: Options<StoreValues> = {
  store: {
    group: 'store',
    long: 'store',
    kind: choice<'local' | 'cluster'>(['local', 'cluster']),
    default: 'local',
    description: 'keep items in this process (local), or in a Redis or Valkey cluster (cluster)',
  },
  store_nodes: {
    group: 'store',
    long: 'store-nodes',
    kind: list('<nodes>', 'a list of nodes', nonEmpty),
    default: [],
    description: 'some nodes of that cluster, host:port; they name the others',
    repeatable: true,
  },
  store_user: {
    group: 'store',
    long: 'store-user',
    kind: text('<name>', 'a name'),
    default: '',
    description: 'user of the cluster; none: its default user',
  },
  store_password_file: {
    group: 'store',
    long: 'store-password-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'file with the password of that user; none: no login',
  },
  store_tls: {
    group: 'store',
    long: 'store-tls',
    kind: flag(),
    default: false,
    description: 'speak TLS to the nodes',
  },
  store_tls_ca: {
    group: 'store',
    long: 'store-tls-ca',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'who signs the certificates of the nodes, in PEM; none: those that Node trusts',
  },
  store_tls_cert: {
    group: 'store',
    long: 'store-tls-cert',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'certificate that the nodes are shown, in PEM',
  },
  store_tls_key: {
    group: 'store',
    long: 'store-tls-key',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'its key, in PEM',
  },
  store_timeout_seconds: {
    group: 'store',
    long: 'store-timeout',
    kind: seconds(0.05, 60, false),
    default: 1,
    description: 'seconds within which a request to the cluster is answered, by an error at worst',
  },
  store_connections: {
    group: 'store',
    long: 'store-connections',
    kind: integer(1, 64),
    default: 1,
    description: 'connections to each node, from each thread',
  },
  on_store_failure: {
    group: 'store',
    long: 'on-store-failure',
    kind: choice<'error' | 'miss'>(['error', 'miss']),
    default: 'error',
    description: 'what reads are told while the cluster fails: an error, or a miss',
  },
  near_cache: {
    group: 'store',
    long: 'near-cache',
    kind: optionalSize(NEAR_BYTES_MIN, NEAR_BYTES_MAX),
    default: 0,
    description: 'memory of the gate for copies of what is read often, 1m to 4g; 0: none',
  },
  near_cache_ttl_seconds: {
    group: 'store',
    long: 'near-cache-ttl',
    kind: seconds(0.01, 60, false),
    default: 0.5,
    description: 'seconds after which such a copy is shown no more, whatever is heard of it',
  },
}
