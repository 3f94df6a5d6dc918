/**
 * --check-config: reads the files that a start would read, beside those of the configuration itself, and says what is
 * wrong with them. What a capability needs to have read is asked for here, so that the command line knows of none.
 */
import type { Config } from '../../config/config.ts'
import { CredentialFileError, formatProblem } from '../../credential/credential-file-error.ts'
import { CredentialSource } from '../../credential/credential-source.ts'
import { readSnapshotKey, SnapshotKeyError } from '../../credential/snapshot-seal.ts'
import { formatTlsProblem, TlsFileError } from '../../credential/tls-files.ts'
import { readCertificates } from './certificate-reload.ts'
import { isOpenToNobody, sourceOf } from './credential-reload.ts'
import { generateUser } from './generated-user.ts'
import { readTokenKeys } from './token-key-source.ts'

/** Something that is wrong: a sentence, and what stands under it. */
export interface FileFault {
  readonly what: string
  readonly details: string | undefined
}

export interface FilesChecked {
  readonly warnings: readonly string[]
  /** A start with any would fail. */
  readonly faults: readonly FileFault[]
}

export async function checkFiles(config: Config): Promise<FilesChecked> {
  const warnings: string[] = []
  const faults = [
    await faultOfUsers(config, warnings),
    await faultOfCertificates(config, warnings),
    await faultOfTokenKeys(config, warnings),
    faultOfSnapshotKey(config),
  ]
  return { warnings, faults: faults.filter((fault) => fault !== undefined) }
}

async function faultOfUsers(config: Config, warnings: string[]): Promise<FileFault | undefined> {
  if (!config.auth.required) return undefined
  const generated = isOpenToNobody(config) ? generateUser() : undefined
  const source = new CredentialSource(sourceOf(config, generated))
  try {
    await source.load()
    warnings.push(...source.warnings.map(formatProblem))
    return undefined
  } catch (error) {
    if (!(error instanceof CredentialFileError)) throw error
    return { what: 'the users cannot be used', details: error.message }
  } finally {
    source.close()
  }
}

async function faultOfCertificates(
  { tls }: Config,
  warnings: string[],
): Promise<FileFault | undefined> {
  if (tls === undefined) return undefined
  try {
    const read = await readCertificates(tls)
    warnings.push(...read.warnings.map(formatTlsProblem))
    return undefined
  } catch (error) {
    if (!(error instanceof TlsFileError)) throw error
    return { what: 'the certificates cannot be used', details: error.message }
  }
}

/** The keys of a file; those of a URL may come later. */
async function faultOfTokenKeys(
  { auth: { tokens }, tls }: Config,
  warnings: string[],
): Promise<FileFault | undefined> {
  if (tokens === undefined) return undefined
  if (tls === undefined) warnings.push('no token will be taken: no listener speaks TLS')
  if (tokens.keys.kind === 'url') return undefined
  const { path } = tokens.keys
  const keys = await readTokenKeys(path)
  if (typeof keys !== 'string') return undefined
  return { what: 'the keys for tokens cannot be used', details: `${path}: ${keys}` }
}

function faultOfSnapshotKey({ snapshot }: Config): FileFault | undefined {
  if (snapshot?.keyFile === undefined) return undefined
  try {
    readSnapshotKey(snapshot.keyFile)
    return undefined
  } catch (error) {
    if (!(error instanceof SnapshotKeyError)) throw error
    return { what: error.message, details: undefined }
  }
}
