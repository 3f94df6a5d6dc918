import { expect, test } from 'vitest'
import { Chain } from '../../../src/base/chain.ts'

function valuesOf(chain: Chain<string>): string[] {
  const values: string[] = []
  for (let link = chain.first; link !== undefined; link = link.next) values.push(link.value)
  return values
}

test('links are taken out and moved to the end wherever they stand, and refer to nobody once out', () => {
  const chain = new Chain<string>()
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((value) => chain.append(value))
  chain.moveToEnd(b!)
  expect(valuesOf(chain)).toEqual(['a', 'c', 'd', 'b'])
  for (const [link, left] of [
    [c!, ['a', 'd', 'b']],
    [a!, ['d', 'b']],
    [b!, ['d']],
    [d!, []],
  ] as const) {
    chain.remove(link)
    expect(valuesOf(chain)).toEqual(left)
    expect(chain.size).toBe(left.length)
    expect(chain.first?.value).toBe(left[0])
    expect(chain.last?.value).toBe(left.at(-1))
    expect([link.previous, link.next]).toEqual([undefined, undefined])
  }
})
