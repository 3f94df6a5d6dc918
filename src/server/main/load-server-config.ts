/** The configuration as the command line gets it, which knows no mechanisms: loaded with those that there are. */
import type { Config } from '../../config/config.ts'
import type { ConfigInputs } from '../../config/given-options.ts'
import { loadConfig } from '../../config/load.ts'
import { MECHANISM_NAMES } from '../../sasl/mechanisms.ts'

/** Throws ConfigError. */
export function loadServerConfig(inputs: ConfigInputs): Promise<Config> {
  return loadConfig({ ...inputs, mechanisms: MECHANISM_NAMES })
}
