/**
 * Where the server listens: addresses, Unix sockets, those that stand for a user, and what each of them speaks.
 *
 * Invariant: who turns logins off and names no address is reached from this machine alone; who asks for TLS is served in the clear
 * nowhere but where the address says so.
 */
import { resolveClusterNodes } from './cluster.ts'
import type { Config, ListenAddress, PassedListener } from './config.ts'
import { PORT_FILE_VARIABLE } from './environment.ts'
import { environmentPath, type GivenOptions } from './given-options.ts'
import { Refusal } from './kind.ts'
import {
  collide,
  formatListenAddress,
  formatPassedListener,
  parseListenAddress,
  parsePassedListener,
  SOCKET_PATH_BYTES_MAX,
} from './listen.ts'
import { type IdentityListener, readIdentityListeners, type TakenPlaces } from './listen-as.ts'

const BACKLOG_MAX = 65_535
/** See server/net/passed-sockets.ts. */
const PASSED_COUNT_VARIABLE = 'LISTEN_FDS'

export function resolveNetwork(given: GivenOptions): Config['network'] {
  const values = given.values
  const unixSocket = given.path('unix_socket')
  if (unixSocket !== undefined && Buffer.byteLength(unixSocket) > SOCKET_PATH_BYTES_MAX) {
    given.problem(
      'unix_socket',
      `${JSON.stringify(unixSocket)} is longer than ${SOCKET_PATH_BYTES_MAX} bytes, which no socket can be`,
    )
  }
  const { listen, passed } = listeners(given)
  const known = identityListeners(given, unixSocket === undefined ? listen : [], passed)
  const identityAddresses = known.flatMap((each) => ('address' in each ? [each.address] : []))
  if (unixSocket !== undefined && values.listen.length > passed.length) {
    const where = given.source('unix_socket')
    given.notices.push(`${given.source('listen')} has no effect: ${where} turns TCP off`)
  }
  const count = listen.length + passed.length + known.length
  if (unixSocket === undefined && count === 0 && values.port === 0) {
    given.problem('port', '0 turns TCP off, and there is no Unix socket to listen on instead')
  }
  return {
    listen: [...(unixSocket === undefined ? listen : []), ...identityAddresses],
    unixSocket,
    identitySockets: known.flatMap((each) => ('path' in each ? [each] : [])),
    passed: [...passed, ...known.flatMap((each) => ('passed' in each ? [each.passed] : []))],
    unixMask: values.unix_mask,
    unixGroup: unixGroup(given, unixSocket !== undefined || known.some((each) => 'path' in each)),
    clusterNodes: resolveClusterNodes(values.cluster_nodes, (message) =>
      given.problem('cluster_nodes', message),
    ),
    // The system cuts it to its own limit (somaxconn), 0 is one for it.
    backlog: Math.min(Math.max(1, values.listen_backlog), BACKLOG_MAX),
    protocol: values.protocol,
    portFile: environmentPath(given.inputs.environment, PORT_FILE_VARIABLE),
  }
}

/** Connecting takes the permission to write. */
function unixGroup(given: GivenOptions, hasSocket: boolean): string | undefined {
  const { unix_group: group, unix_mask: mask } = given.values
  if (group === '') return undefined
  if (!hasSocket) {
    given.problem('unix_group', 'takes a Unix socket: -s PATH or --listen-as USER=PATH')
  } else if ((mask & 0o020) === 0) {
    const shown = mask.toString(8).padStart(3, '0')
    given.problem('unix_group', `gives the group nothing while -a is ${shown}: add -a 770`)
  }
  return group
}

interface Listeners {
  readonly listen: readonly ListenAddress[]
  readonly passed: readonly PassedListener[]
}

/** Those of -l, or where there is none, those that are meant then. */
function listeners(given: GivenOptions): Listeners {
  const { port, listen, no_auth: noAuth } = given.values
  const tls = given.values.tls ? { tls: given.values.tls_verify } : {}
  if (listen.length === 0) {
    // Whoever turns login off and says nothing else gets nobody but this machine.
    if (port === 0) return { listen: [], passed: [] }
    const anyOrGiven = Math.max(0, port)
    if (!noAuth) return { listen: [{ host: '*', port: anyOrGiven, ...tls }], passed: [] }
    const loopback: ListenAddress[] = [
      { host: '127.0.0.1', port: anyOrGiven, ...tls },
      { host: '::1', port: anyOrGiven, isSecond: true, ...tls },
    ]
    return { listen: loopback, passed: [] }
  }
  const addresses: ListenAddress[] = []
  const passed: PassedListener[] = []
  const seen = new Set<string>()
  for (const [index, text] of listen.entries()) {
    // As memcached: the same -l again is once enough, except where the system picks the port.
    if (port > 0 && !/:(-1|0)$/.test(text) && listen.indexOf(text) < index) continue
    const address = parsePassedListener(text) ?? parseListenAddress(text, Math.max(0, port))
    if (address instanceof Refusal) {
      given.problem('listen', `${JSON.stringify(text)} ${address.reason}`)
      continue
    }
    const isPassed = 'name' in address
    const key = isPassed
      ? formatPassedListener(address)
      : formatListenAddress(address).toLowerCase()
    const other = isPassed ? undefined : addresses.find((each) => collide(each, address))
    if ((isPassed || address.port !== 0) && seen.has(key)) {
      given.problem('listen', `${JSON.stringify(text)} is listed twice`)
    } else if (other !== undefined) {
      const beside = `${JSON.stringify(text)} cannot be listened on beside ${JSON.stringify(formatListenAddress(other))}`
      given.problem('listen', `${beside}: one is a part of the other`)
    }
    seen.add(key)
    if (isPassed) passed.push(secured(given, address, text))
    // With -p 0, an address without a port of its own asks for nothing.
    else if (port !== 0 || address.port !== 0) addresses.push(secured(given, address, text))
  }
  return { listen: addresses, passed }
}

/** Listeners that stand for a user; `others` and `passed` are those that do not. */
function identityListeners(
  given: GivenOptions,
  others: readonly ListenAddress[],
  passed: readonly PassedListener[],
): readonly IdentityListener[] {
  const { listen_as: texts, no_auth: noAuth } = given.values
  if (noAuth && texts.length > 0) {
    const where = given.source('no_auth')
    given.problem('listen_as', `names users, and with ${where} everybody may do everything`)
  }
  const base = given.baseOf('listen_as')
  const found = readIdentityListeners(texts, base, {
    addresses: bindsAddresses(given) ? others : [],
    names: [...passed.map(formatPassedListener), given.path('unix_socket') ?? ''],
  })
  for (const problem of found.problems) given.problem('listen_as', problem)
  return found.listeners
}

/** What nobody else can listen on, as far as it can be known before the start. */
export function takenByServer(given: GivenOptions, network: Config['network']): TakenPlaces {
  const { listen, unixSocket, identitySockets } = network
  const sockets = identitySockets.map(({ path }) => path)
  return {
    addresses: listen.filter(({ identity }) => identity !== undefined || bindsAddresses(given)),
    names: unixSocket === undefined ? sockets : [unixSocket, ...sockets],
  }
}

/** Where sockets are passed at the start, the addresses of -l are not bound. */
function bindsAddresses({ inputs: { environment } }: GivenOptions): boolean {
  return environment[PASSED_COUNT_VARIABLE] === undefined
}

/** The address with what it speaks. */
function secured<Listener extends ListenAddress | PassedListener>(
  given: GivenOptions,
  address: Listener,
  text: string,
): Listener {
  const { tls: isOn, tls_verify: verify } = given.values
  const { security } = address
  if (!isOn) {
    if (security === 'btls' || security === 'mtls') {
      given.problem('listen', `${JSON.stringify(text)} asks for TLS, which takes -Z`)
    }
    return address
  }
  if (security === 'notls') return address
  if (security === 'btls') return { ...address, tls: 'none' }
  return { ...address, tls: security === 'mtls' ? 'require' : verify }
}
