/** The transcripts themselves: each difference from memcached has its reason. */
import { describe, expect, test } from 'vitest'
import { DIFFERS_ON_PURPOSE } from './differs-on-purpose.ts'
import { transcripts } from './play-all.ts'
import type { Reason } from './transcript.ts'

describe('the transcripts', () => {
  const cases = transcripts.flatMap(({ transcript }) => transcript.cases)

  test('a difference has its reason, and a reason its difference', () => {
    for (const { name, steps, reasons } of cases) {
      const has = (kind: Reason): boolean => reasons.some((reason) => reason.kind === kind)
      expect(has('purpose'), name).toBe(steps.some(({ reference }) => reference !== undefined))
      expect(has('older'), name).toBe(steps.some(({ older }) => older !== undefined))
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
