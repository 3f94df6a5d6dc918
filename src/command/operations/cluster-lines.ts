/**
 * The nodes of a cluster, for clients that discover them: the body of Amazon ElastiCache's answer to
 * `config get cluster`, and to `get AmazonElastiCache:cluster` of clients from before memcached 1.4.14:
 *
 *   CONFIG cluster 0 <length>\r\n
 *   <version>\n
 *   <host>|<address>|<port> <host>|<address>|<port>\n\r\n
 *   END\r\n
 *
 * The length is that of the two lines that end in a line feed alone. The version grows with each change.
 */
import type { LineSource } from './rows.ts'

export interface ClusterNodes {
  readonly version: number
  /** Each as it is told, `host|address|port`, in ASCII. */
  readonly nodes: readonly string[]
}

/** What a worker tells; its nodes may change. */
export interface ClusterParts {
  /** Undefined: none were configured, and it is as with memcached. */
  current: ClusterNodes | undefined
}

/** `title` stands before the length. A node a step: there may be many, and names are long. */
export class ClusterLines implements LineSource {
  private readonly parts: readonly string[]
  private nextIndex = 0

  constructor(title: string, { version, nodes }: ClusterNodes) {
    const body = [
      `${version}\n`,
      ...nodes.map((node, index) => (index === 0 ? node : ` ${node}`)),
      '\n',
    ]
    const length = body.reduce((sum, part) => sum + part.length, 0)
    this.parts = [`${title} ${length}\r\n`, ...body, '\r\n']
  }

  next(): string | undefined {
    return this.parts[this.nextIndex++]
  }
}
