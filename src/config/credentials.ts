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
    readonly warning: string | undefined
  }[]
}

/** What the rest of the configuration asks of them. */
export interface AskedOfUsers {
  /** Users that listeners stand for. */
  readonly identities: readonly { readonly user: string; readonly place: string }[]
  /** What namespaces can have together; no bound where the items are elsewhere. */
  readonly memoryBytes: number
}

export function askedOfUsers({ network, memory, store }: Config): AskedOfUsers {
  const listeners = [...network.listen, ...network.identitySockets, ...network.passed]
  const names = listeners.flatMap(({ identity }) => identity ?? [])
  return {
    identities: names.map((user) => ({ user, place: 'listen_as' })),
    memoryBytes: store === undefined ? memory.limitBytes : Number.POSITIVE_INFINITY,
  }
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
        ? [
            {
              name: source.user,
              password: source.password.reveal(),
              origin: source.from,
              warning: source.warning,
            },
          ]
        : [],
    ),
  }
}
