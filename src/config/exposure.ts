/**
 * Files that hold a password, or say where one goes: others must neither read nor write them. As ssh does,
 * a file is judged by its mode if it is our own; what belongs to somebody else (a secret that root
 * mounted) is that one's business, as long as not everybody can write it.
 */
import type { Stats } from 'node:fs'

const OTHERS = 0o077
const OTHERS_WRITE = 0o022
const MODE = 0o777

export interface Exposure {
  /** To be put behind the name of the file. */
  readonly what: string
  /** A command. */
  readonly remedy: string
}

/** Undefined: nobody else has what is in it, or its owner wants it so. */
export function exposureOf(path: string, stats: Stats): Exposure | undefined {
  // A pipe is whose it was made for, and /dev/null has no secret.
  if (!stats.isFile()) return undefined
  const mode = (stats.mode & MODE).toString(8).padStart(4, '0')
  if (stats.uid === process.getuid?.() && (stats.mode & OTHERS) !== 0) {
    const what = `can be read or written by others (mode ${mode})`
    return { what, remedy: `chmod 600 ${path}` }
  }
  if ((stats.mode & OTHERS_WRITE) !== 0) {
    return { what: `can be written by others (mode ${mode})`, remedy: `chmod go-w ${path}` }
  }
  return undefined
}
