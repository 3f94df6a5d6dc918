/**
 * The commands by which operators ask a server, by name. They are no part of the server's command line:
 * bin/saslcached.ts hands them to cli/client/client-main.ts, which loads nothing of the server, and the
 * server loads nothing of theirs.
 *
 * Invariant: this file imports nothing.
 */
export const CLIENT_COMMANDS: Readonly<Record<string, string>> = {
  stats: 'show the statistics of a server',
  top: 'watch a server at work, in the terminal',
  get: 'print the value of a key',
  set: 'store a value',
  delete: 'delete a key',
  dump: 'list all keys',
  watch: 'show what a server does, as it happens',
  flush: 'let all items go',
  ping: 'measure round trips: exit code 0 or not',
  bench: 'put a small load on a server, and measure',
}

/** Whether a command line is one of a client: its command comes first. */
export function isClientCommand(argv: readonly string[]): boolean {
  return argv[0] !== undefined && Object.hasOwn(CLIENT_COMMANDS, argv[0])
}
