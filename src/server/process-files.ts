/**
 * What a daemon leaves in the system and takes from it: its pid file, memcached's port file, the
 * user it runs as, the limit of open files. Every function that throws does so with an Error whose
 * message is fit for an operator.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { BoundAddress } from './bind.ts'

export function writePidFile(path: string): void {
  write(path, `${process.pid}\n`, 'pid file')
}

/**
 * MEMCACHED_PORT_FILENAME: one line a bound TCP port. The file appears whole, by a rename, because
 * whoever waits for it reads it the moment it exists.
 */
export function writePortFile(path: string, addresses: readonly BoundAddress[]): void {
  const lines = addresses.flatMap(({ family, port, isDualStack }) => {
    const ipv4 = `TCP INET: ${port}\n`
    const ipv6 = `TCP INET6: ${port}\n`
    if (isDualStack) return [ipv4, ipv6]
    if (family === 'unix') return []
    return [family === 'IPv6' ? ipv6 : ipv4]
  })
  const temporary = `${path}.lck`
  write(temporary, lines.join(''), 'port file')
  renameSync(temporary, path)
}

export function removeFile(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // After -u the directory may not be ours any more; a stale pid file is no reason to fail.
  }
}

/** How many files this process may have open (ulimit -n); undefined where that is not known. */
export function openFilesMax(): number | undefined {
  try {
    const found = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return found === null ? undefined : Number(found[1])
  } catch {
    return undefined
  }
}

/** Gives up root for `user` (-u), groups first. */
export function dropPrivileges(user: string): void {
  if (process.getuid?.() !== 0) {
    // memcached ignores -u when it is not root; so do we.
    return
  }
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name, , uid]) => name === user || uid === user)
  const [name, , uid, gid] = entry ?? []
  if (name === undefined || uid === undefined || gid === undefined) {
    throw new Error(`-u ${user}: there is no such user in /etc/passwd`)
  }
  // Not in the typings: the supplementary groups of the user, before the right to set them goes.
  const groups = process as { initgroups?: (user: string, group: number) => void }
  if (groups.initgroups === undefined) {
    throw new Error(`-u ${user}: this release of Node (${process.version}) cannot change groups`)
  }
  groups.initgroups(name, Number(gid))
  process.setgid?.(Number(gid))
  process.setuid?.(Number(uid))
}

function write(path: string, content: string, what: string): void {
  try {
    writeFileSync(path, content, { mode: 0o644 })
  } catch (cause) {
    throw new Error(`cannot write the ${what} ${path}: ${(cause as Error).message}`, { cause })
  }
}
