/**
 * Random requests, valid and half-valid, in the three dialects: what two servers that mean to be the
 * same must answer alike. Left out is what saslcached answers otherwise on purpose
 * (test/transcripts/differs-on-purpose.ts) and what hangs on the second in which it is asked.
 *
 * `older`: only what memcached 1.6.18 answers as 1.6.45 does.
 */
import { requestFrame } from '../support/binary-frames.ts'

export interface RequestOptions {
  readonly random: () => number
  readonly older: boolean
  /** Four characters of base64 before each key, so that batches do not meet. */
  readonly prefix: string
}

/** With the prefix they are base64, too: what is not is refused on purpose. */
const KEYS = ['aaaa', 'bbbb', 'nnnn', 'mmmm', 'long'.repeat(10)]
const VALUES = ['', 'x', '0', '5', '15', '99', '18446744073709551615', 'abc', 'a b', 'a\tb\0\xff']
const NUMERIC_VALUES = [
  ' 12',
  '\t7',
  '+5',
  '5 ',
  '5\0',
  '007',
  '-0',
  '12x',
  '1 2',
  `3${' '.repeat(40)}`,
]
/** Far from the moment: nothing of it expires while the test runs, or it has at once. */
const TIMES = ['0', '100', '1000', '-1', '2592000', '1000000000']
const FIELDS = [
  '007',
  '\t5',
  '5\t',
  '5\tx',
  '+5',
  '5x',
  'x',
  '-5',
  '0x10',
  '5\0',
  '0000000000000000100',
  '1.5',
  '-0',
]
const TOKENS = ['007', '5\t', '\t5', 'x', '-5', '1.5', '00000000100', '000000000100', '5,', '0x5']
const NUMBERS_64 = [
  '18446744073709551615',
  '18446744073709551616',
  '0000000000000000000005',
  '00000000000000000000005',
  '+5',
]
const GIVEN_CAS = ['0', '1', '1099511627776', '1099511627777']
const LINE_ENDS = ['\r\n', '\r\n', '\r\n', '\n']

const META_FLAGS: Readonly<Record<string, readonly string[]>> = {
  mg: [
    'v',
    'k',
    'q',
    's',
    'f',
    'c',
    't',
    'h',
    'u',
    'Oab',
    'T100',
    'T1000',
    'N100',
    'R300',
    'C{cas}',
    'E{cas}',
    'b',
    'x',
    'I',
  ],
  ms: [
    'T100',
    'F5',
    'k',
    'q',
    'c',
    's',
    'MS',
    'ME',
    'MA',
    'MP',
    'MR',
    'I',
    'N100',
    'C{cas}',
    'E{cas}',
    'b',
    'Oab',
    'MX',
  ],
  md: ['q', 'k', 'I', 'T100', 'x', 'C{cas}', 'E{cas}', 'Oab', 'b'],
  ma: [
    'v',
    't',
    'k',
    'q',
    'c',
    'N0',
    'N100',
    'J7',
    'D3',
    'MD',
    'MI',
    'M+',
    'M-',
    'C{cas}',
    'Oab',
    'MX',
  ],
}
const OLDER_META_FLAGS: Readonly<Record<string, readonly string[]>> = {
  mg: ['v', 'k', 'q', 's', 'f', 'c', 't', 'Oab'],
  ms: ['T100', 'F5', 'k', 'q', 'c', 'MS', 'ME', 'MA', 'MP', 'MR'],
  md: ['q', 'k', 'I', 'Oab'],
  ma: ['v', 't', 'k', 'c', 'N0', 'J7', 'D3', 'MD', 'MI'],
}

export class Requests {
  private readonly random: () => number
  private readonly older: boolean
  private readonly prefix: string

  constructor({ random, older, prefix }: RequestOptions) {
    this.random = random
    this.older = older
    this.prefix = prefix
  }

  text(): string {
    const kind = this.below(10)
    if (kind < 4) return this.storage()
    if (kind < 8) return this.line(this.classic())
    return this.meta()
  }

  meta(): string {
    const name = this.one(['mg', 'ms', 'md', 'ma', 'mg', 'ms', 'mn', 'me'])
    if (name === 'mn') return this.line(['mn'])
    if (name === 'me') return this.line(['me', this.key()])
    const all = (this.older ? OLDER_META_FLAGS : META_FLAGS)[name] ?? []
    const flags: string[] = []
    for (let left = this.below(5); left > 0; left--) {
      const flag = this.one(all).replace('{cas}', () => this.one(GIVEN_CAS))
      const letter = flag[0] ?? ''
      const isRepeated = flags.some((other) => other.startsWith(letter))
      if (!isRepeated || (!this.older && this.chance(20))) flags.push(this.spoilFlag(flag))
    }
    // What N or an append has made of a base64 key is shown as raw bytes there.
    const hasBinaryKey = name === 'mg' && flags.includes('b')
    if (hasBinaryKey && flags.includes('k')) flags.splice(flags.indexOf('k'), 1)
    if (name !== 'ms') return this.line([name, this.key(), ...flags])
    const value = this.value()
    return this.line([name, this.key(), String(value.length), ...flags]) + this.block(value)
  }

  frame(): Buffer {
    const opcode = this.one([
      0, 1, 2, 3, 4, 5, 6, 9, 0x0a, 0x0c, 0x0d, 0x0e, 0x0f, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
      0x19, 0x1a, 0x1c, 0x1d, 0x1e,
    ])
    const key = Buffer.from(opcode === 0x0a ? '' : this.key(), 'latin1')
    const opaque = this.below(1000)
    const base = opcode >= 0x11 && opcode <= 0x1a ? opcode - 0x10 : opcode
    const isExtending = opcode === 0x0e || opcode === 0x0f || opcode === 0x19 || opcode === 0x1a
    const isStoring = !isExtending && base >= 1 && base <= 3 && opcode !== 9
    const isCounting = base === 5 || base === 6
    if (isExtending)
      return requestFrame({ opcode, key, value: Buffer.from(this.value(), 'latin1'), opaque })
    if (isStoring) {
      const extras = Buffer.alloc(8)
      extras.writeUInt32BE(this.below(2 ** 32), 0)
      extras.writeUInt32BE(this.one([0, 100, 1000, 1000000000]), 4)
      const cas = this.chance(10) ? BigInt(this.one(GIVEN_CAS)) : 0n
      return requestFrame({
        opcode,
        extras,
        key,
        value: Buffer.from(this.value(), 'latin1'),
        opaque,
        cas,
      })
    }
    if (isCounting) {
      const extras = Buffer.alloc(20)
      extras.writeBigUInt64BE(BigInt(this.one(['0', '1', '10', '18446744073709551615'])), 0)
      extras.writeBigUInt64BE(BigInt(this.below(100)), 8)
      extras.writeUInt32BE(this.one([0, 100, 0xffffffff]), 16)
      return requestFrame({ opcode, extras, key, opaque })
    }
    if (opcode >= 0x1c) {
      const extras = Buffer.alloc(4)
      extras.writeUInt32BE(this.one([0, 100, 1000]))
      return requestFrame({ opcode, extras, key, opaque })
    }
    return requestFrame({ opcode, key, opaque })
  }

  private classic(): string[] {
    const key = this.key()
    const noreply = this.chance(10) ? ['noreply'] : []
    switch (this.below(9)) {
      case 0:
        return [
          this.one(['get', 'gets']),
          key,
          ...(this.chance(30) ? [this.key(), this.key()] : []),
        ]
      case 1:
        return [this.one(['gat', 'gats']), this.time(), key]
      case 2:
        return ['delete', key, ...noreply]
      case 3:
      case 4:
      case 5:
        return [this.one(['incr', 'decr']), key, this.number(), ...noreply]
      case 6:
        return ['touch', key, this.time(), ...noreply]
      case 7:
        return this.older
          ? ['get', key]
          : [this.one(['GET', 'foo', 'gett', 'verbosity', 'mz', 'g']), key]
      default:
        // Too few words.
        return this.older
          ? ['get', key]
          : [this.one(['get', 'set', 'touch', 'incr', 'delete', 'gat', 'cas', 'mg'])]
    }
  }

  private storage(): string {
    const verb = this.one(['set', 'set', 'set', 'add', 'replace', 'append', 'prepend', 'cas'])
    const value = this.value()
    const flags = this.spoil(String(this.below(2 ** 32)), FIELDS)
    const expiry = this.spoil(this.one(TIMES), FIELDS)
    const length = this.spoil(String(value.length), [
      `0${value.length}`,
      `+${value.length}`,
      'x',
      '-1',
      '1.5',
      '',
    ])
    const words = [verb, this.key(), flags, expiry, length]
    if (verb === 'cas') words.push(this.number(GIVEN_CAS))
    if (this.chance(10)) words.push('noreply')
    return this.line(words) + this.block(value)
  }

  private block(value: string): string {
    if (!this.older && this.chance(2)) return `${value}y\r\n`
    return `${value}\r\n`
  }

  /** The words of a line with as many blanks as clients think of. */
  private line(words: readonly string[]): string {
    const parts = words.map((word) => word + (this.chance(4) ? '   ' : ' '))
    const text = parts.join('')
    const trailing = this.chance(4) ? '  ' : ''
    return text.trimEnd() === ''
      ? `${text}\r\n`
      : `${text.replace(/ +$/, '')}${trailing}${this.older ? '\r\n' : this.one(LINE_ENDS)}`
  }

  private key(): string {
    if (!this.older && this.chance(1)) return 'k'.repeat(250)
    return this.prefix + this.one(KEYS)
  }

  private value(): string {
    return this.chance(30) && !this.older ? this.one(NUMERIC_VALUES) : this.one(VALUES)
  }

  private time(): string {
    return this.spoil(this.one(['0', '100', '1000', '-1']), TOKENS)
  }

  private number(
    values: readonly string[] = ['0', '1', '5', '100', '18446744073709551615'],
  ): string {
    return this.spoil(this.one(values), [...TOKENS, ...NUMBERS_64])
  }

  private spoil(word: string, others: readonly string[]): string {
    return !this.older && this.chance(8) ? this.one(others) : word
  }

  private spoilFlag(flag: string): string {
    if (this.older || !this.chance(5)) return flag
    return 'TNRCEDJF'.includes(flag[0] ?? '') ? `${flag[0]}${this.one(TOKENS)}` : flag
  }

  private one<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit)
  }

  private chance(percent: number): boolean {
    return this.random() * 100 < percent
  }
}
