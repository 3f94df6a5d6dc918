/**
 * Whoever may do everything in a namespace and wants to know of the others, or to harm them: in the dialects,
 * in bursts, with large values, dumps, flushes, watching, statistics, odd keys and other logins. It uses the
 * names of the owners' keys. Some of these it writes in its own namespace, and the rest, the **foreign** ones,
 * it only asks for: they are missing in every answer, list and event. Its values are made of `E` and digits, and
 * the owners' are not, so that no byte of theirs is taken for its own.
 *
 * What it finds wrong it reports and goes on. That its connection is cut is no fault: reloads do that.
 */
import { connect, type Socket } from 'node:net'
import type { Target } from '../binary-client.ts'
import { parseResponses, requestFrame, words } from '../binary-frames.ts'
import { type RandomBelow, randomBelow } from '../random-below.js'
import { COUNTER_KEYS, counterKey, LARGE_KEYS, largeKey, SMALL_KEYS, smallKey } from './keys.js'

const ANSWER_DEADLINE_MS = 30_000
const BURST_MAX = 60
const FLOOD_KEYS = 5000
const FLOOD_VALUES = 30
const FLOOD_BYTES_MAX = 200_000
const ODD_KEYS = 40
const FLAGS = 0xe11
const FOREIGN = /owner\d+:(counter\d|large\d|small\d*[13579](?!\d))/
/** Opaques of requests for foreign keys. */
const OPAQUE_FOREIGN = 0xf0
const OPAQUE_OWN = 0x01
const OP_NOOP = 0x0a
const OP_SASL_AUTH = 0x21

/** What there is to read where an item is there, or was. */
const TELLS_OF_ITEM = /^(STORED|DELETED|TOUCHED|EXISTS|\d+|(VALUE|VA|HD|EX|ME) ?.*)$/
const OWN_ANSWER =
  /^([E0-9 ]*|VALUE \S+ \d+ \d+( \d+)?|(VA|HD|EN|NF|NS|EX|ME)( .*)?|END|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|TOUCHED|OK|MN|SASL_OK|RESET|(CLIENT_ERROR|SERVER_ERROR|ERROR).*)$/

const STATUS_DONE = 0x00
const STATUS_EXISTS = 0x02

export interface TenantOptions {
  readonly user: string
  readonly password: string
  /** Whom a connection may log in as anew: of the same namespaces. */
  readonly others: readonly { readonly name: string; readonly password: string }[]
  readonly ownerCount: number
  /** Where nobody else comes from. */
  readonly localAddress: string
  readonly seed: number
  readonly report: (kind: string, what: string) => void
}

/** A connection whose answers are taken as a whole, up to a barrier. */
class Line {
  readonly socket: Socket
  isClosed = false
  private received: Buffer[] = []
  private wake: () => void = () => undefined

  constructor(target: Target, localAddress: string) {
    this.socket = connect({ host: target.host, port: target.port, localAddress })
    this.socket.setNoDelay(true)
    this.socket.on('error', () => undefined)
    this.socket.on('data', (chunk) => {
      this.received.push(chunk)
      this.wake()
    })
    this.socket.on('close', () => {
      this.isClosed = true
      this.wake()
    })
  }

  /** All that was received, once it ends so or the connection is closed; undefined: neither came. */
  async until(isWhole: (bytes: Buffer) => boolean): Promise<Buffer | undefined> {
    const endMs = performance.now() + ANSWER_DEADLINE_MS
    for (;;) {
      const bytes = Buffer.concat(this.received)
      this.received = [bytes]
      if (isWhole(bytes) || this.isClosed) {
        this.received = []
        return bytes
      }
      if (performance.now() > endMs) return undefined
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

export class Tenant {
  /** How often each act was played. */
  readonly counts: Record<string, number> = {}
  readonly #target: Target
  readonly #options: TenantOptions
  readonly #random: RandomBelow
  readonly #acts: Readonly<Record<string, () => Promise<void>>> = {
    probe: () => this.#probe(),
    burst: () => this.#burst(),
    frames: () => this.#frames(),
    flood: () => this.#flood(),
    dump: () => this.#dump(),
    statistics: () => this.#statistics(),
    watch: () => this.#watch(),
    flush: () => this.#flush(),
    relogin: () => this.#relogin(),
  }
  #text: Line | undefined
  #binary: Line | undefined

  constructor(target: Target, options: TenantOptions) {
    this.#target = target
    this.#options = options
    this.#random = randomBelow(options.seed)
  }

  close(): void {
    this.#text?.socket.destroy()
    this.#binary?.socket.destroy()
  }

  get hasPlayedAll(): boolean {
    return Object.keys(this.#acts).every((name) => this.counts[name] !== undefined)
  }

  /** One act: if none is named, one that was not played yet, or any. */
  async act(wanted: string = ''): Promise<void> {
    const names = Object.keys(this.#acts)
    const fresh = names.filter((name) => this.counts[name] === undefined)
    const name = wanted === '' ? this.#pick(fresh.length > 0 ? fresh : names) : wanted
    this.counts[name] = (this.counts[name] ?? 0) + 1
    await this.#acts[name]!()
  }

  /** Flushes all it has, and finds nothing there then: as itself, as who it was last may not flush. */
  async leaveNothing(): Promise<void> {
    this.#text?.socket.destroy()
    this.#text = undefined
    const answer = await this.#ask('flush_all\r\nlru_crawler metadump all\r\n')
    if (/key=/.test(answer)) this.#report('dump', `a key after a flush: ${shown(answer)}`)
  }

  /** For what is foreign: nothing is there. */
  async #probe(): Promise<void> {
    const key = () => this.#foreignKey()
    const requests = this.#several(() =>
      this.#pick([
        () => `get ${key()} ${key()}`,
        () => `gets ${key()}`,
        () => `gat 100 ${key()}`,
        () => `delete ${key()}`,
        () => `touch ${key()} 1`,
        () => `incr ${key()} 1`,
        () => `decr ${key()} 1`,
        () => `replace ${key()} 0 0 1\r\nE`,
        () => `append ${key()} 0 0 1\r\nE`,
        () => `prepend ${key()} 0 0 1\r\nE`,
        () => `cas ${key()} 0 0 1 ${1 + this.#random(5000)}\r\nE`,
        () => `mg ${key()} v t s f h l c`,
        () => `mg ${key()} T1 v`,
        () => `mg ${base64(key())} b v`,
        () => `ms ${key()} 1 MR\r\nE`,
        () => `ms ${key()} 1 MA\r\nE`,
        () => `ms ${key()} 1 C${1 + this.#random(5000)} I\r\nE`,
        () => `md ${key()}`,
        () => `md ${key()} I T1`,
        () => `md ${key()} x`,
        () => `ma ${key()}`,
        () => `ma ${key()} MD D7 v t`,
        () => `me ${key()}`,
      ])(),
    )
    const answer = await this.#ask(`${requests.join('\r\n')}\r\n`)
    for (const line of answer.split('\r\n')) {
      if (TELLS_OF_ITEM.test(line)) {
        this.#report(
          'probe',
          `${JSON.stringify(line.slice(0, 100))} among ${shown(requests.join())}`,
        )
      }
    }
  }

  /** Of what is its own it sees its own. */
  async #burst(): Promise<void> {
    const key = () => this.#ownKey()
    const value = () => this.#value(this.#random(20) === 0 ? 20_000 : 500)
    const end = () => this.#pick(['', ' noreply'])
    const requests = this.#several(() => {
      const data = value()
      return this.#pick([
        () => `get ${key()} ${key()} ${key()}`,
        () => `gats 0 ${key()} ${key()}`,
        () => `set ${key()} ${FLAGS} 0 ${data.length}${end()}\r\n${data}`,
        () => `set ${key()} ${FLAGS} 1 ${data.length}${end()}\r\n${data}`,
        () => `add ${key()} ${FLAGS} 0 ${data.length}${end()}\r\n${data}`,
        () => `replace ${key()} ${FLAGS} 0 ${data.length}${end()}\r\n${data}`,
        () => `append ${key()} 0 0 ${data.length}${end()}\r\n${data}`,
        () => `prepend ${key()} 0 0 ${data.length}${end()}\r\n${data}`,
        () => `delete ${key()}${end()}`,
        () => `touch ${key()} 100${end()}`,
        () => `set ${key()} ${FLAGS} 0 1${end()}\r\n1`,
        () => `incr ${key()} 3${end()}`,
        () => `mg ${key()} v t s f h l c k`,
        () => `mg ${key()} N100 v R50 q`,
        () => `mg ${base64(key())} b v k`,
        () => `ms ${key()} ${data.length} T0 F${FLAGS} I c b\r\n${data}`,
        () => `ms ${key()} S${data.length}\r\n${data}`,
        () => `ms ${base64(key())} ${data.length} b ME q\r\n${data}`,
        () => `ma ${key()} N0 J5 v t c`,
        () => `md ${key()} I T5 q`,
        () => `me ${key()}`,
      ])()
    })
    const answer = await this.#ask(`${requests.join('\r\n')}\r\n`)
    for (const line of answer.split('\r\n')) {
      if (!OWN_ANSWER.test(line) || FOREIGN.test(line)) {
        this.#report('burst', JSON.stringify(line.slice(0, 200)))
      }
    }
  }

  /** The same in the binary dialect, for both kinds of keys. */
  async #frames(): Promise<void> {
    const requests = this.#several(() => {
      const isForeign = this.#random(2) === 0
      const key = isForeign ? this.#foreignKey() : this.#ownKey()
      // Those that make no item, quiet and not: get, replace, delete, increment, append, gat, touch.
      const opcodes = [0x00, 0x09, 0x0c, 0x0d, 0x03, 0x13, 0x04, 0x14, 0x05, 0x06, 0x0e, 0x0f, 0x1d]
      const opcode = this.#pick(
        isForeign ? [...opcodes, 0x1c, 0x1e] : [...opcodes, 0x01, 0x11, 0x02],
      )
      const cas = this.#random(4) === 0 ? BigInt(1 + this.#random(5000)) : 0n
      const opaque = isForeign ? OPAQUE_FOREIGN : OPAQUE_OWN
      const name = Buffer.from(key, 'latin1')
      return requestFrame({ opcode, key: name, opaque, cas, ...this.#partsOf(opcode) })
    })
    const line = await this.#binaryLine()
    if (line === undefined) return
    const barrier = requestFrame({ opcode: OP_NOOP, opaque: 7 })
    line.socket.write(Buffer.concat([...requests, barrier]))
    const bytes = await line.until((all) => all.length >= 24 && endsInNoop(all))
    for (const frame of parseResponses(bytes ?? Buffer.alloc(0)).frames) {
      const { status, opcode, opaque, value, extras } = frame
      const text = `opcode ${opcode} status ${status}`
      const isThere = status === STATUS_DONE || status === STATUS_EXISTS
      if (opaque === OPAQUE_FOREIGN && isThere) this.#report('frames', `${text} for a foreign key`)
      const isValue = status === STATUS_DONE && extras.length === 4
      if (isValue && !/^[E0-9 ]*$/.test(value.toString('latin1'))) {
        this.#report('frames', `${text}: ${JSON.stringify(value.toString('latin1', 0, 60))}`)
      }
    }
  }

  /** More than all memory can hold: it borrows what there is, and evicts its own. */
  async #flood(): Promise<void> {
    const requests = Array.from({ length: FLOOD_VALUES }, () => {
      const data = this.#value(this.#random(4) === 0 ? FLOOD_BYTES_MAX : 4000)
      const key = `flood:${this.#random(FLOOD_KEYS)}`
      return `set ${key} ${FLAGS} 0 ${data.length} noreply\r\n${data}\r\n`
    })
    await this.#ask(requests.join(''))
  }

  async #dump(): Promise<void> {
    const request = this.#pick([
      'lru_crawler metadump all',
      'lru_crawler metadump 1',
      'lru_crawler mgdump all',
      `stats cachedump 1 ${this.#random(500)}`,
      'stats detail dump',
    ])
    const answer = await this.#ask(`${request}\r\n`)
    const found = FOREIGN.exec(unescape(answer))
    if (found !== null) this.#report('dump', `${request}: ${found[0]}`)
  }

  /** Of others there is no row, nor are those who are told of all, whatever the rights. */
  async #statistics(): Promise<void> {
    const group = this.#pick([
      ...['', ' items', ' slabs', ' sizes', ' store', ' auth', ' settings', ' conns', ' reset'],
      ...[' namespaces', ' namespace shop', ' namespace default', ' detail on', ' sizes_enable'],
    ])
    const answer = await this.#ask(`stats${group}\r\n`)
    if (/^ (namespace|conns|detail|sizes_en)/.test(group) && /^(STAT|OK)/m.test(answer)) {
      this.#report('statistics', `stats${group}: ${shown(answer)}`)
    }
    if (FOREIGN.test(answer)) this.#report('statistics', `stats${group}: ${shown(answer)}`)
    // What concerns all is refused.
    const named = this.#pick([
      ...[
        'flush_all',
        'lru_crawler mgdump all',
        'lru_crawler metadump all',
        'stats',
        'stats items',
      ],
      ...['watch fetchers', 'namespace shop flush_all'],
    ])
    const within = `namespace ${this.#pick(['shop', 'default', 'still', 'evil', 'none'])} ${named}`
    const denied = await this.#ask(`${within}\r\n`)
    // Whoever was moved meanwhile is cut off, and hears nothing.
    if (!/^CLIENT_ERROR |^$/.test(denied)) this.#report('namespace', `${within}: ${shown(denied)}`)
    const global = this.#pick(['verbosity 1', 'cache_memlimit 8', 'shutdown', 'lru mode flat'])
    const refused = await this.#ask(`${global}\r\n`)
    if (/^OK/m.test(refused)) this.#report('statistics', `${global}: ${shown(refused)}`)
  }

  /** Events of its own namespace only. */
  async #watch(): Promise<void> {
    const line = await this.#logIn()
    line.socket.write('watch fetchers mutations evictions deletions connevents\r\n')
    for (let left = 3; left > 0; left--)
      await this.#pick([() => this.#probe(), () => this.#burst()])()
    line.socket.end()
    const bytes = await line.until(() => line.isClosed)
    for (const event of bytes?.toString('latin1').split('\n') ?? []) {
      const { rip } = /rip=(?<rip>\S+)/.exec(event)?.groups ?? {}
      const isOfOther = rip !== undefined && rip !== this.#options.localAddress
      const tells = !/status=(not_found|not_stored)/.test(event)
      if (isOfOther || (tells && FOREIGN.test(unescape(event)))) this.#report('watch', event)
    }
  }

  async #flush(): Promise<void> {
    await this.#ask(this.#pick(['flush_all\r\n', 'flush_all 1\r\n', 'flush_all noreply\r\n']))
  }

  /** As somebody else on the same connection, behind requests and before others. */
  async #relogin(): Promise<void> {
    const { name, password } = this.#pick(this.#options.others)
    const message = `\0${name}\0${this.#random(20) === 0 ? 'wrong' : password}`
    const login = `sasl auth PLAIN ${message.length}\r\n${message}\r\n`
    const key = this.#foreignKey()
    const answer = await this.#ask(`get ${key}\r\n${login}get ${key}\r\n`)
    if (/VALUE/.test(answer)) this.#report('relogin', shown(answer))
    if (!/SASL_OK/.test(answer)) this.#text?.socket.destroy()
  }

  /** What was answered before a barrier; less, if the connection was cut. */
  async #ask(requests: string): Promise<string> {
    if (this.#text === undefined || this.#text.isClosed) this.#text = await this.#logIn()
    const line = this.#text
    const bytes = Buffer.from(`${requests}mn\r\n`, 'latin1')
    const cut = this.#random(bytes.length)
    line.socket.write(bytes.subarray(0, cut))
    line.socket.write(bytes.subarray(cut))
    const answer = await line.until((all) => all.toString('latin1', all.length - 4) === 'MN\r\n')
    if (answer === undefined) {
      this.#report('silence', shown(requests))
      line.socket.destroy()
      return ''
    }
    const text = answer.toString('latin1')
    return text.slice(0, text.lastIndexOf('\r\n') + 2)
  }

  async #logIn(): Promise<Line> {
    const { user, password, localAddress } = this.#options
    const login = `${user} ${password}`
    const line = new Line(this.#target, localAddress)
    line.socket.write(`set login 0 0 ${login.length}\r\n${login}\r\n`)
    await line.until((bytes) => bytes.includes('\r\n'))
    return line
  }

  async #binaryLine(): Promise<Line | undefined> {
    const { user, password, localAddress } = this.#options
    if (this.#binary?.isClosed === false) return this.#binary
    const line = new Line(this.#target, localAddress)
    line.socket.write(
      requestFrame({ opcode: OP_SASL_AUTH, key: 'PLAIN', value: `\0${user}\0${password}` }),
    )
    await line.until((bytes) => parseResponses(bytes).frames.length > 0)
    this.#binary = line
    return line.isClosed ? undefined : line
  }

  #partsOf(opcode: number): { extras?: Buffer; value?: string } {
    switch (opcode) {
      case 0x01:
      case 0x11:
      case 0x02:
      case 0x03:
      case 0x13:
        return { extras: words(FLAGS, 0), value: this.#value(2000) }
      case 0x05:
      case 0x06:
        return { extras: words(0, 1, 0, 0, 0xffffffff) }
      case 0x0e:
      case 0x0f:
        return { value: this.#value(100) }
      case 0x1c:
      case 0x1d:
      case 0x1e:
        return { extras: words(100) }
      default:
        return {}
    }
  }

  #several<Item>(make: () => Item): Item[] {
    return Array.from({ length: 1 + this.#random(BURST_MAX) }, make)
  }

  #value(bytesMax: number): string {
    return 'E'.repeat(1 + this.#random(bytesMax))
  }

  #foreignKey(): string {
    const owner = this.#random(this.#options.ownerCount)
    const kind = this.#random(4)
    if (kind === 0) return counterKey(owner, this.#random(COUNTER_KEYS))
    if (kind === 1) return largeKey(owner, this.#random(LARGE_KEYS))
    return smallKey(owner, 2 * this.#random(SMALL_KEYS / 2) + 1)
  }

  /** Also such as no owner has: long ones, and bytes that are no letters. */
  #ownKey(): string {
    const number = this.#random(ODD_KEYS)
    const kind = this.#random(6)
    if (kind === 0) return `${number}`.padEnd(250, 'k')
    if (kind === 1) return `\xff\xfe\x80${number}`
    return smallKey(this.#random(this.#options.ownerCount), 2 * this.#random(SMALL_KEYS / 2))
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random(items.length)]!
  }

  #report(kind: string, what: string): void {
    this.#options.report(kind, `${this.#options.user}: ${what}`)
  }
}

function base64(key: string): string {
  return Buffer.from(key, 'latin1').toString('base64')
}

function endsInNoop(bytes: Buffer): boolean {
  const last = bytes.length - 24
  return bytes[last] === 0x81 && bytes[last + 1] === OP_NOOP && bytes.readUInt32BE(last + 12) === 7
}

function shown(text: string): string {
  return JSON.stringify(text.length <= 300 ? text : `${text.slice(0, 200)}...${text.slice(-100)}`)
}
