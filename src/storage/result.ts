/**
 * What the operations of a Store answer: numbers, which the command layer turns into outcomes of the
 * protocol.
 */
export const HIT = 1
export const MISS = 2
export const STORED = 3
export const EXISTS = 4
export const NOT_FOUND = 5
export const NOT_STORED = 6
export const TOO_LARGE = 7
export const NO_MEMORY = 8
export const REMOVED = 9
export const NON_NUMERIC = 10
/** The item is not, or not any more, what a large extension was begun for. */
export const CHANGED = 12

/** Why lookup() missed. */
export const MISS_NONE = 0
export const MISS_EXPIRED = 1
export const MISS_FLUSHED = 2
