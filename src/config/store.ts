/**
 * Where the items are. What cannot be had with a store elsewhere is refused by name: whoever relies on it would be
 * without it.
 */
import { REMOTE_ITEM_BYTES_MAX } from '../base/remote-item-bytes-max.ts'
import { resolveClusterNodes } from './cluster.ts'
import type { StoreConfig } from './config.ts'
import type { GivenOptions } from './given-options.ts'
import type { OptionName } from './options.ts'

/** Options that are about nothing but a cluster. */
const CLUSTER_OPTIONS = [
  'store_nodes',
  'store_user',
  'store_password_file',
  'store_tls',
  'store_tls_ca',
  'store_tls_cert',
  'store_tls_key',
  'store_timeout_seconds',
  'store_connections',
  'on_store_failure',
  'near_cache',
  'near_cache_ttl_seconds',
] as const

/** What is of the store of this process, and who has it instead. */
const LOCAL_OPTIONS: Partial<Record<OptionName, string>> = {
  memory_limit_mib: 'how much it keeps is said there, by maxmemory',
  memory_limit_max_mib: 'how much it keeps is said there, by maxmemory',
  disable_evictions: 'what it does when it is full is said there, by maxmemory-policy',
  eviction: 'what it evicts is said there, by maxmemory-policy',
  snapshot: 'what outlives a stop of the nodes is said there, by save and appendonly',
  track_sizes: 'nobody here knows the sizes of its items',
  prefix_delimiter: 'nobody here counts by prefix what is there',
}

/** Undefined: the store is that of this process. */
export function resolveStore(given: GivenOptions): StoreConfig | undefined {
  const { values } = given
  if (values.store === 'local') {
    for (const option of CLUSTER_OPTIONS) {
      if (!given.isDefault(option))
        given.problem(option, 'takes a store elsewhere: --store cluster')
    }
    return undefined
  }
  for (const [option, who] of Object.entries(LOCAL_OPTIONS) as [OptionName, string][]) {
    if (given.isGiven(option) && !given.isDefault(option)) {
      given.problem(option, `cannot be had with --store cluster: ${who}`)
    }
  }
  if (values.max_item_size > REMOTE_ITEM_BYTES_MAX) {
    given.problem('max_item_size', 'is more than the 64m that there may be with --store cluster')
  }
  const nodes = resolveClusterNodes(values.store_nodes, (message) =>
    given.problem('store_nodes', message),
  )
  if (values.store_nodes.length === 0) {
    given.problem('store', 'takes the nodes of the cluster: --store-nodes host:port')
  }
  if (values.store_user !== '' && values.store_password_file === '') {
    given.problem('store_user', 'takes a password: --store-password-file FILE')
  }
  return {
    nodes: nodes.map(({ address, port }) => ({ host: address, port })),
    user: values.store_user === '' ? undefined : values.store_user,
    passwordFile: given.path('store_password_file'),
    tls: resolveTls(given),
    timeoutMs: Math.round(values.store_timeout_seconds * 1000),
    connections: values.store_connections,
    missesOnFailure: values.on_store_failure === 'miss',
    near: resolveNear(given),
  }
}

function resolveNear(given: GivenOptions): StoreConfig['near'] {
  const { near_cache: bytesMax, near_cache_ttl_seconds: ttlSeconds } = given.values
  if (bytesMax > 0) return { bytesMax, ttlMs: Math.round(ttlSeconds * 1000) }
  if (!given.isDefault('near_cache_ttl_seconds')) {
    given.problem('near_cache_ttl_seconds', 'takes a near cache: --near-cache SIZE')
  }
  return undefined
}

function resolveTls(given: GivenOptions): StoreConfig['tls'] {
  const { store_tls: isOn, store_tls_cert: certificate, store_tls_key: key } = given.values
  if (!isOn) {
    for (const option of ['store_tls_ca', 'store_tls_cert', 'store_tls_key'] as const) {
      if (!given.isDefault(option)) given.problem(option, 'takes TLS to the nodes: --store-tls')
    }
    return undefined
  }
  if ((certificate === '') !== (key === '')) {
    given.problem(
      certificate === '' ? 'store_tls_key' : 'store_tls_cert',
      'takes the other of the two: --store-tls-cert and --store-tls-key',
    )
  }
  return {
    caFile: given.path('store_tls_ca'),
    certificateFile: given.path('store_tls_cert'),
    keyFile: given.path('store_tls_key'),
  }
}
