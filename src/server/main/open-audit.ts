/**
 * Opens the audit of a server and records its start.
 *
 * Invariant: a server that is to have an audit does not start without one.
 */
import { EXIT_OS } from '../../base/exit-code.ts'
import type { Config } from '../../config/config.ts'
import { AppendFile, describeOpenError } from '../files/append-file.ts'
import type { SystemUser } from '../files/process-files.ts'
import { type AuditMemory, AuditQueue } from '../worker/worker-audit.ts'
import { Audit } from './audit.ts'
import type { Say } from './say.ts'
import { StartError } from './start-error.ts'
import { VERSION } from './version.ts'

/**
 * As root where it is, so that the file may be anywhere; it belongs to who we become. Undefined where there is to be none.
 * Throws StartError.
 */
export function openAudit(
  config: Config,
  memory: AuditMemory | undefined,
  user: SystemUser | undefined,
  say: Say,
): Audit | undefined {
  if (memory === undefined || config.audit === undefined) return undefined
  const audit = new Audit({
    file: openFile(config.audit.path, user),
    queue: new AuditQueue(memory),
    say,
    run: crypto.randomUUID(),
  })
  audit.record({
    event: 'start',
    version: VERSION,
    node: process.versions.node,
    pid: process.pid,
    threads: config.process.threads,
    authentication: config.auth.required,
  })
  return audit
}

function openFile(path: string, user: SystemUser | undefined): AppendFile {
  try {
    return new AppendFile(path, user)
  } catch (cause) {
    const message = `cannot open the audit log ${path}: ${describeOpenError(cause)}`
    throw new StartError(message, EXIT_OS, cause)
  }
}
