/**
 * `saslcached` itself: loads the configuration and hands it to the server, or only looks at it
 * (--check-config, --print-config).
 */
import { EXIT_CONFIG, EXIT_OK } from '../base/exit-code.ts'
import type { Config } from '../config/config.ts'
import type { ConfigInputs } from '../config/load.ts'
import { loadConfig, loadNetwork } from '../config/load.ts'
import { signals } from '../server/main/signals.ts'
import { type Io, indent } from './io.ts'

export interface ServeChoices {
  readonly checkConfig?: boolean
  readonly printConfig?: boolean
}

/** Throws ConfigError. */
export async function runServe(
  io: Io,
  inputs: ConfigInputs,
  choices: ServeChoices,
): Promise<number> {
  if (choices.printConfig === true || choices.checkConfig === true) signals.release()
  const { MECHANISM_NAMES } = await import('../server/main/mechanisms.ts')
  const config = await loadConfig({ ...inputs, mechanisms: MECHANISM_NAMES })
  if (choices.printConfig === true) {
    const { printConfig } = await import('../config/print.ts')
    io.out(printConfig(config))
  }
  if (choices.checkConfig === true) return check(io, config)
  if (choices.printConfig === true) return EXIT_OK
  const { serve } = await import('../server/main/serve.ts')
  return serve(config, () => loadNetwork(inputs))
}

/** Reads what a start would read. */
async function check(io: Io, config: Config): Promise<number> {
  const outcomes = [
    await checkUsers(io, config),
    await checkCertificates(io, config),
    await checkTokens(io, config),
    await checkSnapshotKey(io, config),
  ]
  const worst = Math.max(...outcomes)
  if (worst !== EXIT_OK) return worst
  for (const notice of config.notices) io.err(`note: ${notice}\n`)
  io.err('saslcached: the configuration is good\n')
  return EXIT_OK
}

async function checkCertificates(io: Io, { tls }: Config): Promise<number> {
  if (tls === undefined) return EXIT_OK
  const { TlsFileError, formatTlsProblem } = await import('../credential/tls-certificates.ts')
  const { readCertificates } = await import('../server/main/certificate-reload.ts')
  try {
    const { warnings } = await readCertificates(tls)
    for (const warning of warnings) io.err(`warning: ${formatTlsProblem(warning)}\n`)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof TlsFileError)) throw error
    io.err(`saslcached: the certificates cannot be used\n${indent(error.message)}`)
    return EXIT_CONFIG
  }
}

async function checkUsers(io: Io, config: Config): Promise<number> {
  if (!config.auth.required) return EXIT_OK
  const { CredentialSource } = await import('../credential/credential-source.ts')
  const { CredentialFileError, formatProblem } = await import(
    '../credential/credential-file-error.ts'
  )
  const { isOpenToNobody, sourceOf } = await import('../server/main/credential-reload.ts')
  const { generateUser } = await import('../server/main/generated-user.ts')
  const generated = isOpenToNobody(config) ? generateUser() : undefined
  const source = new CredentialSource(sourceOf(config, generated))
  try {
    await source.load()
    for (const warning of source.warnings) io.err(`warning: ${formatProblem(warning)}\n`)
  } catch (error) {
    if (!(error instanceof CredentialFileError)) throw error
    io.err(`saslcached: the users cannot be used\n${indent(error.message)}`)
    return EXIT_CONFIG
  } finally {
    source.close()
  }
  return EXIT_OK
}

/** The keys of a file; those of a URL may come later. */
async function checkTokens(io: Io, { auth: { tokens }, tls }: Config): Promise<number> {
  if (tokens === undefined) return EXIT_OK
  if (tls === undefined) io.err('warning: no token will be taken: no listener speaks TLS\n')
  if (tokens.keys.kind === 'url') return EXIT_OK
  const { readTokenKeys } = await import('../server/main/token-key-source.ts')
  const keys = await readTokenKeys(tokens.keys.path)
  if (typeof keys !== 'string') return EXIT_OK
  io.err(`saslcached: the keys for tokens cannot be used\n  ${tokens.keys.path}: ${keys}\n`)
  return EXIT_CONFIG
}

async function checkSnapshotKey(io: Io, { snapshot }: Config): Promise<number> {
  if (snapshot?.keyFile === undefined) return EXIT_OK
  const { readSnapshotKey, SnapshotKeyError } = await import('../credential/snapshot-seal.ts')
  try {
    readSnapshotKey(snapshot.keyFile)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof SnapshotKeyError)) throw error
    io.err(`saslcached: ${error.message}\n`)
    return EXIT_CONFIG
  }
}
