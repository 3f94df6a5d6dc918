/**
 * The table of options: the single source for the command line, the environment, the TOML file,
 * --print-config, --help and config/saslcached.toml. An option exists everywhere or nowhere. Its rows
 * stand in options/, a file for what belongs together.
 *
 * Invariant: an option's name is its TOML key (in the table named by its group) and, in capitals
 * behind SASLCACHED_, its environment variable. Names follow memcached's long flags; a bare number
 * that needs a unit carries it at the end of its name. Relations between options (-I and -m, say)
 * are config.ts's business.
 */

import { LIMIT_OPTIONS, type LimitValues } from './options/limit-options.ts'
import { LOGIN_OPTIONS, type LoginValues } from './options/login-options.ts'
import { MEMORY_OPTIONS, type MemoryValues } from './options/memory-options.ts'
import { NETWORK_OPTIONS, type NetworkValues } from './options/network-options.ts'
import type { Options } from './options/option.ts'
import { PROCESS_OPTIONS, type ProcessValues } from './options/process-options.ts'
import { STORE_OPTIONS, type StoreValues } from './options/store-options.ts'
import { TLS_OPTIONS, type TlsValues } from './options/tls-options.ts'

export interface OptionValues
  extends NetworkValues,
    TlsValues,
    MemoryValues,
    StoreValues,
    LoginValues,
    LimitValues,
    ProcessValues {}

export type OptionName = keyof OptionValues

/** In the order of the groups, as help shows them. */
export const OPTIONS: Options<OptionValues> = {
  ...NETWORK_OPTIONS,
  ...TLS_OPTIONS,
  ...MEMORY_OPTIONS,
  ...STORE_OPTIONS,
  ...LOGIN_OPTIONS,
  ...LIMIT_OPTIONS,
  ...PROCESS_OPTIONS,
}

export const OPTION_NAMES: readonly OptionName[] = Object.keys(OPTIONS) as OptionName[]

/** SASLCACHED_ and the option's name in capitals. */
export function environmentName(name: OptionName): string {
  return `SASLCACHED_${name.toUpperCase()}`
}
