/**
 * The nodes of --cluster-nodes: `host`, `host:port`, `[IPv6]:port`, and `name=address:port` where clients
 * are to have the address of a name as well. Only the form is checked: who they are is the operator's business.
 */
import type { ClusterNode } from './config.ts'
import { Refusal } from './kind.ts'
import { parseListenAddress } from './listen.ts'

const NODES_MAX = 256
const PORT_DEFAULT = 11_211
const EXPECTED = 'is not a node: write host:port, [IPv6]:port or name=address:port'
const IP_ADDRESS = /^[\d.]+$|:/

function parseClusterNode(text: string): ClusterNode | undefined {
  const end = text.indexOf('=')
  const name = end === -1 ? undefined : parseHost(text.slice(0, end))
  const given = parseHost(text.slice(end + 1))
  if (given === undefined || given.host === '*' || given.port === 0) return undefined
  const { host, port } = given
  if (end === -1) return { host, address: host, port }
  // The port stands behind the address.
  const isName = name !== undefined && name.host === text.slice(0, end) && name.host !== '*'
  if (!isName || !IP_ADDRESS.test(host)) return undefined
  return { host: name.host, address: host, port }
}

/** An address of -l without what may stand before one there. */
function parseHost(text: string): { readonly host: string; readonly port: number } | undefined {
  const address = parseListenAddress(text, PORT_DEFAULT)
  if (address instanceof Refusal) return undefined
  const { host, port, security, protocol, tag } = address
  const isPlain = security === undefined && protocol === undefined && tag === undefined
  return isPlain ? { host, port } : undefined
}

/** The nodes that `words` are; `problem` is told what is wrong. */
export function resolveClusterNodes(
  words: readonly string[],
  problem: (message: string) => void,
): readonly ClusterNode[] {
  if (words.length > NODES_MAX) problem(`has ${words.length} nodes; ${NODES_MAX} are the most`)
  const nodes = words.flatMap((word) => {
    const node = parseClusterNode(word)
    if (node !== undefined) return [node]
    problem(`${JSON.stringify(word)} ${EXPECTED}`)
    return []
  })
  const seen = new Set<string>()
  for (const { host, port } of nodes) {
    const key = `${host.toLowerCase()} ${port}`
    if (seen.has(key)) problem(`has the node ${host} with port ${port} twice`)
    seen.add(key)
  }
  return nodes
}
