/**
 * Verbs are told apart by what their row in protocol/verbs.ts says, or one by one. Whether a number is higher than
 * another says nothing: a verb that is added gets the next one.
 */
import { expect, test } from 'vitest'
import { type SourceFile, sourceFiles } from './sources.ts'

const ORDERED = /\bverb\w* [<>]=? |[<>]=? VERB_\w+|\bVERB_\w+ [<>]=? /

function orderedVerbs({ path, text }: SourceFile): string[] {
  return text
    .split('\n')
    .flatMap((line, index) =>
      ORDERED.test(line)
        ? [`src/${path}:${index + 1}: ask hasVerb() of a set of verbs, or name the verbs`]
        : [],
    )
}

test('no source asks whether a verb is higher or lower than another', () => {
  expect(sourceFiles().flatMap(orderedVerbs)).toEqual([])
})

test('the checker sees it, and nothing in a comparison of verbs that is none of their order', () => {
  const text = [
    'if (verb >= VERB_SET) return',
    'if (request.verb > last) return',
    'if (VERB_SET <= given) return',
    'if (verb === VERB_SET) return',
    'const isText = slot >= TEXT_VERBS',
    'for (const verb of VERBS) count(verb)',
  ].join('\n')
  const told = orderedVerbs({ path: 'a.ts', text }).map((line) => line.split(':')[1])
  expect(told).toEqual(['1', '2', '3'])
})
