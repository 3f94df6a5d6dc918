/** `saslcached user check NAME COMMAND`: tells whether a user of the file may do something, without a server. */
import { EXIT_CONFIG, EXIT_FAILURE, EXIT_OK } from '../base/exit-code.ts'
import type { Config } from '../config/config.ts'
import { problemWith } from '../credential/prepare.ts'
import { findEntry } from '../credential/users-file-editor.ts'
import { checkPermission } from '../server/main/permission-check.ts'
import { CommandFailure, type Io } from './io.ts'

/** `words` are the command as a text client says it. Exit code 0: the user may do it. */
export async function runUserCheck(
  io: Io,
  user: string,
  words: readonly string[],
  { auth, tls, network }: Config,
): Promise<number> {
  const problem = problemWith('name', user)
  if (problem !== undefined) throw new CommandFailure(problem)
  const { access } = await findEntry(auth.usersFile, user)
  const verdict = checkPermission(access, words, {
    ...auth,
    hasCertificates: tls !== undefined,
    hasCluster: network.clusterNodes.length > 0,
  })
  if (verdict === undefined) {
    throw new CommandFailure(
      `${JSON.stringify(words.join(' '))} is no whole command of a text client: set KEY, get KEY, mg KEY N30, stats, flush_all`,
      EXIT_CONFIG,
    )
  }
  io.out(`${verdict.isAllowed ? 'yes' : 'no'}: ${verdict.reason}\n`)
  return verdict.isAllowed ? EXIT_OK : EXIT_FAILURE
}
