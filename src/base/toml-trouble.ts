/**
 * Says what is wrong with a file that is not TOML, and what was expected there. The parser's own reason is about
 * characters; what to write instead is seen from the line.
 *
 * Invariant: nothing of the file is repeated but names of settings that we know: a line may be half a password.
 */

/** What the parser's error tells. */
export interface TomlError {
  readonly message: string
  /** 1-based. */
  readonly line: number
  readonly column: number
}

/** What stands before the equals sign, and before the value. */
const SETTING = /^(\s*([\w-]+)\s*=\s*)/
/** What a value of one line may begin with. */
const QUOTE_OR_BRACKET = /^["'[{]/

/** The end of a sentence that begins with the place. `names` are those of settings. */
export function describeTomlError(
  { message, line, column }: TomlError,
  text: string,
  names: readonly string[],
): string {
  // A picture of the place follows the first line.
  const [first = ''] = message.split('\n')
  const reason = first.replace(/^Invalid TOML document: /, '')
  const hint = hintFor(text.split('\n')[line - 1] ?? '', column - 1, names)
  return hint === '' ? reason : `${reason}; ${hint}`
}

function hintFor(line: string, at: number, names: readonly string[]): string {
  const setting = SETTING.exec(line)
  if (setting !== null) {
    const [, before = '', name = ''] = setting
    // Of what begins like a text or a list the reason says what it lacks.
    if (at < before.length || QUOTE_OR_BRACKET.test(line.slice(before.length))) return ''
    const whose = names.includes(name) ? `the value of ${name}` : 'the value'
    return `${whose} is a text in quotation marks ("..."), a number without a unit, true or false, or a list in brackets`
  }
  // The name itself is meant: it is there twice, as the reason says.
  if (/^[\s[]*$/.test(line.slice(0, at))) return ''
  if (/^\s*\[/.test(line)) {
    return 'a table is [name]; parts of a name that have more in them than letters, digits, _ and - stand in quotation marks, as in [users."bob@example.com"]'
  }
  return /^\s*\w[^=]*$/.test(line) ? 'a setting is a line NAME = VALUE' : ''
}
