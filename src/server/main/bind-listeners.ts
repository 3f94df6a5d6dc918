/**
 * Binds what the configuration names, or takes the sockets that were passed at the start in its place.
 *
 * Invariant: a passed socket is served as `fd:NAME` says, and one that nothing is said of as an address of -l would be.
 * What reaches further than this machine stands for no user, and serves nobody without a login, unless it is named.
 */
import { EXIT_CONFIG, EXIT_OS } from '../../base/exit-code.ts'
import type { Config, PassedListener } from '../../config/config.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import { groupToGive, userToBecome } from '../files/process-files.ts'
import type { BoundSockets, UnixAccess } from '../net/bound-sockets.ts'
import { ListenError } from '../net/listen-error.ts'
import { type OpenedSocket, openPassedSocket, type PassedSocket } from '../net/passed-sockets.ts'
import { isLocalAddress } from '../net/shared-socket.ts'
import type { Say } from './say.ts'
import { asStartError, StartError } from './start-error.ts'

export interface ListenerParts {
  readonly config: Config
  readonly sockets: BoundSockets
  readonly passed: readonly PassedSocket[]
  readonly access: UnixAccess
  readonly say: Say
}

/** Whose the Unix sockets are to be; the owner is who the process becomes. Throws StartError. */
export function unixAccess({ network, process: { runAsUser } }: Config): UnixAccess {
  const { unixMask, unixGroup } = network
  try {
    return {
      mask: unixMask,
      owner: runAsUser === undefined ? undefined : userToBecome(runAsUser),
      groupId: unixGroup === undefined ? undefined : groupToGive(unixGroup),
    }
  } catch (error) {
    throw new StartError((error as Error).message, EXIT_OS, error)
  }
}

/** Throws StartError. */
export async function bindListeners(parts: ListenerParts): Promise<void> {
  const { config, sockets, passed, access } = parts
  const { listen, unixSocket, identitySockets } = config.network
  try {
    if (passed.length > 0) sayUnbound(parts)
    else if (unixSocket !== undefined) await sockets.bindUnix(unixSocket, access)
    for (const address of listen) {
      if (passed.length === 0 || address.identity !== undefined) await sockets.bindTcp(address)
    }
    for (const { path, identity } of identitySockets) {
      await sockets.bindUnix(path, access, identity)
    }
    takePassed(parts)
  } catch (error) {
    throw asStartError(error)
  }
}

function takePassed({ config, sockets, passed }: ListenerParts): void {
  const { network, tls } = config
  for (const { name } of network.passed) {
    if (passed.some((socket) => socket.name === name)) continue
    throw new ListenError(
      `cannot listen on fd:${name}: no socket of that name was passed to this process (systemd: FileDescriptorName=)`,
    )
  }
  for (const socket of passed) {
    const named = network.passed.find(({ name }) => name === socket.name)
    const opened = openPassedSocket(socket)
    // Kept first: whatever is wrong with it, it is closed with all others.
    sockets.keepPassed(opened, traitsOf(opened, named, tls?.verify))
    refuseReach(config, opened, named)
  }
}

/** A Unix socket is in the clear, as that of -s, unless it is said to speak TLS. */
function traitsOf(
  { address }: OpenedSocket,
  named: PassedListener | undefined,
  verify: TlsVerify | undefined,
): Parameters<BoundSockets['keepPassed']>[1] {
  if (address.family === 'unix' && named?.security === undefined)
    return { ...named, tls: undefined }
  return named ?? { tls: verify }
}

/** Whom a network reaches is said by the socket unit, which may be another person's than who has logins turned off. */
function refuseReach(
  { auth }: Config,
  { address }: OpenedSocket,
  named: PassedListener | undefined,
): void {
  if (isLocalAddress(address)) return
  const what = `cannot listen on ${address.given} (${address.text}):`
  if (named?.identity !== undefined) {
    throw new StartError(
      `${what} --listen-as takes a socket of this machine alone, 127.0.0.0/8, [::1] or a Unix socket`,
      EXIT_CONFIG,
    )
  }
  if (auth.required || named !== undefined) return
  throw new StartError(
    `${what} with --no-auth everybody who reaches it reads and writes everything; if that is meant, name it: -l ${address.given}`,
    EXIT_CONFIG,
  )
}

/** Of what was asked for by name; the default would surprise nobody. */
function sayUnbound({ config, passed, say }: ListenerParts): void {
  const { listenGiven, network } = config
  const addresses = listenGiven.filter((text) => !/(^|:)fd:[^:]+$/.test(text))
  if (network.unixSocket !== undefined) addresses.push(network.unixSocket)
  if (addresses.length === 0) return
  const message = `${addresses.join(', ')}: not listened on, since ${passed.length} sockets were passed at the start`
  say('info', 'notice', message)
}
