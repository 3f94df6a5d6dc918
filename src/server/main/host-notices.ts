/**
 * What the log says at a start about the system that the server was started in.
 *
 * Invariant: nothing here keeps a server from starting; whoever reads the log can do better.
 */
import type { Config } from '../../config/config.ts'
import { openFilesNeeded } from './open-files.ts'
import type { Say } from './say.ts'

/** `asked` is what was configured, `config` what can be held with that many open files (open-files.ts). */
export function warnAboutHost(
  asked: Config,
  config: Config,
  openFiles: number | undefined,
  say: Say,
): void {
  if (process.getuid?.() === 0 && config.process.runAsUser === undefined) {
    say(
      'warn',
      'running_as_root',
      'running as root: nothing here needs it; give a user with -u or start as one',
    )
  }
  if (openFiles === undefined || config === asked) return
  const { connectionsMax } = asked.limits
  const held = config.limits.connectionsMax
  const message =
    `the system allows ${openFiles} open files, too few for -c ${connectionsMax}: at most ${held} ` +
    `connections are served at a time; allow ${openFilesNeeded(asked)} (ulimit -n) or lower -c`
  const fields = { connections: connectionsMax, connections_max: held, open_files: openFiles }
  say('warn', 'open_files_limited', message, fields)
}
