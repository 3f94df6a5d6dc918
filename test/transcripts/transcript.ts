/**
 * Reads transcripts (README.md has the format) and plays them against a server. Written apart from
 * `src/`, so that it shares no mistake with it.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { requestFrame } from '../support/binary-frames.ts'

/** Why memcached answers otherwise: Debian's because it is older, 1.6.45 because we mean to differ. */
export type Reason = 'older' | 'purpose'

/** Whose answers are looked at: those of saslcached, memcached 1.6.45 or Debian's memcached 1.6.18. */
export type Answerer = 'saslcached' | '1.6.45' | '1.6.18'

export interface Step {
  readonly line: number
  readonly kind: 'send' | 'expect' | 'pause'
  /** Templates: one a line, not yet expanded. */
  readonly ours: readonly Part[]
  /** Only in `expect`: what memcached 1.6.45 answers, if that is something else. */
  readonly reference: readonly Part[] | undefined
  /** Only in `expect`: what memcached 1.6.18 answers, if that is something else than 1.6.45 does. */
  readonly older: readonly Part[] | undefined
  readonly pauseMs: number
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

interface Part {
  readonly form: 'line' | 'raw' | 'frame' | 'eof'
  readonly text: string
}

export interface Case {
  readonly name: string
  readonly line: number
  readonly steps: readonly Step[]
  readonly reasons: readonly { readonly kind: Reason; readonly text: string }[]
}

export interface Transcript {
  /** What is sent must leave in one write: it is not played in pieces. */
  readonly isWhole: boolean
  readonly flags: readonly string[]
  readonly login: boolean
  readonly cases: readonly Case[]
}

export function parseTranscript(source: string): Transcript {
  const flags: string[] = []
  let login = false
  let isWhole = false
  const cases: {
    name: string
    line: number
    steps: Mutable<Step>[]
    reasons: Case['reasons'][number][]
  }[] = []
  for (const [index, text] of source.split('\n').entries()) {
    const line = index + 1
    if (text === '' || text.startsWith('#')) continue
    if (text.startsWith('@flags ')) flags.push(...text.slice(7).split(' '))
    else if (text === '@login') login = true
    else if (text === '@whole') isWhole = true
    else if (text.startsWith('== '))
      cases.push({ name: text.slice(3), line, steps: [], reasons: [] })
    else {
      const current = cases.at(-1)
      if (current === undefined) throw new Error(`line ${line}: outside of a case`)
      parseLine(text, line, current)
    }
  }
  return { flags, login, isWhole, cases }
}

function parseLine(
  text: string,
  line: number,
  into: { steps: Mutable<Step>[]; reasons: Case['reasons'][number][] },
): void {
  const reason = /^! (older|purpose): (.+)$/.exec(text)
  if (reason !== null) {
    into.reasons.push({ kind: reason[1] as Reason, text: reason[2] ?? '' })
    return
  }
  const pause = /^pause (\d+)$/.exec(text)
  if (pause !== null) {
    into.steps.push({ ...newStep(line, 'pause'), pauseMs: Number(pause[1]) })
    return
  }
  const match = /^(>|<(?:m45|m18)?)(eof|-|b)?(?: (.*))?$/.exec(text)
  if (match === null) throw new Error(`line ${line}: not a transcript: ${text}`)
  const [, direction = '', mark, content = ''] = match
  const form = mark === 'eof' ? 'eof' : mark === '-' ? 'raw' : mark === 'b' ? 'frame' : 'line'
  const part: Part = { form, text: content }
  const kind = direction === '>' ? 'send' : 'expect'
  let last = into.steps.at(-1)
  if (last?.kind !== kind) {
    last = newStep(line, kind)
    into.steps.push(last)
  }
  if (direction === '<m45') last.reference = [...(last.reference ?? []), part]
  else if (direction === '<m18') last.older = [...(last.older ?? []), part]
  else last.ours = [...last.ours, part]
}

function newStep(line: number, kind: Step['kind']): Mutable<Step> {
  return { line, kind, ours: [], reference: undefined, older: undefined, pauseMs: 0 }
}

/** What `answerer` answers in a step: 1.6.18 as 1.6.45 does, and that as we do, if nothing else is said. */
function answersOf(step: Step, answerer: Answerer): readonly Part[] {
  if (answerer === 'saslcached') return step.ours
  const reference = step.reference ?? step.ours
  return answerer === '1.6.18' ? (step.older ?? reference) : reference
}

const ANSWER_DEADLINE_MS = 60_000

export interface PlayOptions {
  readonly answerer: Answerer
  readonly prefix: string
  /** Cuts what is sent: the lengths of the pieces; the whole at once without it. */
  readonly cut?: (length: number) => number
}

/** Plays one case on a connection of its own; throws with both sides if an answer differs. */
export async function play(
  transcriptCase: Case,
  host: string,
  port: number,
  options: PlayOptions,
): Promise<void> {
  const client = await Client.connect(host, port)
  const names = new Map<string, string>()
  let isBinary = false
  try {
    for (const step of transcriptCase.steps) {
      if (step.kind === 'pause') {
        await delay(step.pauseMs)
      } else if (step.kind === 'send') {
        isBinary ||= step.ours.some(({ form }) => form === 'frame')
        const bytes = Buffer.concat(step.ours.map((part) => bytesOf(part, options.prefix, names)))
        await client.send(bytes, options.cut)
      } else {
        const parts = answersOf(step, options.answerer)
        const answers = parts.filter(({ form }) => form !== 'eof')
        const hasEnded = parts.some(({ form }) => form === 'eof')
        // A raw nothing: memcached waits for more, and there is no going on from there.
        const last = parts.at(-1)
        if (last?.form === 'raw' && last.text === '') return
        const pattern = answers.map((part) => patternOf(part, options.prefix, names)).join('')
        const wanted = answers.map(({ text }) => text).join('\n')
        await client.expect(pattern, names, `line ${step.line}`, wanted)
        if (hasEnded) {
          await client.expectEnd(`line ${step.line}`)
          return
        }
      }
    }
    await client.send(isBinary ? requestFrame({ opcode: 0x0a, opaque: 0xdead }) : SENTINEL)
    const last = isBinary
      ? '\\x81\\x0a\\x00{10}\\x00\\x00\\xde\\xad\\x00{8}'
      : 'VERSION [^\\r]*\\r\\n'
    await client.expect(last, names, 'the round trip at the end')
  } finally {
    client.close()
  }
}

const SENTINEL = Buffer.from('version\r\n')

class Client {
  private readonly socket: Socket
  private received = ''
  private hasEnded = false
  private wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.received += text
      this.wake()
    })
    const end = (): void => {
      this.hasEnded = true
      this.wake()
    }
    socket.on('end', end)
    socket.on('close', end)
    socket.on('error', end)
  }

  static async connect(host: string, port: number): Promise<Client> {
    const socket = connect({ host, port })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new Client(socket)
  }

  async send(bytes: Buffer, cut?: (length: number) => number): Promise<void> {
    if (cut === undefined) {
      this.socket.write(bytes)
      return
    }
    for (let offset = 0; offset < bytes.length; ) {
      const length = cut(bytes.length - offset)
      this.socket.write(bytes.subarray(offset, offset + length))
      offset += length
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Waits for bytes that match all of `pattern`, takes them, and remembers what they name. */
  async expect(
    pattern: string,
    names: Map<string, string>,
    where: string,
    wanted: string = pattern,
  ): Promise<void> {
    const expression = new RegExp(`^${pattern}`, 's')
    const endMs = performance.now() + ANSWER_DEADLINE_MS
    for (;;) {
      const match = expression.exec(this.received)
      if (match !== null) {
        for (const [name, value] of Object.entries(match.groups ?? {})) names.set(name, value)
        this.received = this.received.slice(match[0].length)
        return
      }
      const leftMs = endMs - performance.now()
      if (this.hasEnded || leftMs <= 0) {
        throw new Error(
          `${where}: expected ${JSON.stringify(wanted)}\n` +
            `but received ${JSON.stringify(this.received)}${this.hasEnded ? ' and the end' : ''}`,
        )
      }
      await this.more(leftMs)
    }
  }

  async expectEnd(where: string): Promise<void> {
    const endMs = performance.now() + ANSWER_DEADLINE_MS
    while (!this.hasEnded && performance.now() < endMs) await this.more(endMs - performance.now())
    if (!this.hasEnded || this.received !== '') {
      const what = this.hasEnded ? 'the end' : 'an open connection'
      throw new Error(
        `${where}: expected the end, not ${JSON.stringify(this.received)} and ${what}`,
      )
    }
  }

  close(): void {
    this.socket.destroy()
  }

  private async more(deadlineMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.wake = resolve
      timer = setTimeout(resolve, deadlineMs)
    })
    clearTimeout(timer)
  }
}

/** What a part of a template sends. */
function bytesOf(part: Part, prefix: string, names: Map<string, string>): Buffer {
  if (part.form === 'frame') return frameOf(part.text, prefix, names)
  const text = unescaped(
    expand(part.text, prefix).replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = names.get(name)
      if (value === undefined) throw new Error(`{${name}} is not known yet`)
      return value
    }),
  )
  return Buffer.from(part.form === 'line' ? `${text}\r\n` : text, 'latin1')
}

function expand(text: string, prefix: string): string {
  return text
    .replaceAll('~', prefix)
    .replace(/\{(\S)\*(\d+)\}/g, (_, character: string, count: string) =>
      character.repeat(Number(count)),
    )
}

const ESCAPES: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', '0': '\0', s: ' ' }

function unescaped(text: string): string {
  return text.replace(/\\(x[0-9a-f]{2}|.)/gi, (_, sequence: string) =>
    sequence.length === 3
      ? String.fromCharCode(Number.parseInt(sequence.slice(1), 16))
      : (ESCAPES[sequence] ?? sequence),
  )
}

interface Fields {
  readonly opcode: number
  readonly status: number
  readonly extras: Buffer
  readonly key: string
  readonly value: string
  readonly opaque: number
  readonly cas: string
}

function fieldsOf(text: string, prefix: string): Fields {
  const found = new Map<string, string>()
  const [opcode = ''] = text.split(' ')
  for (const [, name = '', value = ''] of text.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)) {
    found.set(name, value.startsWith('"') ? (JSON.parse(value) as string) : unescaped(value))
  }
  const textOf = (name: string): string => expand(found.get(name) ?? '', prefix)
  return {
    opcode: Number.parseInt(opcode, 16),
    status: Number.parseInt(found.get('status') ?? '0', 16),
    extras: Buffer.from(found.get('extras') ?? '', 'hex'),
    key: textOf('key'),
    value: textOf('value'),
    opaque: Number.parseInt(found.get('opaque') ?? '0', 16),
    cas: found.get('cas') ?? '0',
  }
}

function frameOf(text: string, prefix: string, names: Map<string, string>): Buffer {
  const { opcode, extras, key, value, opaque, cas } = fieldsOf(text, prefix)
  const named = /^\{(\w+)\}$/.exec(cas)?.[1]
  const number = named === undefined ? BigInt(cas) : casOf(names.get(named) ?? '')
  return requestFrame({
    opcode,
    extras,
    key: Buffer.from(key, 'latin1'),
    value: Buffer.from(value, 'latin1'),
    opaque,
    cas: number,
  })
}

/** A remembered CAS is digits from a text answer, or the eight bytes of a binary one. */
function casOf(remembered: string): bigint {
  if (/^\d+$/.test(remembered)) return BigInt(remembered)
  return Buffer.from(remembered, 'latin1').readBigUInt64BE()
}

/** The regular expression that the answer to a part of a template must match. */
function patternOf(part: Part, prefix: string, names: Map<string, string>): string {
  if (part.form === 'frame') return framePattern(part.text, prefix, names)
  const pattern = expand(part.text, prefix)
    .split(/(\{[^}]+\})/)
    .map((piece) => {
      if (piece === '{?}') return '\\d+'
      if (piece === '{...}') return '[^\\r\\n]*'
      const choice = /^\{(\w+(?:\|\w+)+)\}$/.exec(piece)?.[1]
      if (choice !== undefined) return `(?:${choice})`
      const name = /^\{(\w+)\}$/.exec(piece)?.[1]
      if (name === undefined) return quote(unescaped(piece))
      const known = names.get(name)
      return known === undefined ? `(?<${name}>\\d+)` : quote(known)
    })
    .join('')
  return part.form === 'line' ? `${pattern}\\r\\n` : pattern
}

function framePattern(text: string, prefix: string, names: Map<string, string>): string {
  const { opcode, status, extras, key, value, opaque, cas } = fieldsOf(text, prefix)
  const header = Buffer.alloc(16)
  header.writeUInt8(0x81, 0)
  header.writeUInt8(opcode, 1)
  header.writeUInt16BE(key.length, 2)
  header.writeUInt8(extras.length, 4)
  header.writeUInt16BE(status, 6)
  header.writeUInt32BE(extras.length + key.length + value.length, 8)
  header.writeUInt32BE(opaque, 12)
  const named = /^\{(\w+|\?)\}$/.exec(cas)?.[1]
  const known = named === undefined ? undefined : names.get(named)
  const casBytes = Buffer.alloc(8)
  if (named === undefined) casBytes.writeBigUInt64BE(BigInt(cas))
  const casPattern =
    named === '?'
      ? '[\\s\\S]{8}'
      : named === undefined
        ? quote(casBytes.toString('latin1'))
        : known === undefined
          ? `(?<${named}>[\\s\\S]{8})`
          : quote(known)
  return (
    quote(header.toString('latin1')) + casPattern + quote(extras.toString('latin1') + key + value)
  )
}

function quote(text: string): string {
  return [...text]
    .map((character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .join('')
}
