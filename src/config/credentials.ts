/**
 * The configured users in the form in which the credential source takes them. This is the one place
 * where a password from the environment is revealed, on its way to be hashed.
 */
import type { Config } from './config.ts'

export interface ConfiguredUsers {
  readonly files: readonly {
    readonly path: string
    readonly format: 'toml' | 'authfile' | 'pwdb'
  }[]
  readonly inlineUsers: readonly {
    readonly name: string
    readonly password: string
    /** For messages. */
    readonly origin: string
  }[]
}

export function configuredUsers(config: Config): ConfiguredUsers {
  return {
    files: config.auth.sources.flatMap((source) =>
      source.kind === 'inline'
        ? []
        : [{ path: source.path, format: source.kind === 'users-file' ? 'toml' : source.kind }],
    ),
    inlineUsers: config.auth.sources.flatMap((source) =>
      source.kind === 'inline'
        ? [{ name: source.user, password: source.password.reveal(), origin: source.from }]
        : [],
    ),
  }
}
