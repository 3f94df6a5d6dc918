import { expect, test } from 'vitest'
import { Wakes } from '../../../src/command/remote/wakes.ts'

test('who waits is called once, in order, and not before the turn that woke them is over', async () => {
  const wakes = new Wakes()
  const woken: string[] = []
  wakes.add(() => {
    woken.push('one')
    wakes.add(() => woken.push('behind both'))
  })
  wakes.add(() => woken.push('other'))
  expect(woken).toEqual([])
  await Promise.resolve()
  expect(woken.slice(0, 2)).toEqual(['one', 'other'])
  await Promise.resolve()
  expect(woken).toEqual(['one', 'other', 'behind both'])
})
