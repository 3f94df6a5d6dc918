/** The transcripts themselves: each difference from memcached has its reason. */
import { describe, expect, test } from 'vitest'
import { DIFFERS_ON_PURPOSE } from './differs-on-purpose.ts'
import { transcripts } from './play-all.ts'

describe('the transcripts', () => {
  const cases = transcripts.flatMap(({ transcript }) => transcript.cases)

  test('a difference has its reason, and a reason its difference', () => {
    for (const { name, steps, reasons } of cases) {
      const differs = steps.some(({ theirs }) => theirs !== undefined)
      expect(reasons.length > 0, name).toBe(differs)
    }
  })

  test('every difference on purpose is in the table and shown by a transcript', () => {
    const shown = cases.flatMap(({ reasons }) =>
      reasons.filter(({ kind }) => kind === 'purpose').map(({ text }) => text),
    )
    expect(new Set(shown)).toEqual(new Set(Object.keys(DIFFERS_ON_PURPOSE)))
  })

  test('no two cases of a file have the same name', () => {
    for (const { transcript } of transcripts) {
      const names = transcript.cases.map(({ name }) => name)
      expect(names).toEqual([...new Set(names)])
    }
  })
})
