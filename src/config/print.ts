/**
 * --print-config: the effective settings as a TOML document, each with a comment that says where
 * its value came from. Users are listed by source and name; no password is in a Setting, and none
 * is asked for here.
 */
import type { Config, CredentialOrigin } from './config.ts'
import { formatListenAddress, formatPassedListener } from './listen.ts'
import type { OptionName } from './options.ts'

/** What a value of `auto`, or an empty one, came to. */
const EFFECTIVE: { readonly [Name in OptionName]?: (config: Config) => string } = {
  listen: ({ network }) =>
    [...network.listen.map(formatListenAddress), ...network.passed.map(formatPassedListener)].join(
      ', ',
    ),
  prelogin_conn_limit: ({ limits }) => String(limits.unauthenticatedConnectionsMax),
  key_derivations: ({ limits }) => String(limits.keyDerivationsMax),
  threads: ({ process }) => String(process.threads),
  log_level: ({ log }) => log.level,
}

/** The column of the comments; longer settings push theirs to the right. */
const COMMENT_COLUMN = 44

export function printConfig(config: Config): string {
  const lines = [`# Configuration file: ${config.file ?? 'none'}`]
  let group = ''
  for (const setting of config.settings) {
    if (setting.group !== group) {
      group = setting.group
      lines.push('', `[${group}]`)
    }
    const effective = EFFECTIVE[setting.name]?.(config) ?? ''
    const automatic = setting.value === '"auto"' || setting.value === '[]'
    const came = automatic && effective !== '' ? `: ${effective}` : ''
    const text = `${setting.name} = ${setting.value}`
    lines.push(`${text.padEnd(COMMENT_COLUMN)} # ${setting.source}${came}`)
  }
  lines.push('')
  if (!config.auth.required) lines.push('# Users: nobody is asked to log in (--no-auth).')
  else if (config.auth.sources.length === 0) {
    lines.push('# Users: none; a user is made for the run and shown at start.')
  } else lines.push('# Users:', ...config.auth.sources.map((source) => `#   ${describe(source)}`))
  lines.push(...config.notices.map((notice) => `# ${notice}.`))
  return `${lines.join('\n')}\n`
}

function describe(source: CredentialOrigin): string {
  if (source.kind === 'inline') {
    return `${JSON.stringify(source.user)} with a password (hidden), from ${source.from}`
  }
  return source.kind === 'users-file' ? source.path : `${source.path} (user:password lines)`
}
