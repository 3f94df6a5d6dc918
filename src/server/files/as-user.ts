/**
 * What may be done as the user of -u, asked of the system itself while the process is root still: of modes, groups
 * and access lists it alone knows what they come to.
 *
 * Invariant: before it returns, the process is who it was.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { codeOf } from '../../credential/file-access.ts'
import type { SystemUser } from './process-files.ts'

/** Of Linux: a file without a name, which is gone when it is closed. Node has no constant for it. */
const O_TMPFILE: number = 0o20_000_000 | constants.O_DIRECTORY

/** Whether `user` may make files in a folder. What else is wrong with it is not told here. */
export function mayMakeFiles(folder: string, user: SystemUser): boolean {
  try {
    asUser(user, () => closeSync(openSync(folder, O_TMPFILE | constants.O_WRONLY, 0o600)))
  } catch (error) {
    // A file system that cannot make such a file looks first whether one may be made.
    return !['EACCES', 'EPERM'].includes(codeOf(error))
  }
  return true
}

function asUser({ name, gid, uid }: SystemUser, run: () => void): void {
  const { getgroups, getegid, geteuid, setgroups, setegid, seteuid } = process
  const { initgroups } = process as { initgroups?: (user: string, group: number) => void }
  if (!(getgroups && getegid && geteuid && setgroups && setegid && seteuid && initgroups)) return
  const [groups, groupId, userId] = [getgroups(), getegid(), geteuid()]
  try {
    initgroups(name, gid)
    setegid(gid)
    seteuid(uid)
    run()
  } finally {
    seteuid(userId)
    setegid(groupId)
    setgroups(groups)
  }
}
