/**
 * From a valid Config to an exit code: the way into the server for the command line.
 *
 * Exit codes: 0 after a stop that was asked for, 70 after a programmer error, 71 when the system
 * refuses something (a port in use, memory, open files), 78 for bad credentials
 * or certificates.
 */
import { EXIT_CONFIG, EXIT_OK, EXIT_OS } from '../../base/exit-code.ts'
import type { Config } from '../../config/config.ts'
import { SECRET_VARIABLES } from '../../config/environment.ts'
import type { NetworkInputs } from '../../config/load.ts'
import { CredentialFileError } from '../../credential/credential-file-error.ts'
import { TlsFileError } from '../../credential/tls-files.ts'
import { createLog } from '../../observe/log.ts'
import { openFilesMax } from '../files/process-files.ts'
import { ListenError } from '../net/listen-error.ts'
import { type PassedSocket, takePassedSockets } from '../net/passed-sockets.ts'
import { detach, isDetached, logOutput } from './daemon.ts'
import { warnAboutHost } from './host-notices.ts'
import { withinOpenFiles } from './open-files.ts'
import { sayInto } from './say.ts'
import { StartError, StopAsked } from './start-error.ts'
import { Supervisor } from './supervisor.ts'

const PASSED_TO_ANOTHER =
  '-d cannot serve sockets that were passed to this process: who starts it keeps it in the background, too'

/**
 * Serves until told to stop; resolves to the exit code. Start-up problems go to stderr. `reread` reads the
 * configuration again, for what may change of it.
 */
export async function serve(config: Config, reread: () => Promise<NetworkInputs>): Promise<number> {
  let passed: readonly PassedSocket[]
  try {
    passed = takePassedSockets(process.env, process.pid)
    if (passed.length > 0 && config.process.daemonize) throw new ListenError(PASSED_TO_ANOTHER)
  } catch (error) {
    if (!(error instanceof ListenError)) throw error
    process.stderr.write(`saslcached: ${error.message}\n`)
    return EXIT_OS
  }
  if (config.process.daemonize && !isDetached()) return await detach(config.process.keepsOutput)
  // Node's diagnostic reports list the environment, and threads and programs that are started inherit it.
  for (const name of SECRET_VARIABLES) delete process.env[name]
  // A look at process.stdout makes a pipe non-blocking: a write to one that nobody reads would hold a
  // thread for good, and the end of the process waits for its threads.
  const isTerminal = process.stdout.isTTY
  const log = createLog({
    level: config.log.level,
    pretty: config.log.format === 'pretty' || (config.log.format === 'auto' && isTerminal),
    fd: logOutput(),
  })
  const openFiles = openFilesMax()
  const held = withinOpenFiles(config, openFiles)
  const supervisor = new Supervisor(held, passed, log, reread)
  try {
    return await supervisor.run(() => warnAboutHost(config, held, openFiles, sayInto(log)))
  } catch (error) {
    await supervisor.abandon()
    if (error instanceof StopAsked) {
      supervisor.sayStoppedEarly(error.message)
      return EXIT_OK
    }
    if (error instanceof CredentialFileError || error instanceof TlsFileError) {
      process.stderr.write(`saslcached: cannot start\n${error.message.replace(/^/gm, '  ')}\n`)
      return EXIT_CONFIG
    }
    if (!(error instanceof StartError)) throw error
    process.stderr.write(`saslcached: ${error.message}\n`)
    return error.exitCode
  } finally {
    await log.close()
  }
}
