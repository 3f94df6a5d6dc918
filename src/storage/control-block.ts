/**
 * What each word of the control block means, and of the heap that the namespaces share: memory that all
 * workers read and write. Where the tables begin follows from the sizes and is in geometry.ts.
 *
 * Invariant: words that different workers write often are on different cache lines, of 16 words each.
 */

/** Words of the control block that exist once. Each group has a cache line of its own. */
export const BUCKET_COUNT_WORD = 0
export const GROW_LOCK_WORD = 16
export const POOL_LOCK_WORD = 32
/** First of the free segments, as a segment id; ids are 1-based, 0 is none. */
export const FREE_FIRST_WORD = 33
export const FREE_COUNT_WORD = 34
/** Segments that are in use beyond the limit: of those that get free, so many are withdrawn. */
export const EXCESS_WORD = 45
/** How many segments this namespace has from the heap, used or free. */
export const OWNED_COUNT_WORD = 35
/** How many segments are sealed, in all lists and in those of the small queue; how many ever were. */
export const SEALED_COUNT_WORD = 36
export const SMALL_COUNT_WORD = 37
export const SEALED_EVER_WORD = 38
/** Free overflow buckets: first of the list, how many, and the page being cut into more. */
export const OVERFLOW_FREE_WORD = 39
export const OVERFLOW_FREE_COUNT_WORD = 40
export const OVERFLOW_PAGE_WORD = 41
export const OVERFLOW_CUT_WORD = 42
export const PRIMARY_PAGES_WORD = 43
export const OVERFLOW_PAGES_WORD = 44
export const EPOCH_WORD = 48
/** Second at which a delayed flush is due, 0 for none. */
export const FLUSH_AT_WORD = 49
export const CAS_LOW_WORD = 64
export const CAS_HALF_WORD = 65
/** Number of items for deciding when the index grows; each worker adds to it in small lots. */
export const ITEM_COUNT_WORD = 80
/** With -M: goes up when a sealed segment comes to be worth compacting. */
export const WORTHY_WORD = 96
/** Segments held by large values that are still arriving. */
export const RECEIVING_COUNT_WORD = 97
/**
 * What is guaranteed: in bytes, a double, and in segments; and how often that was changed. How many
 * segments may be held now, which is more while others lend, and less until they are needed.
 */
export const LIMIT_BYTES_WORD = 98
export const LIMIT_SEGMENTS_WORD = 100
export const LIMIT_CHANGES_WORD = 101
export const GUARANTEED_WORD = 102
/** Guaranteed segments that others are to give back, as they are needed now. */
export const DEMANDED_WORD = 103
/** The floor of each queue: when the last of its segments was due that were emptied (README.md, "When a segment is due"). */
export const FLOORS_WORD = 104
/** Pins that are held, a part of a value each (pins.ts). */
export const PINNED_COUNT_WORD = 106
/** Segments held by values that arrive in the log (arriving-value.ts). */
export const ARRIVING_COUNT_WORD = 107
/** For each group the list of its sealed segments, oldest first: ids of both ends. */
export const LISTS_WORD = 112
export const LIST_WORDS = 2
export const LIST_OLDEST = 0
export const LIST_NEWEST = 1

/**
 * A group is a queue, a class of TTLs and a rank (group.ts): each worker appends to one open segment a
 * group, so that items lie together which expire, or are to be evicted, at about the same time.
 */
export const SMALL_QUEUE = 0
export const MAIN_QUEUE = 1
/** Class 0 is that of items that live for 9 hours or for ever; each further one an eighth of it. */
export const TTL_CLASSES_MAX = 5
/** Of reads a byte, by factors of two. */
export const RANKS_MAX = 14
export const QUEUE_GROUPS: number = TTL_CLASSES_MAX * RANKS_MAX
export const GROUPS_MAX: number = 2 * QUEUE_GROUPS
export const OPENS_MAX: number = GROUPS_MAX + 1
/** With -M: of what compacting moves, so that writes cannot take the room that it counts on. */
export const MOVED_GROUP: number = OPENS_MAX - 1
/**
 * With -M: of the sealed segments in which only the end of an item lies that is not moved; what follows
 * it can be written anew.
 */
export const ENDS_GROUP: number = GROUPS_MAX + 1
export const LISTS_MAX: number = GROUPS_MAX + 2
export const GLOBAL_WORDS = 400

/** Words of one segment's record. */
export const SEGMENT_WORDS = 16
export const SEGMENT_STATE = 0
/** Bytes of live items. While a segment is open this holds only what has died in it, negative. */
export const SEGMENT_LIVE = 1
/** The flush epoch in which it was opened. */
export const SEGMENT_EPOCH = 2
/** Offset of the first record; what is before it belongs to an item that began elsewhere. */
export const SEGMENT_FIRST = 3
/** Offset after the last record; valid when sealed. */
export const SEGMENT_USED = 4
/** Id of the segment in which the last record continues, 0 if it does not. */
export const SEGMENT_CONTINUES = 5
/** Location of the live item that began elsewhere and continues here, 0 if there is none. */
export const SEGMENT_HEAD_ITEM = 6
/** Ids of the neighbours in the list of the sealed, or the next in the list of the free. */
export const SEGMENT_OLDER = 7
export const SEGMENT_NEWER = 8
/** No item in it expires before this second. */
export const SEGMENT_EXPIRES_FROM = 9
/** Live bytes at which it is not compacted, as that failed or would gain nothing, plus one; 0 for none. */
export const SEGMENT_STUCK_LIVE = 10
/** The group it was opened for. A victim of which something stays goes to the main queue. */
export const SEGMENT_GROUP = 11
/** Its place in the order of sealing, over all groups; while it is open, how many were sealed before. */
export const SEGMENT_SEQUENCE = 12
/** All items in it expire by this second; the last uint32 if one never does. */
export const SEGMENT_EXPIRES_BY = 13
/** Its place in the table of the segments that this namespace has. */
export const SEGMENT_PLACE = 14
/** The floor of its queue at which what was not read of it is evicted. */
export const SEGMENT_DUE = 15

/** States of a segment. */
export const FREE_SEGMENT = 0
/** One worker appends to it. */
export const OPEN_SEGMENT = 1
/** Full, in the list of the sealed. */
export const SEALED_SEGMENT = 2
/** Taken out of that list by one worker, which empties it. */
export const VICTIM_SEGMENT = 3
/** Still in that list, but one worker is dropping its dead items. */
export const CRAWLED_SEGMENT = 4
/** Holds primary buckets, or overflow buckets. */
export const PRIMARY_SEGMENT = 5
export const OVERFLOW_SEGMENT = 6
/** Being filled with a large value that is still arriving. */
export const RECEIVING_SEGMENT = 7
/** Nothing in it is alive, but replies are being sent from it; in no list. */
export const PINNED_SEGMENT = 8

/** Words of one worker's record: what it has in hand, its counters as doubles, its open segments. */
export const WORKER_WORDS = 656
export const WORKER_VICTIM = 3
export const WORKER_VICTIM_OFFSET = 4
/** Bytes of victims that this worker may still keep. */
export const WORKER_KEEP_CREDIT = 5
export const WORKER_CRAWL = 6
export const WORKER_CRAWL_OFFSET = 7
export const WORKER_COUNTERS_WORD = 16
/** One entry for each group: id of the open segment (0 for none), where it goes on, bytes linked. */
export const WORKER_OPENS_WORD = 80
export const OPEN_WORDS = 4
export const OPEN_ID = 0
export const OPEN_OFFSET = 1
export const OPEN_LINKED = 2

/** Stripe locks, each on its own cache line. A stripe is the lowest bits of a key's hash. */
export const STRIPE_COUNT = 256
export const STRIPE_WORDS = 16

/** The control words of the heap. */
export const HEAP_LOCK_WORD = 0
/** First of the segments that were given back, as an id; and from which index on none was ever taken. */
export const HEAP_FREE_FIRST_WORD = 1
export const HEAP_FRESH_WORD = 2
/** Segments that no namespace may hold now; below 0 while more are held than there shall be. */
export const HEAP_UNASSIGNED_WORD = 3
/** What all namespaces want back of what is guaranteed to them, and what all are about to give back. */
export const HEAP_DEMANDED_WORD = 4
export const HEAP_EXCESS_WORD = 5
/** How many namespaces there are. */
export const HEAP_NAMESPACES_WORD = 6
/**
 * Guards the quotas, which are set as a whole; and the sum of those of all namespaces but the first, in
 * bytes, a double, and in segments.
 */
export const HEAP_QUOTA_LOCK_WORD = 7
export const HEAP_QUOTA_BYTES_WORD = 8
export const HEAP_QUOTA_SEGMENTS_WORD = 10
/** For each segment the next one of those that were given back. */
export const HEAP_NEXT_WORD = 16
