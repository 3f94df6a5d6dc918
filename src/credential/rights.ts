/**
 * What a user may be allowed to do: a right for each kind of request, and one for what steers the
 * server. On the way of a request they are bits, so that one test tells whether it may pass.
 */

export const RIGHT = {
  read: 1,
  write: 2,
  delete: 4,
  arithmetic: 8,
  touch: 16,
  flush: 32,
  stats: 64,
  dump: 128,
  watch: 256,
  admin: 512,
} as const

export type Right = keyof typeof RIGHT

/** Every right, also those that are yet to be named. */
export const RIGHTS_ALL = -1
