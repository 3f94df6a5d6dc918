/**
 * Files that are read again or written after the start, looked at as who the process has become (-u): the start
 * reads and writes them as root, and a server that cannot do so later looks well until it matters. A
 * reload that is refused leaves a removed user in force.
 *
 * Not among them: what is read once (passwords, the snapshot's key), the pid file, which is emptied through its
 * descriptor, sockets, which the next start replaces, and the snapshot, without whose folder there is no start
 * (snapshot-settings.ts).
 */
import { accessSync, constants } from 'node:fs'
import { dirname } from 'node:path'
import type { Config } from '../../config/config.ts'
import { codeOf } from '../../credential/file-access.ts'
import type { Say } from './say.ts'

const { R_OK, W_OK, X_OK } = constants

/** Throws what the system says if the process may not do that. */
export type TryAccess = (path: string, mode: number) => void

interface LaterFile {
  readonly path: string
  /** What it is, at the beginning of a sentence. */
  readonly what: string
  readonly consequence: string
}

/** To be called when root is given up. Returns what was said. */
export function warnOfLaterFiles(
  config: Config,
  user: string,
  say: Say,
  tryAccess: TryAccess = accessSync,
): readonly string[] {
  const told: string[] = []
  const tell: Say = (level, event, message, fields) => {
    told.push(message)
    say(level, event, message, fields)
  }
  for (const { path, what, consequence } of filesReadAgain(config)) {
    if (!isForbidden(path, R_OK, tryAccess)) continue
    tell(
      'warn',
      'file_out_of_reach',
      `${what} ${path} cannot be read by ${user} (-u) when it changes, so ${consequence}: give it to that ` +
        `user (chown ${user} ${path}), and let the user into its folders`,
      { path, user },
    )
  }
  checkAudit(config, user, tell, tryAccess)
  return told
}

function filesReadAgain({ auth, tls, network, file }: Config): readonly LaterFile[] {
  const files: LaterFile[] = []
  const add = (path: string | undefined, what: string, consequence: string): void => {
    if (path !== undefined) files.push({ path, what, consequence })
  }
  for (const source of auth.sources) {
    if (source.kind === 'inline') continue
    add(source.path, 'the users file', 'every reload is refused, and a user who is removed stays')
  }
  const old = 'the certificates of the start stay until they expire'
  for (const { certificateFile, keyFile, keyPasswordFile } of tls?.pairs ?? []) {
    add(certificateFile, 'the certificate', old)
    add(keyFile, 'the key', old)
    add(keyPasswordFile, 'the password of the key', old)
  }
  add(tls?.caFile, 'the file of authorities', old)
  add(tls?.crlFile, 'the list of revoked certificates', 'one that is revoked later stays good')
  const keys = auth.tokens?.keys
  if (keys?.kind === 'file')
    add(keys.path, 'the keys of tokens', 'a key that is withdrawn stays good')
  if (keys?.kind === 'url') {
    const missing = 'new keys of tokens cannot be fetched'
    add(keys.caFile, 'the authority of the keys of tokens', missing)
    add(keys.tokenFile, 'the token for the keys of tokens', missing)
  }
  if (network.clusterNodes.length > 0) {
    add(file, 'the configuration', 'the nodes for auto discovery stay as they are')
  }
  return files
}

/** Under its name there may be another file when it is opened again, or none. */
function checkAudit({ audit }: Config, user: string, say: Say, tryAccess: TryAccess): void {
  if (audit === undefined || audit.path === '-') return
  const { path } = audit
  const folder = dirname(path)
  if (isForbidden(path, W_OK, tryAccess)) {
    const message =
      `the audit log ${path} cannot be opened again by ${user} (-u), so the file of the start is written on ` +
      'when it is rotated: let the user into its folders'
    say('warn', 'file_out_of_reach', message, { path, user })
  } else if (isForbidden(folder, W_OK | X_OK, tryAccess)) {
    const message =
      `${user} (-u) may not write to ${folder}: who rotates the audit log has to make the new file ` +
      `(logrotate: create 0600 ${user})`
    say('info', 'file_out_of_reach', message, { path, user })
  }
}

/** What else is wrong with it the start has said itself. */
function isForbidden(path: string, mode: number, tryAccess: TryAccess): boolean {
  try {
    tryAccess(path, mode)
    return false
  } catch (error) {
    return ['EACCES', 'EPERM'].includes(codeOf(error))
  }
}
