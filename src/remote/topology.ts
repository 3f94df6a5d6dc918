/**
 * Which node has a slot, as the library sees it, and our links to each: a view of the cluster, which another one
 * replaces that has seen all of it. The library has a connection of its own to a node, for the rare commands that it is
 * given: loads of the functions, and what was redirected.
 */
import type { Argument, ClusterClient, ClusterMaker, MasterNode } from './cluster-client.ts'
import { FUNCTIONS } from './functions.ts'
import { KEY_SLOTS, slotOf } from './key-slot.ts'
import { type LinkOwner, NodeLink } from './node-link.ts'
import type { Dial } from './node-pipe.ts'
import type { RemoteSettings } from './remote-settings.ts'
import type { CopyKeeper } from './tracking.ts'

/** A node that has not answered for so long, or cannot be reached, has the cluster looked at anew. */
const SILENCE_MS = 1500
const RENEW_MS_MIN = 1000

export interface TopologyOptions {
  readonly settings: RemoteSettings
  readonly make: ClusterMaker
  /** Opens the connections that commands go by. */
  readonly dial: Dial
  readonly clock: { nowMs(): number }
  /** Keeps copies of what is read; undefined: nobody does. */
  readonly keeper?: CopyKeeper | undefined
  /** To be told of what an operator should know, in words without a secret; the same twice is told once. */
  readonly onTrouble: (trouble: string) => void
  /** Of each look at the cluster whether it has been seen. */
  readonly onView?: (isSeen: boolean) => void
}

/** How it stands with the links to the nodes. */
export interface LinkCounts {
  links: number
  silent: number
  lost: number
}

/** The links to one node, a lane each. */
type Links = readonly NodeLink[]

export class Topology {
  cluster: ClusterClient | undefined = undefined
  private readonly options: TopologyOptions
  private readonly owner: LinkOwner
  private readonly login: readonly Argument[] | undefined
  /** By the address of a node. */
  private readonly nodes: Map<string, Links> = new Map()
  /** The same by slot, for the master that the library named there last, so that no request looks for an address. */
  private readonly slotMasters: (MasterNode | undefined)[] = new Array(KEY_SLOTS).fill(undefined)
  private readonly slotLinks: Links[] = new Array(KEY_SLOTS).fill([])
  private readonly loading: Map<string, Promise<void>> = new Map()
  private renewedMs = Number.NEGATIVE_INFINITY
  private isRenewing = false
  private isClosed = false
  /** The first view is there, and its masters have the functions; or it is not to be had for now. */
  readonly opened: Promise<void>

  constructor(options: TopologyOptions, owner: LinkOwner) {
    this.options = options
    this.owner = owner
    const { user, password } = options.settings
    if (password !== undefined) {
      // Text in commands is ASCII; these are whatever an operator has chosen.
      const secret = Buffer.from(password)
      this.login = user === undefined ? ['AUTH', secret] : ['AUTH', Buffer.from(user), secret]
    }
    this.opened = this.renew()
  }

  /** Of the node that has the key; undefined: none is known. */
  linkOf(key: Buffer, lane: number): NodeLink | undefined {
    const slot = slotOf(key)
    const node = this.cluster?.slots[slot]?.master
    if (node === undefined) return undefined
    if (this.slotMasters[slot] !== node) this.find(slot, node)
    const links = this.slotLinks[slot]!
    return links[lane % links.length]
  }

  private find(slot: number, node: MasterNode): void {
    const address = addressOf(node)
    const links = this.nodes.get(address) ?? this.createLinks(node)
    this.nodes.set(address, links)
    this.slotMasters[slot] = node
    this.slotLinks[slot] = links
  }

  private createLinks({ host, port }: MasterNode): Links {
    const { login, owner } = this
    const { dial, clock, settings, keeper } = this.options
    const { timeoutMs, connections } = settings
    const options = { node: { host, port }, dial, login, keeper, timeoutMs, clock, owner }
    return Array.from({ length: connections }, () => new NodeLink(options))
  }

  /** Looks at the cluster anew, through another view, which takes over when it has seen all of it. */
  async renew(): Promise<void> {
    const { make, settings, clock, onTrouble } = this.options
    const nowMs = clock.nowMs()
    if (this.isRenewing || this.isClosed || nowMs - this.renewedMs < RENEW_MS_MIN) return
    this.isRenewing = true
    this.renewedMs = nowMs
    const known = this.cluster?.masters.map(({ host, port }) => ({ host, port })) ?? []
    const next = make([...settings.seeds, ...known])
    next.on('error', (error) => onTrouble(words(error)))
    next.on('node-error', (error) => onTrouble(words(error)))
    try {
      await next.connect()
      if (this.isClosed) {
        next.destroy()
        return
      }
      this.takeOver(next)
      this.options.onView?.(true)
      this.isRenewing = false
      await Promise.allSettled(next.masters.map((node) => this.loadOnce(next, node)))
    } catch (error) {
      this.options.onView?.(false)
      onTrouble(words(error))
      next.destroy()
    } finally {
      this.isRenewing = false
    }
  }

  /** Links to nodes that serve no more are given up, and those to nodes that say nothing. */
  private takeOver(next: ClusterClient): void {
    const last = this.cluster
    this.cluster = next
    this.slotMasters.fill(undefined)
    const serving = new Set(next.masters.map(addressOf))
    const nowMs = this.options.clock.nowMs()
    for (const [address, links] of this.nodes) {
      if (!serving.has(address)) this.nodes.delete(address)
      for (const link of links) {
        if (!serving.has(address)) link.giveUp('a node serves no more')
        else if (link.isSilentFor(SILENCE_MS, nowMs)) link.giveUp('a node does not answer')
      }
    }
    last?.destroy()
  }

  /** Answers what has waited too long, and has the cluster looked at anew where a node is silent. */
  look(nowMs: number): void {
    for (const links of this.nodes.values()) {
      for (const link of links) {
        link.look(nowMs)
        if (link.isSilentFor(SILENCE_MS, nowMs)) void this.renew()
      }
    }
  }

  countLinks(): LinkCounts {
    const counts: LinkCounts = { links: 0, silent: 0, lost: 0 }
    for (const links of this.nodes.values()) {
      for (const link of links) {
        counts.links++
        if (link.isSilent) counts.silent++
        if (link.isLost) counts.lost++
      }
    }
    return counts
  }

  /** Loads the functions on the node of a key. */
  async loadFunctions(cluster: ClusterClient, key: Buffer): Promise<void> {
    const node = cluster.slots[slotOf(key)]?.master
    if (node !== undefined) await this.loadOnce(cluster, node)
  }

  /** One load at a time for each node. */
  private async loadOnce(cluster: ClusterClient, node: MasterNode): Promise<void> {
    const address = addressOf(node)
    const running =
      this.loading.get(address) ??
      this.loadOn(cluster, node).finally(() => this.loading.delete(address))
    this.loading.set(address, running)
    await running
  }

  private async loadOn(cluster: ClusterClient, node: MasterNode): Promise<void> {
    try {
      const client = await cluster.nodeClient(node)
      await client.sendCommand(['FUNCTION', 'LOAD', 'REPLACE', FUNCTIONS])
    } catch (error) {
      this.options.onTrouble(`functions cannot be loaded: ${words(error)}`)
      throw error
    }
  }

  close(): void {
    this.isClosed = true
    for (const links of this.nodes.values()) for (const link of links) link.giveUp('closed')
    this.cluster?.destroy()
  }
}

function addressOf({ host, port }: MasterNode): string {
  return `${host}:${port}`
}

/** What an error says, for the log; never a command or its arguments. */
export function words(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown trouble'
  const { message, cause } = error
  const code = 'code' in error ? String(error.code) : ''
  if (message === '') return code || (cause instanceof Error ? words(cause) : error.name)
  return message.slice(0, 200)
}
