/** The version that clients are told. */
import { readVersion } from '../../config/version.ts'

/**
 * What VERSION and `stats` answer. Clients read the release of memcached from it to decide what the
 * server can do, so it leads with the release whose behaviour this is, and says whose server it is.
 */
export const VERSION: string = `1.6.45-saslcached-${readVersion()}`
