/** What can be watched, in the words of `watch`. */
import {
  WATCH_CONNEVENTS,
  WATCH_DELETIONS,
  WATCH_EVICTIONS,
  WATCH_FETCHERS,
  WATCH_MUTATIONS,
} from '../../observe/watch-memory.ts'

/**
 * Raw commands were never told by memcached either; the others are events of parts that do not exist
 * here, so nothing comes of them.
 */
const WATCH_KINDS: ReadonlyMap<string, number> = new Map([
  ['fetchers', WATCH_FETCHERS],
  ['mutations', WATCH_MUTATIONS],
  ['evictions', WATCH_EVICTIONS],
  ['connevents', WATCH_CONNEVENTS],
  ['deletions', WATCH_DELETIONS],
  ['rawcmds', 0],
  ['sysevents', 0],
  ['proxyreqs', 0],
  ['proxyevents', 0],
  ['proxyuser', 0],
])

/** The WATCH_ kinds of some words, of none those of `fetchers`; undefined if one is not known. */
export function watchKinds(words: string): number | undefined {
  if (words === '') return WATCH_FETCHERS
  let kinds = 0
  for (const word of words.split(' ')) {
    const kind = WATCH_KINDS.get(word)
    if (kind === undefined) return undefined
    kinds |= kind
  }
  return kinds
}
