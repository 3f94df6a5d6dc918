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

/** In the order in which they are shown. */
export const RIGHT_NAMES: readonly Right[] = Object.keys(RIGHT) as Right[]

/** Every right, also those that are yet to be named. */
export const RIGHTS_ALL = -1

/**
 * What these allow is about the items of everybody, or about the server: whoever is bound to some
 * prefixes of keys cannot have them.
 */
export const RIGHTS_BEYOND_KEYS: number = RIGHT.flush | RIGHT.dump | RIGHT.watch | RIGHT.admin

export function isRight(name: string): name is Right {
  return Object.hasOwn(RIGHT, name)
}

export function rightsOf(names: readonly Right[]): number {
  return names.reduce((rights, name) => rights | RIGHT[name], 0)
}

/** The names of the bits that are set. */
export function namesOf(rights: number): Right[] {
  return RIGHT_NAMES.filter((name) => (rights & RIGHT[name]) !== 0)
}
