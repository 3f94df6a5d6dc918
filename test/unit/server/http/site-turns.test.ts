import { beforeEach, expect, test, vi } from 'vitest'
import { SiteTurns } from '../../../../src/server/http/site-turns.ts'

let had: string[] = []
let turns: SiteTurns

beforeEach(() => {
  had = []
  turns = new SiteTurns()
})

function wait(site: string, name = site): () => void {
  return turns.wait({ site, network: site }, () => had.push(name))
}

/** As often as it has had its turn, it waits for the next. */
function ask(site: string): void {
  turns.wait({ site, network: site }, () => {
    had.push(site)
    ask(site)
  })
}

test('who gives its turn up has none, and keeps nobody', async () => {
  const giveUp = wait('a', 'first')
  wait('a', 'second')
  giveUp()
  giveUp()
  expect(turns.size).toBe(1)
  await vi.waitUntil(() => had.length > 0)
  expect(had).toEqual(['second'])
  expect(turns.size).toBe(0)
})

test('one has its turn in a turn of the event loop', async () => {
  for (let index = 0; index < 3; index++) wait('a', `${index}`)
  expect(had).toEqual([])
  for (let count = 1; count <= 3; count++) {
    await new Promise((resolve) => setImmediate(resolve))
    expect(had).toHaveLength(count)
  }
})

test('who asks now and then is next, however many others ask without end, and for however long', async () => {
  for (let index = 0; index < 200; index++) ask(`crowd ${index}`)
  for (let round = 0; round < 5; round++) {
    await vi.waitUntil(() => had.length >= 600)
    had.length = 0
    wait('probe')
    await vi.waitUntil(() => had.includes('probe'))
    expect(had.indexOf('probe')).toBe(0)
  }
})
