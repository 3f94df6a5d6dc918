/**
 * A switch over words says what becomes of a word that it has no case for: `unreachable(x)` where it knows them all, so that one
 * that is added and forgotten does not compile; else a default. Switches over numbers are the hot path's, and their
 * type knows no end.
 */
import { expect, test } from 'vitest'
import { type SourceFile, sourceFiles } from './sources.ts'

const HEAD = /^( *)(?:\S.* )?switch \(.*\) \{$/

/** Of a file, where a switch over words ends without a default. */
function openSwitches({ path, text }: SourceFile): string[] {
  const lines = text.split('\n')
  return lines.flatMap((line, index) => {
    const indentation = HEAD.exec(line)?.[1]
    if (indentation === undefined) return []
    const end = lines.findIndex((each, at) => at > index && each.startsWith(`${indentation}}`))
    const cases = lines.slice(index + 1, end).filter((each) => {
      return new RegExp(`^${indentation}  (?:case|default)\\b`).test(each)
    })
    const isOfWords = cases.some((each) => /^ *case '/.test(each))
    const hasDefault = cases.some((each) => /^ *default:/.test(each))
    return isOfWords && !hasDefault
      ? [`src/${path}:${index + 1}: end it in unreachable(), or say what else there is`]
      : []
  })
}

test('a switch over words ends in unreachable(), or in what else there is', () => {
  expect(sourceFiles().flatMap(openSwitches)).toEqual([])
})

test('the checker sees a switch without an end, also in one that has it, and none over numbers', () => {
  const text = [
    'function f(): void {',
    '  switch (word) {',
    "    case 'one':",
    '      switch (other) {',
    "        case 'two':",
    '          return',
    '      }',
    '      return',
    '    default:',
    '      unreachable(word)',
    '  }',
    '  switch (number) {',
    '    case ONE:',
    '      return',
    '  }',
    '}',
  ].join('\n')
  const told = openSwitches({ path: 'a.ts', text })
  expect(told).toHaveLength(1)
  expect(told[0]).toMatch(/^src\/a\.ts:4: /)
})
