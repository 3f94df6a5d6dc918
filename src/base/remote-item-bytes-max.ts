/** The largest item that any gate may store in a cluster, whatever its -I; what a node sends is bounded by it, too. */
export const REMOTE_ITEM_BYTES_MAX: number = 64 * 1024 * 1024
