/** Listening: where the server is found, and the dialect that is spoken there. */

import { INT32_MAX } from '../../base/int32-max.ts'
import { choice, integer, type Kind, list, octalMode, Refusal, text } from '../kind.ts'
import { nonEmpty, type Options } from './option.ts'

export type Protocol = 'auto' | 'binary' | 'ascii'

export interface NetworkValues {
  port: number
  listen: readonly string[]
  unix_socket: string
  unix_mask: number
  unix_group: string
  listen_as: readonly string[]
  cluster_nodes: readonly string[]
  udp_port: number
  listen_backlog: number
  protocol: Protocol
}

export const NETWORK_OPTIONS: Options<NetworkValues> = {
  port: {
    group: 'network',
    short: 'p',
    long: 'port',
    kind: integer(-1, 65_535),
    default: 11_211,
    description: 'TCP port; -1 picks a free one, 0 turns TCP off',
    aliases: ['MEMCACHED_PORT_NUMBER'],
  },
  listen: {
    group: 'network',
    short: 'l',
    long: 'listen',
    kind: list('<addr>', 'a list of addresses', nonEmpty),
    default: [],
    description: 'addresses: host[:port], [IPv6]:port, fd:NAME; none means all interfaces',
    aliases: ['MEMCACHED_LISTEN_ADDRESS'],
    repeatable: true,
  },
  unix_socket: {
    group: 'network',
    short: 's',
    long: 'unix-socket',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'Unix socket to listen on instead of TCP',
  },
  unix_mask: {
    group: 'network',
    short: 'a',
    long: 'unix-mask',
    kind: octalMode(),
    default: 0o700,
    description: 'permissions of the Unix socket, in octal',
  },
  unix_group: {
    group: 'network',
    long: 'unix-group',
    kind: text('<group>', 'the name or the number of a group'),
    default: '',
    description: 'group of the Unix sockets, for which -a has to let it in: 770',
  },
  listen_as: {
    group: 'network',
    long: 'listen-as',
    kind: list('<user=addr>', 'a list of user=address', nonEmpty),
    default: [],
    description: 'loopback addresses or Unix sockets where everybody is that user, without login',
    repeatable: true,
  },
  cluster_nodes: {
    group: 'network',
    long: 'cluster-nodes',
    kind: list('<nodes>', 'a list of nodes', nonEmpty),
    default: [],
    description: 'nodes for clients that ask by config get cluster: host:port, name=address:port',
    repeatable: true,
  },
  udp_port: {
    group: 'network',
    short: 'U',
    long: 'udp-port',
    kind: udpPort(),
    default: 0,
    description: 'only 0 is accepted: there is no UDP here',
  },
  listen_backlog: {
    group: 'network',
    short: 'b',
    long: 'listen-backlog',
    kind: integer(0, INT32_MAX),
    default: 1024,
    description: 'connections that may wait to be accepted',
  },
  protocol: {
    group: 'network',
    short: 'B',
    long: 'protocol',
    kind: choice<Protocol>(['auto', 'binary', 'ascii'], {
      http: 'is not a memcached dialect; use auto, binary or ascii',
    }),
    default: 'auto',
    description: 'dialect to speak: auto, binary or ascii, which is text and meta',
  },
}

function udpPort(): Kind<number> {
  const number = integer(0, 65_535)
  const check = (value: number | Refusal): number | Refusal =>
    value === 0 || value instanceof Refusal
      ? value
      : new Refusal('cannot be served: UDP has no login and lends itself to amplification; use 0')
  return {
    placeholder: '<num>',
    parse: (value) => check(number.parse(value)),
    accept: (value) => check(number.accept(value)),
    format: String,
  }
}
