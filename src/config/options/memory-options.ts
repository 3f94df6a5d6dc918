/** Memory for items, and the snapshot by which they outlive a stop. */
import { choice, flag, integer, integerOrAuto, mebibytes, size, text } from '../kind.ts'
import type { Options } from './option.ts'

export interface MemoryValues {
  memory_limit_mib: number
  memory_limit_max_mib: number | 'auto'
  max_item_size: number
  disable_evictions: boolean
  eviction: 'size-aware' | 's3-fifo'
  disable_cas: boolean
  snapshot: string
  snapshot_every_minutes: number
  snapshot_key_file: string
  restore: 'serve' | 'wait'
  restore_stale: boolean
}

export const MEMORY_OPTIONS: Options<MemoryValues> = {
  memory_limit_mib: {
    group: 'memory',
    short: 'm',
    long: 'memory-limit',
    // As much as the store can address, 64 GiB.
    kind: mebibytes(1, 65_536),
    default: 64,
    description: 'memory for items, in MiB',
    aliases: ['MEMCACHED_CACHE_SIZE'],
  },
  memory_limit_max_mib: {
    group: 'memory',
    long: 'memory-limit-max',
    kind: integerOrAuto(1, 65_536),
    default: 'auto',
    description: 'highest limit cache_memlimit may set; four times -m, at least 1024',
  },
  max_item_size: {
    group: 'memory',
    short: 'I',
    long: 'max-item-size',
    kind: size(1024, 1024 * 1024 * 1024),
    default: 1024 * 1024,
    description: 'largest item, 1k to 1024m, at most half of the memory',
    aliases: ['MEMCACHED_MAX_ITEM_SIZE'],
  },
  disable_evictions: {
    group: 'memory',
    short: 'M',
    long: 'disable-evictions',
    kind: flag(),
    default: false,
    description: 'answer "out of memory" instead of evicting items',
  },
  eviction: {
    group: 'memory',
    long: 'eviction',
    kind: choice<'size-aware' | 's3-fifo'>(['size-aware', 's3-fifo']),
    default: 'size-aware',
    description: 'evict what is read least: for its size (size-aware), or at all (s3-fifo)',
  },
  disable_cas: {
    group: 'memory',
    short: 'C',
    long: 'disable-cas',
    kind: flag(),
    default: false,
    description: 'do without CAS values',
  },
  snapshot: {
    group: 'snapshot',
    long: 'snapshot',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'file that items outlive a stop in; none: a start is empty',
  },
  snapshot_every_minutes: {
    group: 'snapshot',
    long: 'snapshot-every',
    kind: integer(0, 10_080),
    default: 0,
    defaultInWords: '0',
    description: 'minutes between further snapshots, for --restore-stale; 0 is at a stop only',
  },
  snapshot_key_file: {
    group: 'snapshot',
    long: 'snapshot-key-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'key to encrypt it with, from openssl rand -hex 32; none: in the clear',
  },
  restore: {
    group: 'snapshot',
    long: 'restore',
    kind: choice(['serve', 'wait']),
    default: 'serve',
    description: 'serve while items come back, or wait until they are',
  },
  restore_stale: {
    group: 'snapshot',
    long: 'restore-stale',
    kind: flag(),
    default: false,
    description: 'also take the snapshot of a server that crashed, though it may be out of date',
  },
}
