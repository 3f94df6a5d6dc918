/**
 * A configuration directory of its own for each test, and a short way to load from flags, a file and
 * an environment.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Config } from '../../../src/config/config.ts'
import { collectExtended, type FlagCollection } from '../../../src/config/extended.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { OPTION_NAMES, OPTIONS } from '../../../src/config/options.ts'
import { ConfigError, formatProblems } from '../../../src/config/problem.ts'
import { MECHANISM_NAMES } from '../../../src/sasl/mechanisms.ts'

export interface Given {
  /** `['-p', '1', '--no-auth', '']`: a flag and its value each. */
  readonly flags?: readonly string[]
  /** The content of saslcached.toml in the directory. */
  readonly toml?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly directory?: string
  readonly configFile?: string
  readonly usersFileMustExist?: boolean
}

export function makeDirectory(files: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-config-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return directory
}

export function load(given: Given): Promise<Config> {
  const directory = given.directory ?? makeDirectory()
  if (given.toml !== undefined) writeFileSync(join(directory, 'saslcached.toml'), given.toml)
  return loadConfig({
    flags: collect(given.flags ?? []),
    environment: given.environment ?? {},
    directory,
    coreCount: 8,
    mechanisms: MECHANISM_NAMES,
    ...(given.configFile === undefined ? {} : { configFile: given.configFile }),
    ...(given.usersFileMustExist === undefined
      ? {}
      : { usersFileMustExist: given.usersFileMustExist }),
  })
}

/** The problems as printed, with the directory's name taken out. */
export async function problemsOf(given: Given): Promise<string[]> {
  const directory = given.directory ?? makeDirectory()
  try {
    await load({ ...given, directory })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return formatProblems(error.problems).replaceAll(`${directory}/`, '').split('\n')
  }
  throw new Error('the configuration was accepted')
}

function collect(flags: readonly string[]): FlagCollection {
  const collection: FlagCollection = { uses: [], problems: [], notices: [] }
  for (let index = 0; index < flags.length; index += 2) {
    const flag = flags[index] ?? ''
    const value = flags[index + 1] ?? ''
    if (flag === '-o') {
      collectExtended(flag, value, collection)
      continue
    }
    const option = OPTION_NAMES.find(
      (name) => flag === `-${OPTIONS[name].short}` || flag === `--${OPTIONS[name].long}`,
    )
    if (option === undefined) throw new Error(`no such flag: ${flag}`)
    collection.uses.push({ option, flag, value })
  }
  return collection
}
