/** Writes a pair of files that did not exist, or, if asked to, over those that do. */
import { open, rename, rm } from 'node:fs/promises'
import { codeOf, describeFileError } from './file-access.ts'
import type { SelfSigned } from './self-signed.ts'

const KEY_MODE = 0o600
const CERTIFICATE_MODE = 0o644

/** `file` is in the way, or cannot be written; the message says which and why. */
export class PairFileError extends Error {}

export interface PairPaths {
  readonly certificateFile: string
  readonly keyFile: string
}

/**
 * The key is there before the certificate, so that a server that looks meanwhile finds two that do not
 * fit, and waits; each file is there as a whole or not at all.
 */
export async function writePair(pair: SelfSigned, paths: PairPaths, force: boolean): Promise<void> {
  const files = [
    { path: paths.keyFile, text: pair.key, mode: KEY_MODE },
    { path: paths.certificateFile, text: pair.certificate, mode: CERTIFICATE_MODE },
  ]
  const made: string[] = []
  try {
    for (const { path, text, mode } of files) {
      const target = force ? `${path}.new` : path
      await writeNew(target, text, mode, force)
      made.push(target)
    }
    if (force) for (const { path } of files) await rename(`${path}.new`, path)
  } catch (error) {
    for (const path of made) await rm(path, { force: true })
    throw error
  }
}

async function writeNew(path: string, text: string, mode: number, force: boolean): Promise<void> {
  try {
    if (force) await rm(path, { force: true })
    // `wx` follows no link: what is there, be it one, stays as it is.
    const file = await open(path, 'wx', mode)
    try {
      // Whatever the umask takes away or leaves.
      await file.chmod(mode)
      await file.writeFile(text)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new PairFileError(`${path}: ${whyNot(error)}`, { cause: error })
  }
}

function whyNot(error: unknown): string {
  switch (codeOf(error)) {
    case 'EEXIST':
      return 'the file is there already: --force replaces it'
    case 'ENOENT':
      return 'there is no such directory'
    default:
      return describeFileError(error)
  }
}
