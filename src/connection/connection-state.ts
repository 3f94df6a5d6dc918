/** What a connection is doing; the picture of it is in connection.ts. */

export const STATE_DETECTING = 0
export const STATE_SERVING = 1
/** The suspended request waits for somebody else. */
export const STATE_AWAITING = 2
/** Is sent the events of the server and takes no more commands (watchers.ts). */
export const STATE_WATCHING = 3
export const STATE_DRAINING = 4
export const STATE_CLOSED = 5

/** What `stats conns` calls the states of a connection; workers tell each other the index. */
export const STATE_NAMES = [
  'conn_read',
  'conn_nread',
  'conn_parse_cmd',
  'conn_swallow',
  'conn_mwrite',
  'conn_watch',
  'conn_closing',
] as const

export type StateName = (typeof STATE_NAMES)[number]
