/**
 * The kinds of value that an option may have. A kind reads text (flags, environment) and TOML
 * values, says in words what it takes, and writes a value back as TOML. Reading never throws:
 * what does not fit comes back as a Refusal, to be reported together with all the others.
 */

/** Why a value cannot be taken; `reason` completes the sentence "<where>: <value> ...". */
export class Refusal {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

export interface Kind<T> {
  /** What help shows for the value, `<num>`; empty for a flag that takes none. */
  readonly placeholder: string
  /** Reads a flag's argument or an environment variable. */
  parse(text: string): T | Refusal
  /** Reads a value of a TOML document. */
  accept(value: unknown): T | Refusal
  /** The value as TOML, which is also how --print-config shows it. */
  format(value: T): string
}

function expected(what: string): Refusal {
  return new Refusal(`is not ${what}`)
}

/** What C's isspace takes for a blank, and memcached skips before every value. */
const BLANKS_BEFORE = /^[ \t\n\v\f\r]+/
const BLANKS_AROUND = /^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g

/** Without the blanks and line ends that shells, YAML and files with CR LF leave around a value. */
function withoutBlanks(text: string): string {
  return text.replace(BLANKS_AROUND, '')
}

/**
 * What is left of a number besides blanks: memcached reads digits as far as there are any, so a comma
 * behind them does no harm there either. Any other rest (`1k` connections are 1 for memcached) is
 * refused.
 */
function digitsOf(text: string): string {
  return withoutBlanks(withoutBlanks(text).replace(/[,;]$/, ''))
}

function wholeNumber(text: string): number | undefined {
  const digits = digitsOf(text)
  if (!/^[+-]?0*\d{1,15}$/.test(digits)) return undefined
  // Without the sign of -0.
  return Number(digits) + 0
}

/** A whole number from `min` to `max`, both included. */
export function integer(min: number, max: number): Kind<number> {
  const refusal = expected(`a whole number from ${min} to ${max}`)
  const check = (value: number | undefined): number | Refusal =>
    value !== undefined && Number.isInteger(value) && value >= min && value <= max ? value : refusal
  return {
    placeholder: '<num>',
    parse: (text) => check(wholeNumber(text)),
    accept: (value) => check(typeof value === 'number' ? value : undefined),
    format: String,
  }
}

/** A whole number, or the word `auto` for a value that depends on the machine or another option. */
export function integerOrAuto(min: number, max: number): Kind<number | 'auto'> {
  const number = integer(min, max)
  const refusal = expected(`a whole number from ${min} to ${max}, or auto`)
  return {
    placeholder: '<num>',
    parse(text) {
      if (withoutBlanks(text) === 'auto') return 'auto'
      const value = number.parse(text)
      return value instanceof Refusal ? refusal : value
    },
    accept(value) {
      if (value === 'auto') return 'auto'
      const accepted = number.accept(value)
      return accepted instanceof Refusal ? refusal : accepted
    },
    format: (value) => (value === 'auto' ? '"auto"' : String(value)),
  }
}

/** A length of time in seconds; fractions are allowed. With `off`, 0 turns the limit off. */
export function seconds(min: number, max: number, off: boolean): Kind<number> {
  const range = `a number of seconds from ${min} to ${max}`
  const refusal = expected(off ? `${range}, or 0 for none` : range)
  const check = (value: number): number | Refusal =>
    (off && value === 0) || (value >= min && value <= max) ? value : refusal
  return {
    placeholder: '<sec>',
    parse(text) {
      const digits = digitsOf(text)
      return /^\+?0*\d{1,10}(\.\d{1,3})?$/.test(digits) ? check(Number(digits)) : refusal
    },
    accept: (value) => (typeof value === 'number' ? check(value) : refusal),
    format: String,
  }
}

/** A number that may have a fraction, from 0 up. */
export function ratio(): Kind<number> {
  const refusal = expected('a number')
  return {
    placeholder: '<num>',
    parse(text) {
      const digits = digitsOf(text)
      return /^\+?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})$/.test(digits) ? Number(digits) : refusal
    },
    accept: (value) => (typeof value === 'number' && value >= 0 ? value : refusal),
    format: String,
  }
}

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, k: KIB, m: MIB, g: GIB }

/** Bytes as people write them: `512k`, `1m`, or a bare number of bytes. */
export function formatSize(bytes: number): string {
  if (bytes % GIB === 0 && bytes > GIB) return `${bytes / GIB}g`
  if (bytes % MIB === 0 && bytes > 0) return `${bytes / MIB}m`
  if (bytes % KIB === 0 && bytes > 0) return `${bytes / KIB}k`
  return String(bytes)
}

/** A number of bytes, bare or with the suffix k, m or g (powers of 1024), as memcached's -I. */
export function size(minBytes: number, maxBytes: number): Kind<number> {
  const refusal = expected(
    `a size from ${formatSize(minBytes)} to ${formatSize(maxBytes)} (bytes, or with suffix k, m or g)`,
  )
  const parse = (text: string): number | Refusal => {
    const match = /^\+?(0*\d{1,12})([kmg]?)$/i.exec(digitsOf(text))
    if (match === null) return refusal
    const bytes = Number(match[1]) * (UNIT_BYTES[(match[2] ?? '').toLowerCase()] ?? 1)
    return bytes >= minBytes && bytes <= maxBytes ? bytes : refusal
  }
  return {
    placeholder: '<size>',
    parse,
    accept: (value) =>
      typeof value === 'string' || Number.isInteger(value) ? parse(String(value)) : refusal,
    format: (bytes) => JSON.stringify(formatSize(bytes)),
  }
}

/** The same, or 0 for none. */
export function optionalSize(minBytes: number, maxBytes: number): Kind<number> {
  const whole = size(0, maxBytes)
  const least = size(minBytes, maxBytes)
  const check = <T>(read: (kind: Kind<number>) => T): T => {
    const value = read(whole)
    return value === 0 ? value : read(least)
  }
  return {
    ...whole,
    parse: (text) => check((kind) => kind.parse(text)),
    accept: (value) => check((kind) => kind.accept(value)),
  }
}

/** A whole number of MiB; as the unit is what is meant, `64m` is 64 as well. */
export function mebibytes(min: number, max: number): Kind<number> {
  const number = integer(min, max)
  return {
    ...number,
    parse(text) {
      const [, digits, unit] = /^\+?0*(\d{1,15})\s*([kmgt])i?b?$/i.exec(withoutBlanks(text)) ?? []
      if (digits === undefined || unit === undefined) return number.parse(text)
      if (unit.toLowerCase() === 'm') return number.parse(digits)
      // memcached reads 1g as 1 MiB.
      return new Refusal('has a unit that is not taken here: the number is one of MiB')
    },
  }
}

/** True or false. On the command line the flag alone means true. */
export function flag(): Kind<boolean> {
  return {
    placeholder: '',
    parse(text) {
      const word = withoutBlanks(text)
      if (/^(true|yes|on|1)$/i.test(word)) return true
      if (/^(false|no|off|0)$/i.test(word)) return false
      return expected('true or false')
    },
    accept: (value) => (typeof value === 'boolean' ? value : expected('true or false')),
    format: String,
  }
}

/** How often a flag was given (-v, -vv, -vvv), which may be oftener; elsewhere a number up to `max`. */
export function count(max: number): Kind<number> {
  return { ...integer(0, max), placeholder: '' }
}

/** One of some words. `refused` has words that are known and not available, each with its reason. */
export function choice<T extends string>(
  words: readonly T[],
  refused: Readonly<Record<string, string>> = {},
): Kind<T> {
  const parse = (given: string): T | Refusal => {
    const text = withoutBlanks(given)
    const word = words.find((candidate) => candidate === text)
    if (word !== undefined) return word
    return Object.hasOwn(refused, text)
      ? new Refusal(refused[text] ?? '')
      : expected(`one of ${words.join(', ')}`)
  }
  return {
    placeholder: '<name>',
    parse,
    accept: (value) => (typeof value === 'string' ? parse(value) : parse('')),
    format: (value) => JSON.stringify(value),
  }
}

/** The same, and as memcached's suboptions have it, the number of a word. */
export function choiceOrNumber<T extends string>(words: readonly T[]): Kind<T> {
  const kind = choice(words)
  return { ...kind, parse: (given) => words[wholeNumber(given) ?? -1] ?? kind.parse(given) }
}

/** A path, a user name; the empty string means that the option is not set. */
export function text(placeholder: string, what: string): Kind<string> {
  const check = (value: unknown): string | Refusal => {
    if (typeof value !== 'string') return expected(what)
    // No path that anybody means has one.
    return /\p{Cc}/u.test(value) ? new Refusal('has a control character in it') : value
  }
  return {
    placeholder,
    parse: (value) => check(withoutLineEnd(value)),
    accept: check,
    format: (value) => JSON.stringify(value),
  }
}

/** A name or path as memcached takes it, without the blanks before it, and without a line end. */
export function withoutLineEnd(text: string): string {
  return text.replace(BLANKS_BEFORE, '').replace(/[\r\n]+$/, '')
}

/** A list of words. As text it is split at commas or, as memcached's -l, at semicolons, and a comma
 * too many does no harm; given several times, the lists are joined. */
export function list(
  placeholder: string,
  what: string,
  check: (word: string) => string | Refusal,
): Kind<readonly string[]> {
  const checkAll = (words: readonly string[]): readonly string[] | Refusal => {
    const accepted: string[] = []
    for (const word of words) {
      const result = check(word.trim())
      if (result instanceof Refusal) return result
      accepted.push(result)
    }
    return accepted
  }
  return {
    placeholder,
    parse(value) {
      const words = value.split(/[,;]/).filter((word) => withoutBlanks(word) !== '')
      // An empty list would mean the default, which is hardly what was meant.
      if (words.length === 0 && value !== '') return new Refusal('has nothing in it')
      return checkAll(words)
    },
    accept: (value) =>
      Array.isArray(value) && value.every((word) => typeof word === 'string')
        ? checkAll(value)
        : expected(what),
    format: (words) => `[${words.map((word) => JSON.stringify(word)).join(', ')}]`,
  }
}

/** Permission bits in octal, as `chmod` takes them: `700`, `0770`. */
export function octalMode(): Kind<number> {
  const what = 'a mode in octal from 0 to 777'
  const refusal = expected(`${what}, such as 700`)
  const parse = (text: string): number | Refusal => {
    const value = withoutBlanks(text)
    return /^\+?0*[0-7]{1,3}$/.test(value) ? Number.parseInt(value, 8) : refusal
  }
  return {
    placeholder: '<mask>',
    parse,
    // 700 without quotes would be a decimal number that only looks octal; quotes make it text.
    accept: (value) =>
      typeof value === 'string' ? parse(value) : expected(`${what} in quotes, such as "700"`),
    format: (mode) => JSON.stringify(mode.toString(8).padStart(3, '0')),
  }
}
