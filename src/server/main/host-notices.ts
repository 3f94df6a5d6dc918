/**
 * What the log says at a start about the system that the server was started in.
 *
 * Invariant: nothing here keeps a server from starting; whoever reads the log can do better.
 */
import type { Config } from '../../config/config.ts'
import { openFilesMax } from '../files/process-files.ts'
import type { Say } from './say.ts'
import { heldConnectionsMax } from './worker-settings.ts'

/** Files that a server without connections has open, and some to spare. */
const OWN_OPEN_FILES = 48

/** `httpFiles`: what those hold open who ask over HTTP. */
export function warnAboutHost(config: Config, httpFiles: number, say: Say): void {
  if (process.getuid?.() === 0 && config.process.runAsUser === undefined) {
    say(
      'warn',
      'running_as_root',
      'running as root: nothing here needs it; give a user with -u or start as one',
    )
  }
  const { connectionsMax } = config.limits
  const filesNeeded = connectionsMax + heldConnectionsMax(config) + httpFiles + OWN_OPEN_FILES
  const openFiles = openFilesMax()
  // libuv closes what it has no file for without telling us: it must be said beforehand.
  if (openFiles !== undefined && filesNeeded > openFiles) {
    const message =
      `the system allows ${openFiles} open files, too few for -c ${connectionsMax}: clients beyond ` +
      `that will be disconnected; allow ${filesNeeded} (ulimit -n) or lower -c`
    const fields = { connections: connectionsMax, open_files: openFiles }
    say('warn', 'open_files_limited', message, fields)
  }
}
