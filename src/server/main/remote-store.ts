/** What a configuration means for those who go to a store elsewhere: what its files say is read once, at the start. */
import type { Stats } from 'node:fs'
import { EXIT_CONFIG } from '../../base/exit-code.ts'
import type { StoreConfig } from '../../config/config.ts'
import { readSmallFile } from '../../config/read-file.ts'
import type { RemoteSettings } from '../../remote/remote-settings.ts'
import { StartError } from './start-error.ts'

const PASSWORD_BYTES_MAX = 4096
const PEM_BYTES_MAX = 1024 * 1024
const MODE_OTHERS = 0o007

/** Undefined: the store is that of this process. Throws StartError if a file cannot be had. */
export function remoteSettings(store: StoreConfig | undefined): RemoteSettings | undefined {
  if (store === undefined) return undefined
  const { tls, passwordFile } = store
  return {
    seeds: store.nodes,
    user: store.user,
    password: passwordFile === undefined ? undefined : readPassword(passwordFile),
    tls: tls && {
      ca: tls.caFile === undefined ? undefined : read(tls.caFile, PEM_BYTES_MAX),
      identity: identityOf(tls.certificateFile, tls.keyFile),
    },
    timeoutMs: store.timeoutMs,
    connections: store.connections,
    missesOnFailure: store.missesOnFailure,
    near: store.near,
  }
}

function identityOf(
  certificateFile: string | undefined,
  keyFile: string | undefined,
): { readonly cert: string; readonly key: string } | undefined {
  if (certificateFile === undefined || keyFile === undefined) return undefined
  return {
    cert: read(certificateFile, PEM_BYTES_MAX),
    key: read(keyFile, PEM_BYTES_MAX, refuseOpen),
  }
}

function readPassword(path: string): string {
  const password = read(path, PASSWORD_BYTES_MAX, refuseOpen).replace(/\r?\n$/, '')
  if (password === '') throw new StartError(`${path}: has no password in it`, EXIT_CONFIG)
  return password
}

function refuseOpen({ mode }: Stats): string | undefined {
  return (mode & MODE_OTHERS) === 0 ? undefined : 'is open to everybody: chmod 600'
}

function read(
  path: string,
  bytesMax: number,
  refuse?: (stats: Stats) => string | undefined,
): string {
  const reading = readSmallFile(path, bytesMax, undefined, refuse)
  if (reading.kind === 'text') return reading.text
  throw new StartError(`${path}: ${reading.why}`, EXIT_CONFIG)
}
