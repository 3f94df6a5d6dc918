/**
 * What a client sees otherwise where the items are in a cluster: by the name of a case that shows it, the words
 * for it in docs/cluster.md. A case that is named here is not played there.
 */
const UNIQUES = 'CAS uniques count from the clock'
const READ = 'a plain read leaves no mark'
const NO_DUMPS = 'no list of keys'
const NO_PREFIXES = 'no statistics by prefix'

export const DIFFERS_WITH_A_CLUSTER: Readonly<Record<string, string>> = {
  'ms I with a newer unique is refused': UNIQUES,
  me: READ,
  'metadump: a line an item, with a blank before its line feed': NO_DUMPS,
  'metadump behind other commands': NO_DUMPS,
  'mgdump: a command an item': NO_DUMPS,
  'mgdump behind other commands': NO_DUMPS,
  'mgdump writes a binary key as base64': NO_DUMPS,
  'a dump of a class that does not exist': NO_DUMPS,
  'stats cachedump with wrong words': NO_DUMPS,
  'stats detail and reset': NO_PREFIXES,
  'stats detail without its word': NO_PREFIXES,
  'stats detail counts by prefix': NO_PREFIXES,
}
