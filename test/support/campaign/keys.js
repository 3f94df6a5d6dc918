/**
 * The keys of a campaign's owners: each owner has a space of its own, in which nobody else writes.
 * Strangers know the names, so that what they ask for would do harm. Plain JavaScript, because workers
 * import it too.
 */

export const SMALL_KEYS = 200
export const COUNTER_KEYS = 8
export const LARGE_KEYS = 4

export const smallKey = (owner, number) => `owner${owner}:small${number}`
export const counterKey = (owner, number) => `owner${owner}:counter${number}`
export const largeKey = (owner, number) => `owner${owner}:large${number}`
