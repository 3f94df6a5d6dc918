/**
 * Files that hold a password, or say where one goes: others must neither read nor write them. As ssh does,
 * a file is judged by its mode if it is our own; what belongs to somebody else (a secret that root
 * mounted) is that one's business, as long as not everybody can write it.
 */
import type { Stats } from 'node:fs'
import { readSmallFile } from '../config/read-file.ts'
import { ClientError } from './client-error.ts'

const OTHERS = 0o077
const OTHERS_WRITE = 0o022
const MODE = 0o777
const PIPE_MS_MAX = 5000

/** The text of a file; undefined if it is missing. Throws ClientError. */
export function readPrivateFile(path: string, bytesMax: number): string | undefined {
  const reading = readSmallFile(path, bytesMax, PIPE_MS_MAX, (stats) => whyRefused(path, stats))
  if (reading.kind === 'text') return reading.text
  if (reading.kind === 'missing') return undefined
  throw new ClientError('settings', `${path} ${reading.why}`)
}

function whyRefused(path: string, stats: Stats): string | undefined {
  // A pipe is whose it was made for, and /dev/null has no secret.
  if (!stats.isFile()) return undefined
  const mode = (stats.mode & MODE).toString(8).padStart(4, '0')
  if (stats.uid === process.getuid?.() && (stats.mode & OTHERS) !== 0) {
    return `can be read or written by others (mode ${mode}), so it is not used: chmod 600 ${path}`
  }
  if ((stats.mode & OTHERS_WRITE) !== 0) {
    return `can be written by others (mode ${mode}), so it is not used: chmod go-w ${path}`
  }
  return undefined
}
