/** Words as a shell splits them, which is asked here; nothing else of a shell happens. */
import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Refusal } from '../../../src/config/kind.ts'
import { splitWords } from '../../../src/config/split-words.ts'

test.each<[string, readonly string[]]>([
  ['', []],
  [' \t\r\n ', []],
  ['-m 64 -M', ['-m', '64', '-M']],
  ['-I 128m\n-m\t1024\r\n', ['-I', '128m', '-m', '1024']],
  [`-P "/run/a b" -s '/run/c d'`, ['-P', '/run/a b', '-s', '/run/c d']],
  [`a"b"'c'd`, ['abcd']],
  [`"" ''`, ['', '']],
  ['a\\ b \\" \\\\', ['a b', '"', '\\']],
  [`"a\\"b" "a\\nb" '\\'`, ['a"b', 'a\\nb', '\\']],
  ['$HOME $(id) `id` *.c ~ a;b a|b #c', ['$HOME', '$(id)', '`id`', '*.c', '~', 'a;b', 'a|b', '#c']],
])('%j is %j', (text, words) => {
  expect(splitWords(text)).toEqual(words)
})

test.each([
  [`-P "/run`, 'has a " without its end'],
  [`-P '/run"`, "has a ' without its end"],
  ['-P /run\\', 'ends with a backslash'],
])('%j is refused', (text, reason) => {
  expect(splitWords(text)).toEqual(new Refusal(reason))
})

test('a shell splits the same words, where nothing is to be expanded', () => {
  const part = fc.constantFrom('a', '-m', '64', ' ', '  ', '\t', "'", '"', '\\', '\\"', '=')
  const texts = fc
    .sample(
      fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
      { numRuns: 300 },
    )
    .map((text) => ({ text, words: splitWords(text) }))
    .filter(({ words }) => !(words instanceof Refusal))
  // One shell for all: each text is a line that prints its words, each in <>.
  const script = texts.map(({ text }) => `printf '<%s>' x ${text}; echo`).join('\n')
  const { stdout } = spawnSync('sh', { input: script, encoding: 'utf8' })
  const shown = texts.map(({ words }) =>
    ['x', ...(words as string[])].map((w) => `<${w}>`).join(''),
  )
  expect(stdout.trimEnd().split('\n')).toEqual(shown)
  expect(texts.length).toBeGreaterThan(100)
})
