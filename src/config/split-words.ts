/**
 * A line of text to words, as a shell splits one: at blanks and line ends, with '...', "..." and a
 * backslash. Nothing is executed or expanded: `$HOME`, `$(id)`, `*` and `~` are those characters.
 *
 * In "..." a backslash stands before `"`, `\`, `$` and a backquote, and elsewhere for itself (POSIX shell,
 * 2.2.3), so that what was written for a shell means the same here.
 */
import { Refusal } from './kind.ts'

const BLANK = /[ \t\r\n]/
const ESCAPED_IN_QUOTES = '"\\$`'

export function splitWords(text: string): readonly string[] | Refusal {
  const words: string[] = []
  /** Undefined between words: '' is a word, too. */
  let word: string | undefined
  let quote = ''
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index)
    const next = text.charAt(index + 1)
    if (quote !== '' && character === quote) {
      quote = ''
    } else if (quote === "'") {
      word += character
    } else if (character === '\\' && (quote === '' || ESCAPED_IN_QUOTES.includes(next))) {
      if (next === '') return new Refusal('ends with a backslash')
      word = (word ?? '') + next
      index++
    } else if (quote === '' && (character === '"' || character === "'")) {
      quote = character
      word ??= ''
    } else if (quote === '' && BLANK.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (quote !== '') return new Refusal(`has a ${quote} without its end`)
  if (word !== undefined) words.push(word)
  return words
}
