/**
 * The rows of `stats items` and `stats slabs`. This store has no slab classes, and tools that draw them draw
 * one: a page is a segment, a chunk is 8 bytes of it.
 */
import type { MetricValues } from '../../observe/metric-reader.ts'
import { rowsOf, type StatRows } from './rows.ts'

/** What rows of the one class begin with. */
export const ITEMS_PREFIX = 'items:1:'
export const SLABS_PREFIX = '1:'

const CHUNK_BYTES = 8

/** None while there are no items; `age` is asked for only then. */
export function itemRows(values: MetricValues, age: () => number): StatRows {
  if (values.items === 0) return []
  return rowsOf(ITEMS_PREFIX, {
    number: values.items,
    number_hot: 0,
    number_warm: 0,
    number_cold: values.items,
    age_hot: 0,
    age_warm: 0,
    age: age(),
    mem_requested: values.bytes,
    evicted: values.evictions,
    evicted_nonzero: 0,
    evicted_time: 0,
    outofmemory: values.store_no_memory,
    tailrepairs: 0,
    reclaimed: values.reclaimed,
    expired_unfetched: values.expired_unfetched,
    evicted_unfetched: values.evicted_unfetched,
    evicted_active: values.evicted_active,
    crawler_reclaimed: values.crawler_reclaimed,
    crawler_items_checked: values.crawler_checked,
    lrutail_reflocked: 0,
    moves_to_cold: 0,
    moves_to_warm: 0,
    moves_within_lru: values.reinserted,
    direct_reclaims: 0,
    hits_to_hot: 0,
    hits_to_warm: 0,
    hits_to_cold: values.get_hits,
    hits_to_temp: 0,
  })
}

export function slabRows(values: MetricValues): StatRows {
  const usedSegments = values.segments_open + values.segments_sealed
  const chunksPerPage = values.segment_bytes / CHUNK_BYTES
  const usedChunks = Math.ceil(values.bytes / CHUNK_BYTES)
  const rows = rowsOf(SLABS_PREFIX, {
    chunk_size: CHUNK_BYTES,
    chunks_per_page: chunksPerPage,
    total_pages: usedSegments,
    total_chunks: usedSegments * chunksPerPage,
    used_chunks: usedChunks,
    free_chunks: Math.max(0, usedSegments * chunksPerPage - usedChunks),
    free_chunks_end: 0,
    get_hits: values.get_hits,
    cmd_set: values.cmd_set,
    delete_hits: values.delete_hits,
    incr_hits: values.incr_hits,
    decr_hits: values.decr_hits,
    cas_hits: values.cas_hits,
    cas_badval: values.cas_badval,
    touch_hits: values.touch_hits,
  })
  return [
    ...rows,
    ['active_slabs', usedSegments > 0 ? '1' : '0'],
    ['total_malloced', String(usedSegments * values.segment_bytes)],
  ]
}
