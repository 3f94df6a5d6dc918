/**
 * What a server says, made safe to show: a terminal obeys control characters, and whoever writes a key,
 * a user name or a value could move its cursor, change its title or have it type.
 */

/** C0, DEL and C1; what breaks lines elsewhere; what turns the direction of text round or hides it. */
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not reach a terminal.
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|\p{Cs}/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Text with every character that a terminal might obey as an escape; a backslash stays as it is. */
export function printable(text: string): string {
  return text.replaceAll(UNSAFE, escapeCharacter)
}

/** Bytes as text: UTF-8 where they are, else each byte beyond ASCII as \xNN. Backslashes are doubled. */
export function printableBytes(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes)
  if (text !== undefined) return printable(text.replaceAll('\\', '\\\\'))
  return printable(Buffer.from(bytes).toString('latin1').replaceAll('\\', '\\\\')).replaceAll(
    /[\u00a0-\u00ff]/g,
    escapeCharacter,
  )
}

/** JSON in which nothing is left that a terminal might obey; it reads back as the same. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSAFE, (character) => {
    const unit = character.charCodeAt(0)
    return `\\u${unit.toString(16).padStart(4, '0')}`
  })
}

/** A short piece of an answer for an error message. */
export function excerpt(text: string, charactersMax = 120): string {
  const shown = printable(text.slice(0, charactersMax))
  return text.length > charactersMax ? `${shown}...` : shown
}

export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function escapeCharacter(character: string): string {
  const short = SHORT[character]
  if (short !== undefined) return short
  const codePoint = character.codePointAt(0) ?? 0
  return codePoint < 0x100
    ? `\\x${codePoint.toString(16).padStart(2, '0')}`
    : `\\u${codePoint.toString(16).padStart(4, '0')}`
}
